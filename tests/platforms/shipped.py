"""The environment that `make test-platforms` makes, and the files that a platform is given."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import pytest

from scripts.servers import ROOT, clean

__all__ = ["PYTHON", "environment", "needs_runtimes", "ship"]

PYTHON: Final = ROOT / ".venv-platforms/bin/python"

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
