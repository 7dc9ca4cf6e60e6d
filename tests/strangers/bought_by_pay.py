"""One purchase by `purser pay`, for hostile-facilitator: `python -m tests.strangers.bought_by_pay DIARY`.

FACILITATOR_URL and HOSTILE_CLIENT_TIMEOUT come from the battery. A seller of ours settles through that
facilitator; the same command is given until it succeeds, as a person would, at most four times. DIARY is the file
that is told how it ended.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from scripts.pay.values import PayExit
from scripts.serve.servers import ROOT
from tests.strangers.environments import surroundings
from tests.strangers.payments import a_server
from tests.x402.samples import KEY

_MOST: Final = 4
_SECONDS: Final = 30.0


def main() -> None:
    """Buy, and write the exit codes down."""
    facilitator, patience = os.environ["FACILITATOR_URL"], os.environ["HOSTILE_CLIENT_TIMEOUT"]
    command = ("tests.strangers.hasty", "goods", facilitator, patience)
    codes: list[int] = []
    with a_server("seller", *command, health="/runs") as url, tempfile.TemporaryDirectory() as home:
        while len(codes) < _MOST and PayExit.OK not in codes:
            codes.append(_pay(url, home))
    Path(sys.argv[1]).write_text("paid" if PayExit.OK in codes else f"exits {codes}")


def _pay(url: str, home: str) -> int:
    order = ("POST", f"{url}/goods", "--max-usd", "0.05", "--idempotency-key", "order-1", "--json", "{}")
    return subprocess.run(
        [sys.executable, "-m", "scripts.cli", "pay", *order],
        env=surroundings(PURSER_HOME=home, X402_PRIVATE_KEY=KEY, LOOPBACK_VENDORS="allow"),
        cwd=ROOT,
        capture_output=True,
        timeout=_SECONDS,
        check=False,
    ).returncode


if __name__ == "__main__":
    main()
