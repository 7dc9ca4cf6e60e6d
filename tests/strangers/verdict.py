"""What is said of results in the end: a line for each suite, and each difference from the kept table."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from tests.strangers.table import PASS, Kept, Result, differences, read

__all__ = ["KEPT", "conclude"]

KEPT: Final = Path(__file__).with_name("kept.toml")
"""The table."""

_WHAT_NOW: Final = f"""\
A difference is a fault of Purser or of the suite: mend it or, where it is right so, say why in {KEPT.name}.
What is listed there and no longer occurs is struck off."""


def conclude(results: Sequence[Result], suites: Sequence[str], broken: Mapping[str, str] | None = None) -> int:
    """Print the lot; 0 where all is as the table says, 1 otherwise. `broken` has who broke off, and why."""
    kept, broken = read(KEPT.read_text()), broken or {}
    whole = [suite for suite in suites if suite not in broken]
    for suite in whole:
        _say(_line(suite, results, kept))
    found = [f"{suite}: it broke off: {why}" for suite, why in broken.items()]
    found += differences([each for each in results if each.suite in whole], kept, whole)
    for difference in found:
        _say(f"DIFFERENT  {difference}")
    if found:
        _say(_WHAT_NOW)
    _say(f"{len(results)} checks: {sum(each.outcome == PASS for each in results)} passed, {len(found)} failed")
    return 1 if found else 0


def _line(suite: str, results: Sequence[Result], kept: Kept) -> str:
    mine = [each for each in results if each.suite == suite]
    passed = sum(each.outcome == PASS for each in mine)
    accepted = sum((each.suite, each.check) in kept.accepted for each in mine)
    return f"{suite:<16} {len(mine):>4} checks, {passed:>4} pass, {accepted:>3} listed with a reason"


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
