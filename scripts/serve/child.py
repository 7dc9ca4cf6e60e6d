"""`python -m scripts.serve.child MODULE ...`: what `python -m MODULE ...` does, and it ends when stdin does.

A parent that is killed outright cannot stop its children; the pipe between them closes all the same.
"""

from __future__ import annotations

import os
import runpy
import sys
import threading

__all__ = ["main"]


def main() -> None:
    """Run the module named first in the arguments."""
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


def _end_with_stdin() -> None:
    os.read(0, 1)
    os._exit(1)


if __name__ == "__main__":
    main()
