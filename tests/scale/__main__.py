"""`python -m tests.scale`: the figures of docs/scale.md, on a MongoDB server of its own. `--quick`: does it work?

MONGODB_TEST_URI names another server. The queue of a million runs takes some minutes and 9 GB of memory.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import Final

from tests.scale.queue import Crowd, ask
from tests.scale.ticks import cost_of_a_run
from tests.wire.given import HOW_TO_GET_ONE
from tests.wire.servers import served

ROOMY: Final = {"-Xmx512m": "-Xmx9g", "-XX:+UseSerialGC": "-XX:+UseParallelGC"}


def main() -> int:
    """Exit code: 0 where all of it could be measured."""
    asked = argparse.ArgumentParser(prog="python -m tests.scale", description=__doc__)
    asked.add_argument("--runs", type=int, default=1_000_000, help="runs in the queue (default: a million)")
    asked.add_argument("--quick", action="store_true", help="few of everything")
    options = asked.parse_args()
    runs = 2_000 if options.quick else options.runs
    with served(_roomy) as server:
        if server is None:
            _say(f"no MongoDB server: {HOW_TO_GET_ONE}")
            return 1
        _ticks(server.uri)
        _queue(server.uri, Crowd(runs, runs // 10, min(999, runs // 100)))
    return 0


def _roomy(words: list[str]) -> list[str]:
    """With its data in memory: from its file it reads a million runs for minutes."""
    return [ROOMY.get(word, word) for word in words[:-1]]


def _ticks(uri: str) -> None:
    cost = asyncio.run(cost_of_a_run(uri))
    _say("one run that loses its first vendor:")
    for name, traffic in cost.traffic.items():
        wire = f"{traffic.sent:6} B sent, {traffic.received:6} B received"
        _say(f"  {name:48} {traffic.total:3} commands, {traffic.writes:2} writes, {wire}")
    for name, (number, size) in cost.stored.items():
        _say(f"  stored in {name:38} {number:3} documents, {size:6} B")


def _queue(uri: str, crowd: Crowd) -> None:
    filled, answers = asyncio.run(ask(uri, crowd))
    due = f"{crowd.hog} due of one user, {crowd.others} of others"
    _say(f"{crowd.runs} running runs, {due}; filled in {filled:.0f} s")
    for each in answers:
        keys = "by _id" if each.keys is None else f"{each.keys} keys"
        _say(f"  {each.question:34} {each.found:5} found, {each.seconds * 1_000:9.1f} ms, index: {keys}")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
