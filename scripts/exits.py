"""Exit codes of the `purser` command: the one list that the code, `--help` and docs/cli.md share."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

__all__ = ["MEANINGS", "Exit"]


class Exit(IntEnum):
    """What the command tells its caller."""

    OK = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    REFUSED = 4
    NOT_FOUND = 5
    BUSY = 6
    SETUP = 7
    INTERRUPTED = 130


MEANINGS: Final[dict[Exit, str]] = {
    Exit.OK: "done",
    Exit.FAILED: "the run failed or was cancelled; the audit, the books, the x402 message or a seal does not hold",
    Exit.USAGE: "the command line cannot be understood",
    Exit.UNREACHABLE: "no Purser server (for init: no database; for wallet balance: no node) answers",
    Exit.REFUSED: "the server refused (init: the operator's word); stderr has code, detail and fields",
    Exit.NOT_FOUND: "there is no such run, vendor or API key",
    Exit.BUSY: "another tick is at this run; try again",
    Exit.SETUP: "a bad setting, no .venv, or a local server that does not start",
    Exit.INTERRUPTED: "stopped with Ctrl-C; a run goes on with its next tick",
}
"""One line for each code."""
