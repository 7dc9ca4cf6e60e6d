"""What a function weighs: every installed file counts once, the heaviest are named, too much is a failure."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from scripts.build import shipped_size
from scripts.build.shipped_size import LIMIT_MB, OURS, main, measure, report


def installed(place: Path, name: str, size: int) -> None:
    """A distribution as pip leaves it: a module, its bytecode, and the record of both."""
    package = place / name
    (package / "__pycache__").mkdir(parents=True)
    (package / "__init__.py").write_bytes(b"#" * size)
    (package / "__pycache__" / "__init__.cpython-312.pyc").write_bytes(b"#" * size)
    info = place / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = [f"{name}/__init__.py,,", f"{name}/__pycache__/__init__.cpython-312.pyc,,", "../bin/gone,,"]
    (info / "RECORD").write_text("\n".join(lines))


def test_every_recorded_file_counts_and_so_does_our_code(tmp_path: Path) -> None:
    """Bytecode with the rest; what is recorded and not there weighs nothing; tests do not ship."""
    installed(tmp_path / "site", "heavy", 1_000_000)
    installed(tmp_path / "site", "light", 10)
    for name in (*OURS, "tests"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "module.py").write_bytes(b"#" * 100)

    sizes = measure(tmp_path / "site", tmp_path)

    assert sizes == {"heavy": 2_000_000, "light": 20, "purser": 100 * len(OURS)}


def test_the_heaviest_are_named_and_the_rest_are_summed() -> None:
    """In a table, heaviest first, with the sum against the limit."""
    sizes = {f"p{number:02}": number * 1_000_000 for number in range(20)}

    lines = report(sizes)

    assert lines[0] == "| p19 | 19.0 MB |"
    assert lines[-2] == "| 8 others | 28.0 MB |"
    assert lines[-1] == f"| **all** | **190.0 MB** of {LIMIT_MB} MB |"


@pytest.mark.parametrize(("size", "code"), [(70_000_000, 0), (80_000_000, 1)])
def test_too_much_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], size: int, code: int
) -> None:
    """The table is printed either way."""
    installed(tmp_path, "heavy", size)
    monkeypatch.setattr(shipped_size, "_installed", lambda: tmp_path)

    assert main() == code

    said = capsys.readouterr()
    assert f"| heavy | {2 * size / 1e6:.1f} MB |" in said.out
    assert ("larger than 150 MB" in said.err) == bool(code)


def test_what_cannot_be_installed_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And leaves nothing behind that would pass for an installation."""

    def fails(command: list[str], **_: object) -> None:
        Path(command[command.index("--target") + 1]).mkdir(parents=True)
        raise subprocess.CalledProcessError(1, command)

    (tmp_path / "requirements.txt").write_text("no-such-thing==1\n")
    monkeypatch.setattr(shipped_size, "ROOT", tmp_path)
    monkeypatch.setattr("subprocess.run", fails)

    assert (main(), main()) == (1, 1)
    assert "pip could not install" in capsys.readouterr().err
