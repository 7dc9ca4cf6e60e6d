"""`make strangers`: suites that nobody of the project wrote, held against the kept table.

    python -m tests.strangers [SUITE ...]      all of them, or those named

Exit code 0 where every check fares as `kept.toml` says, 1 where one does not, 2 where something is not installed.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Final

from scripts.demo import local_chain
from tests.fuzz import program
from tests.strangers import (
    conformance,
    environments,
    harness,
    harness_values,
    hostile_buyers,
    hostile_clients,
    hostile_on_chain,
    oracle,
)
from tests.strangers.table import Result
from tests.strangers.verdict import conclude

__all__ = ["SUITES", "Overdue", "main", "within"]

SUITES: Final[Mapping[str, Callable[[str], list[Result]]]] = {
    "hostile-pay": hostile_buyers.by_pay,
    "hostile-runs": hostile_buyers.by_runs,
    "hostile-desk": hostile_clients.at_the_desk,
    "hostile-sellers": hostile_clients.at_sellers,
    "hostile-settler": hostile_clients.sold_once,
    "hostile-chain": hostile_on_chain.on_chain,
    "harness-sellers": harness.at_sellers,
    "harness-values": harness_values.read_everywhere,
    "conformance": conformance.checked,
    "sdk-texts": oracle.texts_read,
    "sdk-orders": oracle.orders_judged,
    "schemathesis": partial(program.results, examples=program.FEW),
}

_SECONDS: Final = 360
"""How long one suite may take; the longest takes half a minute on an idle machine."""


class Overdue(Exception):
    """A suite did not end in its time."""


def main() -> int:
    """Run them one after the other: each starts servers of its own, and some are about time."""
    parser = argparse.ArgumentParser(prog="python -m tests.strangers", description=__doc__)
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=", ".join(SUITES))
    asked = parser.parse_args().suites or list(SUITES)
    if unknown := [name for name in asked if name not in SUITES]:
        parser.error(f"there is no suite {unknown[0]!r}: there are {', '.join(SUITES)}")
    signal.signal(signal.SIGTERM, lambda _signal, _frame: sys.exit(128 + signal.SIGTERM))  # servers are stopped
    if reason := environments.missing() or local_chain.missing():
        sys.stderr.write(f"{reason}\n")
        return 2
    results: list[Result] = []
    broken: dict[str, str] = {}
    for name in asked:
        began = time.monotonic()
        try:
            with within(_SECONDS):
                results += SUITES[name](name)
        except Exception as exc:
            traceback.print_exc()
            broken[name] = f"{type(exc).__name__}: {exc}"
        sys.stderr.write(f"{name}: {time.monotonic() - began:.0f} s\n")
    return conclude(results, asked, broken)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Break the block off after its time, whatever it waits for; what it started is stopped on the way out."""

    def ring(_signal: int, _frame: FrameType | None) -> None:
        raise Overdue(f"it was not done after {seconds:g} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


if __name__ == "__main__":
    sys.exit(main())
