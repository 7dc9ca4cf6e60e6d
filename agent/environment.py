"""The one place that reads the environment, and `.env` in the working directory. `agent.settings` checks it.

Apart from it, so that a command that only asks a server need not load what settings are checked with.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

__all__ = ["ENV_FILE", "environment", "on_platform"]

ENV_FILE: Final = Path(".env")
"""The environment wins over it."""


def environment() -> dict[str, str]:
    """All variables that are not empty, by name."""
    return {name: value for source in (_from_file(), os.environ) for name, value in source.items() if value}


def on_platform() -> bool:
    """Whether Vercel or Lambda runs this process. It is known before there are settings."""
    return bool(os.environ.get("VERCEL") or os.environ.get("AWS_LAMBDA_FUNCTION_NAME"))


def _from_file() -> dict[str, str | None]:
    if not ENV_FILE.is_file():
        return {}
    from dotenv import dotenv_values  # what starts cold has no such file

    return dotenv_values(ENV_FILE)
