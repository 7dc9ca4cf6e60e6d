"""The program that docs/audit.md prints, as printed and with nothing of ours."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from scripts.serve.servers import ROOT

__all__ = ["PAGE", "PROGRAM", "says_no", "wrong"]

PAGE = (ROOT / "docs/audit.md").read_text()
(PROGRAM,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
_NAMES: dict[str, Any] = {}
exec(PROGRAM, _NAMES)  # noqa: S102  (it is our own page)

wrong: Callable[..., str | None] = _NAMES["wrong"]


def says_no(lines: list[str], kept: dict[str, Any] | None = None) -> bool:
    """Whether it finds something, so much perhaps that the lines cannot be read."""
    try:
        return (wrong(lines) if kept is None else wrong(lines, kept)) is not None
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError, OSError):
        return True
