"""`python -m tests.sim.crash_everywhere`: every death, every failure, every pair of deaths, and their number.

The tests die twice only within a purchase; here they do so anywhere in a run. Takes minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import multiprocessing
import os
import sys
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from enum import StrEnum

import stamina

from tests.sim.crash import Lived, Never, crashes, failures, pairs, stragglers
from tests.sim.crash_scenarios import SCENARIOS, Scenario
from tests.sim.oracle import Wrong
from tests.sim.quick import quick_copies

__all__ = ["Figures", "crash_everywhere"]


class Kind(StrEnum):
    """What is done to a run."""

    DEATH = "killed at an effect"
    FAILURE = "an effect failed"
    PAIR = "killed at two effects"
    LATE = "killed, and what was sent arrived late"


@dataclass(frozen=True, slots=True)
class Figures:
    """How many lives there were of each kind, in how many seconds; and what was wrong, one sentence each."""

    lives: dict[Kind, int]
    seconds: float
    wrong: tuple[str, ...]

    def __str__(self) -> str:
        rows = [(str(kind), f"{number:,}") for kind, number in self.lives.items()]
        rows = [("scenarios", f"{len(SCENARIOS):,}"), *rows, ("seconds", f"{self.seconds:.1f}")]
        width = max(len(name) for name, _ in rows)
        return "\n".join([*(f"{name:{width}}  {number:>12}" for name, number in rows), *self.wrong]) + "\n"


@dataclass(frozen=True, slots=True)
class _Task:
    place: int
    kind: Kind
    after: bool


def crash_everywhere(*, twice: bool, processes: int) -> Figures:
    """Live every scenario through a death and a failure at each effect, and (`twice`) each pair of deaths,
    and what was sent arriving late."""
    began, lives, wrong = time.monotonic(), dict.fromkeys(Kind, 0), []
    # forked workers would share the parent's loops and locks; spawned ones begin clean
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        for task, (count, found) in zip(tasks := list(_tasks(twice=twice)), pool.map(_run, tasks), strict=True):
            lives[task.kind] += count
            if found is not None:
                wrong.append(found)
    return Figures(lives, time.monotonic() - began, tuple(wrong))


def _tasks(*, twice: bool) -> Iterator[_Task]:
    for place, scenario in enumerate(SCENARIOS):
        if twice and not scenario.long:
            yield _Task(place, Kind.PAIR, after=True)
        if twice and scenario.twice:
            yield _Task(place, Kind.LATE, after=True)
        for kind in (Kind.DEATH, Kind.FAILURE):
            yield _Task(place, kind, after=False)
            yield _Task(place, kind, after=True)


def _run(task: _Task) -> tuple[int, str | None]:
    """How many lives were lived, and what was wrong with the last of them."""
    logging.disable(logging.CRITICAL)
    with stamina.set_testing(True, attempts=3), quick_copies():
        return asyncio.run(_live(SCENARIOS[task.place], task))


async def _live(scenario: Scenario, task: _Task) -> tuple[int, str | None]:
    count = 0
    try:
        async for lived in _lives(scenario, task):
            count += 1
            if not lived.as_it_must(scenario.end):
                return count, f"{scenario.name}, {[each.where for each in lived.wounds]}: {lived.end}"
    except (Wrong, Never) as found:
        return count, f"{scenario.name}, {task.kind}, life {count + 1}: {found}"
    return count, None


def _lives(scenario: Scenario, task: _Task) -> AsyncIterator[Lived]:
    if task.kind is Kind.PAIR:
        return pairs(scenario, everywhere=True)
    if task.kind is Kind.LATE:
        return stragglers(scenario)
    return (crashes if task.kind is Kind.DEATH else failures)(scenario, after=task.after)


def main() -> int:
    """1: something was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.sim.crash_everywhere")
    parser.add_argument("--once", action="store_true", help="no pairs")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="how many at a time")
    asked = parser.parse_args()
    figures = crash_everywhere(twice=not asked.once, processes=asked.processes)
    sys.stdout.write(str(figures))
    return 1 if figures.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
