"""Images are named by digest: all of them or none, and one command writes what the registry says."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Final

import pytest

from scripts.build.image_digests import FILES, IMAGE, main
from scripts.serve.servers import ROOT

DOCKER: Final = """#!/bin/sh
# Plays `docker pull`: tells a digest for each tag but those that "the registry" does not have.
echo "$*" >> "{log}"
case $2 in {missing}) echo "Error response from daemon: manifest unknown" >&2; exit 1 ;; esac
echo "latest: Pulling from library/x"
echo "Digest: sha256:$(printf '{turn}%s' "$2" | sha256sum | cut -d ' ' -f 1)"
echo "Status: Image is up to date for $2"
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What names images, to be written to."""
    for name in FILES:
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def registry(place: Path, monkeypatch: pytest.MonkeyPatch, missing: str = "none", turn: str = "first") -> None:
    """A docker that comes first on the PATH."""
    (place / "docker").write_text(DOCKER.format(log=place / "asked", missing=missing, turn=turn))
    (place / "docker").chmod(0o700)
    monkeypatch.setenv("PATH", f"{place}{os.pathsep}{os.environ['PATH']}")


def named(place: Path) -> list[re.Match[str]]:
    """Every image of somebody else that a file names."""
    return [found for name in FILES for found in IMAGE.finditer((place / name).read_text())]


def texts(place: Path) -> list[str]:
    """The files, as they are."""
    return [(place / name).read_text() for name in FILES]


def test_every_image_has_an_exact_name_and_all_have_a_digest_or_none() -> None:
    """One that is left out would look as if it were pinned."""
    images = named(ROOT)
    naming = [
        line.strip() for text in texts(ROOT) for line in text.splitlines() if re.match(r"FROM |\s*image\b", line)
    ]

    assert len([line for line in naming if line != "image: purser"]) == len(images) == 3
    assert len({found["digest"] is None for found in images}) == 1
    assert not any(found["tag"].endswith(":latest") for found in images)


def test_digests_are_written_and_nothing_else_is_changed(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each tag is asked for once, and the two stages of the image begin with the same."""
    registry(checkout, monkeypatch)

    assert main(checkout) == 0

    images = named(checkout)
    assert all(found["digest"] for found in images)
    assert len({found["digest"] for found in images}) == len({found["tag"] for found in images}) == 2
    assert [re.sub(r"@sha256:\w{64}", "", text) for text in texts(checkout)] == [
        re.sub(r"@sha256:\w{64}", "", text) for text in texts(ROOT)
    ]
    assert len((checkout / "asked").read_text().splitlines()) == 2
    told = capsys.readouterr().out
    assert all(f"{found['tag']}{found['digest']}\n" in told for found in images)


def test_a_second_time_takes_what_the_tags_are_by_then(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tag is asked for, never the old digest."""
    registry(checkout, monkeypatch)
    main(checkout)
    before = [found["digest"] for found in named(checkout)]
    registry(checkout, monkeypatch, turn="second")

    assert main(checkout) == 0

    assert not set(before) & {found["digest"] for found in named(checkout)}
    assert "@" not in (checkout / "asked").read_text()


def test_one_that_is_not_to_be_had_changes_nothing(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not the others either; it says which, and what docker said."""
    before = texts(checkout)
    registry(checkout, monkeypatch, missing="mongo:*")

    assert main(checkout) == 1

    assert texts(checkout) == before
    assert re.search(r"docker pull mongo:\S+ told no digest: .*manifest unknown", capsys.readouterr().err)


def test_without_docker_it_says_so(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And changes nothing."""
    before = texts(checkout)
    monkeypatch.setenv("PATH", str(checkout))

    assert main(checkout) == 1

    assert texts(checkout) == before
    assert "docker cannot be run" in capsys.readouterr().err
