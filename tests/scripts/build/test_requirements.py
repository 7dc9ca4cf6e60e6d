"""What is installed is what was pinned: each file by its hash, and nothing besides."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Final

import pytest

from scripts.serve.servers import ROOT

PINNED: Final = sorted(
    path for place in (".", "contracts", "tests/*") for path in ROOT.glob(f"{place}/requirements*.txt")
)
LOCKED: Final = (ROOT / "contracts", ROOT / "tests/interop/node")
INSTALLERS: Final = ("Makefile", "Dockerfile", "scripts/build/shipped_size.py")
MAKEFILE: Final = (ROOT / "Makefile").read_text()

_ENTRY: Final = re.compile(r"[\w.-]+==[\w.+!]+( ; [^\\]+)?((\s*\\\n    --hash=sha256:[0-9a-f]{64})+)\n")
_COMMENT: Final = re.compile(r"^\s*#.*\n", re.MULTILINE)


def name(path: Path) -> str:
    """As people call it."""
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", PINNED, ids=name)
def test_every_requirement_has_hashes(path: Path) -> None:
    """Exact versions, each with the hashes of its files, and no line of any other kind."""
    text = _COMMENT.sub("", path.read_text())

    assert _ENTRY.sub("", text) == ""
    assert len(_ENTRY.findall(text)) > 5


@pytest.mark.parametrize("path", PINNED, ids=name)
def test_make_lock_writes_each_of_them(path: Path) -> None:
    """From a list of what is wanted, with hashes."""
    source = name(path.with_suffix(".in"))

    assert (ROOT / source).is_file()
    assert re.search(rf"^\t\$\(LOCK\) --python-version 3\.\d+ {source} -o {name(path)}$", MAKEFILE, re.MULTILINE)
    assert re.search(r"^LOCK := .* --generate-hashes$", MAKEFILE, re.MULTILINE)


@pytest.mark.parametrize("file", INSTALLERS)
def test_every_installation_wants_the_hashes(file: str) -> None:
    """With the dependencies that the file names and no others, and from wheels: a build fetches what it likes."""
    text = (ROOT / file).read_text().replace("\\\n", " ")
    commands = [line for line in text.splitlines() if re.search(r"pip\W+install|^INSTALL :=", line)]
    if file.endswith(".py"):
        commands = [text]

    assert commands
    for command in commands:
        for option in ("--require-hashes", "--no-deps", "--only-binary"):
            assert option in command, command


@pytest.mark.parametrize("place", LOCKED, ids=name)
def test_every_node_package_has_its_hash(place: Path) -> None:
    """Those for other machines too, so that `npm ci` installs from the lock everywhere."""
    wanted = json.loads((place / "package.json").read_text())
    locked = json.loads((place / "package-lock.json").read_text())["packages"]
    direct = {**wanted.get("dependencies", {}), **wanted.get("optionalDependencies", {})}

    assert {f"node_modules/{each}" for each in direct} <= locked.keys()
    assert [each for each, package in locked.items() if each and "integrity" not in package] == []
    assert not re.search(r"\bnpm (install|i)\b", MAKEFILE)
