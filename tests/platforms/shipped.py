"""The environment that `make test-platforms` makes, and the files that a platform is given."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import pytest

from scripts.serve.servers import ROOT, clean
from tests.scripts.lambda_events import TOKEN

__all__ = ["CONFIGURED", "CRON_SECRET", "PYTHON", "ROUNDS", "SECRETS", "environment", "needs_runtimes", "ship"]

PYTHON: Final = ROOT / ".venv-platforms/bin/python"

CRON_SECRET: Final = "cron-of-the-function"

SECRETS: Final = {"API_TOKEN": TOKEN, "CRON_SECRET": CRON_SECRET, "X402_PRIVATE_KEY": "42" * 32}
"""What must be in no log."""

CONFIGURED: Final = {
    **SECRETS,
    "GPU_VENDOR_SECRET": "mock-vendor-secret",
    "LOOPBACK_VENDORS": "allow",
    "POLL_SECONDS": "0.05",
}
"""All that must be set but the database. VERCEL is not among them: a project may hide it."""

ROUNDS: Final = 500
"""Rounds after which a run that has not ended never will."""

needs_runtimes: Final = pytest.mark.skipif(
    not (ROOT / ".venv-platforms/.installed").exists(),
    reason="skipped: `make test-platforms` installs the runtimes",
)
"""Marks tests that cannot be without them."""


def ship(packages: Iterable[str], directory: Path) -> None:
    """Copy these packages of ours to where the function is to be."""
    for name in packages:
        shutil.copytree(ROOT / name, directory / name, ignore=shutil.ignore_patterns("__pycache__"))


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """A process's environment with these variables, in which the checkout is not found."""
    given = clean(variables)
    del given["PYTHONPATH"]
    return given
