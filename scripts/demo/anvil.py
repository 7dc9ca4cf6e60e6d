"""`python -m scripts.demo.anvil BINARY ARGUMENTS`: runs anvil, and ends it when stdin ends.

A parent that is killed outright cannot stop its children; the pipe between them closes all the same.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable

__all__ = ["main"]


def main() -> int:
    """Run until stdin ends or a signal comes; anvil's exit code."""
    anvil = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)

    def stop(*_: object) -> None:
        anvil.terminate()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, stop)
    threading.Thread(target=_until_stdin_ends, args=(stop,), daemon=True).start()
    return anvil.wait()


def _until_stdin_ends(stop: Callable[[], None]) -> None:
    os.read(0, 1)
    stop()


if __name__ == "__main__":
    sys.exit(main())
