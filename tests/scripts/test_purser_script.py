"""./purser, the file: from anywhere, through links, with blanks in the path, and without .venv."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from scripts.exits import Exit
from scripts.serve.servers import ROOT, clean

PYTHON = """#!/bin/sh
echo "python in $(pwd)"
for argument in "$@"; do echo "<$argument>"; done
exit 42
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with a blank in its name, whose Python tells what it was called with."""
    root = tmp_path / "a check out"
    binary = root / ".venv" / "bin" / "python"
    binary.parent.mkdir(parents=True)
    binary.write_text(PYTHON)
    binary.chmod(0o755)
    (root / "purser").write_bytes((ROOT / "purser").read_bytes())
    (root / "purser").chmod(0o755)
    return root


def call(program: Path | str, *arguments: str, directory: Path) -> subprocess.CompletedProcess[str]:
    """Run it there."""
    return subprocess.run(
        [str(program), *arguments],
        cwd=directory,
        env=clean({}),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_it_runs_from_any_directory_with_its_arguments_whole(checkout: Path, tmp_path: Path) -> None:
    """Blanks and quotes in arguments arrive, and so does the exit code."""
    done = call(checkout / "purser", "start", "a b", "*", 'c"d', directory=tmp_path)

    assert done.returncode == 42
    assert done.stdout.splitlines() == [
        f"python in {checkout}",
        *("<-m>", "<scripts.cli>", "<start>", "<a b>", "<*>", '<c"d>'),
    ]


def test_it_runs_through_symbolic_links(checkout: Path, tmp_path: Path) -> None:
    """A link in a directory of PATH, and a relative link to that link."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "purser").symlink_to(checkout / "purser")
    (tmp_path / "again").symlink_to("bin/purser")

    assert call(tmp_path / "again", directory=tmp_path).stdout.splitlines()[0] == f"python in {checkout}"
    assert call("./again", directory=tmp_path).returncode == 42


def test_without_an_installation_it_says_what_to_do(checkout: Path, tmp_path: Path) -> None:
    """The message of a fresh clone."""
    (checkout / ".venv" / "bin" / "python").unlink()
    done = call(checkout / "purser", "runs", directory=tmp_path)

    assert (done.returncode, done.stdout) == (Exit.SETUP, "")
    assert done.stderr == f"purser: there is no .venv in {checkout}: run make install there first\n"


def test_the_real_one_runs(tmp_path: Path) -> None:
    """The file at the root is executable and starts the command."""
    done = call(ROOT / "purser", "--help", directory=tmp_path)

    assert (done.returncode, "Usage: purser" in done.stdout) == (0, True)
