"""Files with secrets: nobody else reads them, and nothing is written through a link."""

from __future__ import annotations

import ast
import os
import stat
from pathlib import Path
from typing import Final

import pytest

from agent.book.errors import ConfigurationError
from agent.process.private_files import open_private, read_private, why_not_private
from scripts.serve.servers import ROOT

US: Final = os.geteuid()
STRANGER: Final = US + 4_711
NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL
WRITTEN: Final = {
    "scripts/build/api_docs.py",
    "scripts/build/image_digests.py",
    "scripts/build/rooms.py",
    "scripts/demo/picture.py",
}
"""They write files of the checkout, which everybody may read."""


def status(mode: int, owner: int) -> os.stat_result:
    """What the file system says of a file."""
    return os.stat_result((mode, 1, 1, 1, owner, 0, 0, 0, 0, 0))


@pytest.mark.parametrize(
    ("mode", "owner", "what_to_do"),
    [
        (stat.S_IFREG | 0o600, US, None),
        (stat.S_IFREG | 0o400, US, None),
        (stat.S_IFREG | 0o400, 0, None),
        (stat.S_IFIFO | 0o644, STRANGER, None),
        (stat.S_IFREG | 0o640, US, "mode 0640): chmod 600 'the file'"),
        (stat.S_IFREG | 0o604, US, "mode 0604): chmod 600 'the file'"),
        (stat.S_IFREG | 0o620, US, "mode 0620): chmod 600 'the file'"),
        (stat.S_IFREG | 0o601, US, "mode 0601): chmod 600 'the file'"),
        (stat.S_IFREG | 0o644, 0, "mode 0644): chmod 600 'the file'"),
        (stat.S_IFREG | 0o600, STRANGER, f"(uid {STRANGER}), who can read it: chown {US} 'the file'"),
    ],
)
def test_who_else_can_read_a_file(mode: int, owner: int, what_to_do: str | None) -> None:
    """Any bit of group and others, and any owner but us and root; the reason has the command that ends it."""
    why = why_not_private(status(mode, owner), Path("the file"))

    assert (why is None) is (what_to_do is None)
    assert (what_to_do or "") in (why or "")


def test_a_secret_that_others_can_read_is_not_read(tmp_path: Path) -> None:
    """Nor through a link, whose own bits say nothing."""
    file, link = tmp_path / "secret", tmp_path / "link"
    file.write_text("secret")
    link.symlink_to(file)
    file.chmod(0o644)
    for path in (file, link):
        with pytest.raises(ConfigurationError, match=f"chmod 600 {path}"):
            read_private(path, 100)

    file.chmod(0o600)
    assert read_private(link, 100) == b"secret"
    with pytest.raises(ConfigurationError, match="more than 5 bytes"):
        read_private(file, 5)
    with pytest.raises(FileNotFoundError):
        read_private(tmp_path / "none", 5)


@pytest.mark.parametrize("umask", [0o000, 0o022])
def test_a_new_file_is_private_from_its_first_moment(tmp_path: Path, umask: int) -> None:
    """Whatever the umask."""
    before = os.umask(umask)
    try:
        file = open_private(tmp_path / "new", NEW)
    finally:
        os.umask(before)

    assert stat.S_IMODE(os.fstat(file).st_mode) == 0o600
    os.close(file)
    with pytest.raises(FileExistsError):
        open_private(tmp_path / "new", NEW)


def test_an_older_file_is_closed_to_others(tmp_path: Path) -> None:
    """And used: what was signed before is in it."""
    (tmp_path / "old").write_text("before")
    (tmp_path / "old").chmod(0o664)
    os.close(open_private(tmp_path / "old", os.O_RDWR | os.O_APPEND))

    assert stat.S_IMODE((tmp_path / "old").stat().st_mode) == 0o600
    assert (tmp_path / "old").read_text() == "before"


@pytest.mark.parametrize("flags", [os.O_RDWR | os.O_APPEND, os.O_RDWR | os.O_APPEND | os.O_CREAT])
@pytest.mark.parametrize("there", [True, False])
def test_nothing_is_written_through_a_link(tmp_path: Path, flags: int, there: bool) -> None:
    """One that somebody laid to a file of ours, or to where we would make one for him."""
    target = tmp_path / "target"
    if there:
        target.write_text("ours")
    (tmp_path / "link").symlink_to(target)
    with pytest.raises(ConfigurationError, match="is a link"):
        open_private(tmp_path / "link", flags)

    assert target.exists() is there


def test_what_is_not_ours_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe that somebody listens at, a file that he owns."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigurationError, match="no file of this user"):
        open_private(tmp_path / "pipe", os.O_RDWR)
    (tmp_path / "file").touch(0o600)
    monkeypatch.setattr(os, "geteuid", lambda: STRANGER)
    with pytest.raises(ConfigurationError, match="no file of this user"):
        open_private(tmp_path / "file", os.O_RDWR)


def writes(node: ast.AST) -> bool:
    """Whether a call opens a file to write it, or writes one."""
    if not isinstance(node, ast.Call):
        return False
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    if name in ("write_text", "write_bytes", "mkstemp", "NamedTemporaryFile"):
        return True
    text = ast.unparse(node)
    if text.startswith("os.open("):
        return any(flag in text for flag in ("O_WRONLY", "O_RDWR", "O_CREAT", "flags")) and "/dev/tty" not in text
    mode_at = 0 if isinstance(node.func, ast.Attribute) else 1  # path.open(mode), open(path, mode)
    modes = [*node.args[mode_at : mode_at + 1], *(each.value for each in node.keywords if each.arg == "mode")]
    given = [mode.value for mode in modes if isinstance(mode, ast.Constant)]
    return name == "open" and any(isinstance(mode, str) and set(mode) & set("wax+") for mode in given)


def test_no_other_code_opens_files_to_write_them() -> None:
    """Journals, exports and keystores go through here; what wraps a descriptor opened here may name its mode.

    x402 knows nothing of agent: it makes a seller's memory itself, 0600, and nothing in it can be cashed.
    """
    found = {}
    for package in ("agent", "api", "gpu_vendor_mock", "net", "scripts", "vendors", "x402"):
        for path in (ROOT / package).rglob("*.py"):
            lines = [ast.unparse(node) for node in ast.walk(ast.parse(path.read_text())) if writes(node)]
            name = path.relative_to(ROOT).as_posix()
            if name not in WRITTEN and name != "agent/process/private_files.py" and lines:
                found[name] = lines

    assert found == {
        "scripts/cli/audit.py": ["open(new, 'w', encoding='ascii', newline='\\n')"],
        "scripts/wallets.py": ["open(file, 'w', encoding='ascii')"],
        "x402/selling/settlements_sqlite.py": ["os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 384)"],
    }
