"""What `sam build` ships to Lambda: our packages, what requirements.txt names, and not one file besides."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Final

import pytest

from scripts.build.shipped_size import OURS
from scripts.serve.servers import ROOT
from tests.platforms.shipped import PYTHON, needs_runtimes

pytestmark = needs_runtimes

AT_START: Final = re.compile(r".*\.pth|sitecustomize\.py|usercustomize\.py")
"""What Python runs by itself when it starts: the way in of most packages that turned hostile."""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As the Makefile builds it."""
    place = tmp_path_factory.mktemp("bundle")
    make = [shutil.which("make") or "make", "build-PurserFunction", f"ARTIFACTS_DIR={place}"]
    subprocess.run([*make, f"PYTHON_LAMBDA={PYTHON}"], cwd=ROOT, check=True, timeout=600)
    return place


def files(place: Path) -> Iterator[str]:
    """All of them but what is compiled, which lies beside its source."""
    for path in place.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path.relative_to(place).as_posix()


def owned(each: Distribution, place: Path) -> Iterator[str]:
    """Files that a distribution says are its own. pip writes those of `bin` as if it were two levels up."""
    for file in each.files or ():
        yield os.path.relpath(place / str(file).removeprefix("../../"), place)


def strays(place: Path) -> list[str]:
    """Files that neither we nor a distribution answers for."""
    theirs = {file for each in distributions(path=[str(place)]) for file in owned(each, place)}
    return sorted(file for file in files(place) if file not in theirs and file.partition("/")[0] not in OURS)


def test_the_distributions_are_those_of_requirements_txt(bundle: Path) -> None:
    """In its versions: none is missing, none was brought along."""
    pinned = re.findall(r"^([\w.-]+)==([\w.]+)", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    shipped = {(each.name.lower().replace("_", "-"), each.version) for each in distributions(path=[str(bundle)])}

    assert shipped == set(pinned)


def test_every_file_is_of_ours_or_of_a_distribution(bundle: Path) -> None:
    """The test can fail: one that was slipped in beside them is found."""
    assert strays(bundle) == []

    (bundle / "slipped_in.py").touch()
    try:
        assert strays(bundle) == ["slipped_in.py"]
    finally:
        (bundle / "slipped_in.py").unlink()


def test_nothing_runs_when_python_starts(bundle: Path) -> None:
    """No `.pth` file and no `sitecustomize`, in whatever folder."""
    assert [file for file in files(bundle) if AT_START.fullmatch(Path(file).name)] == []
