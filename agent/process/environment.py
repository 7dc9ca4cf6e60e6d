"""The one place that reads the environment, and `.env` in the working directory; `settings` beside it checks it.

Apart from it, so that a command that only asks a server need not load what settings are checked with.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

__all__ = ["ENV_FILE", "PLATFORMS", "environment", "on_platform"]

PLATFORMS: Final = ("VERCEL", "VERCEL_IPC_PATH", "AWS_LAMBDA_FUNCTION_NAME")
"""Variables that a platform sets. A project at Vercel may hide VERCEL, but not the socket of its runtime."""

_PASSWORDS: Final = frozenset({"PURSER_KEYSTORE_PASSWORD"})
_BLANKS: Final = " \t\r\n\v\f\u00a0\u200b\ufeff"

ENV_FILE: Final = Path(".env")
"""The environment wins over it."""


def environment() -> dict[str, str]:
    """All variables that are not empty, by name, without the white space around them.

    `echo value | vercel env add` keeps the line break, and editors leave marks that nobody sees. A password may
    begin or end with a blank, so of that only line breaks are cut off.
    """
    given = {name: value for source in (_from_file(), os.environ) for name, value in source.items() if value}
    cut = {name: value.strip("\r\n" if name in _PASSWORDS else _BLANKS) for name, value in given.items()}
    return {name: value for name, value in cut.items() if value}


def on_platform() -> bool:
    """Whether Vercel or Lambda runs this process. It is known before there are settings."""
    return any(os.environ.get(name) for name in PLATFORMS)


def _from_file() -> dict[str, str | None]:
    if not ENV_FILE.is_file():
        return {}
    from dotenv import dotenv_values  # what starts cold has no such file

    return dotenv_values(ENV_FILE)
