"""Keeps what a process knows in the process: the wallet's key is in its memory, and in its environment.

On Linux other processes of the same user may read both, and a crash may leave the memory on the disk.
"""

from __future__ import annotations

import logging
import sys
from typing import Final

__all__ = ["close_memory"]

_log = logging.getLogger(__name__)

_PR_SET_DUMPABLE: Final = 4


def close_memory() -> None:
    """From now on nobody but root looks into this process, on Linux, and a crash writes no core file.

    Debuggers and profilers that attach from outside (gdb, py-spy) are refused too. A program that it starts can be
    looked into again.
    """
    if sys.platform == "win32":
        return
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, most))
    if sys.platform != "linux":
        return
    import ctypes  # some ms, which a command that reads no settings does not spend

    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        _log.warning("others may look into this process: prctl failed with errno %d", ctypes.get_errno())
