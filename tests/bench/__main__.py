"""`python -m tests.bench [--quick]`: the table, and what failed of whom. It fails where Purser has no figure."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from scripts.serve.servers import ROOT
from tests.bench.contest import OURS, Sizes, missing, run
from tests.bench.table import lines

FULL = Sizes(rounds=11, calls=60, requests=25, rush=160)
QUICK = Sizes(rounds=1, calls=3, requests=3, rush=40)


def main() -> int:
    """Run it and print."""
    parser = argparse.ArgumentParser(prog="tests.bench", description="Purser's x402 beside the official SDK's.")
    parser.add_argument("--quick", action="store_true", help="few turns: whether it works, not how fast it is")
    quick = parser.parse_args().quick
    if absent := missing():
        sys.stderr.write(f"not installed: {', '.join(absent)}; make bench installs it\n")
        return 1
    if quick:
        sys.stdout.write("quick: these figures say nothing\n")
    start = time.monotonic()
    (ROOT / ".cache").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ROOT / ".cache") as directory:  # on the disk, where /tmp may be memory
        figures, failed = run(QUICK if quick else FULL, Path(directory), _told)
    sys.stdout.write("\n".join(lines(figures)) + "\n")
    for line in failed:
        sys.stdout.write(f"\n{line}")
    cores, load = os.cpu_count(), os.getloadavg()[0]
    sys.stdout.write(f"\n{time.monotonic() - start:.0f} s on {cores} cores, load {load:.1f} at the end\n")
    return 1 if any(not made.get(OURS) for made in figures.values()) else 0


def _told(progress: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{progress} ")
        sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
