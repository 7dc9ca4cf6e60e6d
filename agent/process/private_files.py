"""Files that are nobody's business but ours: keys, passwords, what was signed.

One that is read must have been private before: who could read it may have done so. One that is written becomes
private, and is not reached through a link, which others can lay where a name is known beforehand.
"""

from __future__ import annotations

import os
import shlex
import stat
from pathlib import Path
from typing import Final

from agent.book.errors import ConfigurationError

__all__ = ["open_private", "read_private", "why_not_private"]

_OTHERS: Final = 0o077
_ROOT: Final = 0  # reads everything anyway


def read_private(path: Path, most: int) -> bytes:
    """What is in a file with a secret, which holds `most` bytes at the most. Links to it are followed.

    Raises:
        ConfigurationError: others can read it, or it is too long; the message says what to do.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        if why := why_not_private(os.fstat(file.fileno()), path):
            raise ConfigurationError(why)
        content = file.read(most + 1)
    if len(content) > most:
        raise ConfigurationError(f"{path} holds more than {most} bytes: that is not what is looked for")
    return content


def why_not_private(status: os.stat_result, path: Path) -> str | None:
    """Who besides us can read a regular file, and what to do; None where nobody can.

    Pipes keep nothing, and systems without users have no such bits.
    """
    if not stat.S_ISREG(status.st_mode) or not hasattr(os, "geteuid"):
        return None
    if status.st_uid not in (os.geteuid(), _ROOT):
        owner = f"{path} belongs to another user (uid {status.st_uid}), who can read it"
        return f"{owner}: chown {os.geteuid()} {shlex.quote(str(path))}"
    if status.st_mode & _OTHERS:
        mode = stat.S_IMODE(status.st_mode)
        return f"others may read or change {path} (mode {mode:04o}): chmod 600 {shlex.quote(str(path))}"
    return None


def open_private(path: Path, flags: int) -> int:
    """A descriptor of a file of ours that is written: 0600 from its first moment, or from now on.

    An older file that others could read is closed to them and used: what was signed pays its payee alone, and a
    journal that is not read would let a purchase be paid twice.

    Raises:
        ConfigurationError: there is a link, somebody else's file or something that is no file.
        OSError: it cannot be opened.
    """
    try:
        file = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError:
        if path.is_symlink():
            raise ConfigurationError(f"{path} is a link, and nothing is written through one: remove it") from None
        raise
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
            raise ConfigurationError(f"{path} is no file of this user: move it away")
        if status.st_mode & _OTHERS:
            os.fchmod(file, 0o600)
    except BaseException:
        os.close(file)
        raise
    return file
