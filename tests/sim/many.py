"""Many schedules, on several cores."""

from __future__ import annotations

import gc
import multiprocessing
import signal
from collections import Counter
from collections.abc import Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from itertools import islice
from typing import Final, TypeAlias

from tests.sim.random_runs import play

__all__ = ["Batch", "play_many"]

Batch: TypeAlias = tuple[int, Counter[str], int | None]
"""How many held, what they met, and the seed that did not."""

_BATCH: Final = 25


def play_many(seeds: Iterable[int], processes: int) -> Generator[Batch, None, None]:
    """Play them all, `processes` at a time; what each batch came to, as it comes. Close it to stop early."""
    rest = iter(seeds)
    # forked workers would share the parent's loops and locks; spawned ones begin clean
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(processes, context, initializer=_settle_in)
    waiting: set[Future[Batch]] = set()
    try:
        while True:
            while len(waiting) < 2 * processes and (batch := list(islice(rest, _BATCH))):
                waiting.add(pool.submit(_play, batch))
            if not waiting:
                return
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for each in done:
                yield each.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _settle_in() -> None:
    """What a worker does first. What was imported is never garbage, so it is not looked through each time."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it, and says what was done so far
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def _play(seeds: list[int]) -> Batch:
    counts: Counter[str] = Counter()
    for number, seed in enumerate(seeds):
        schedule = play(seed)
        counts += schedule.counts
        if schedule.reason is not None:
            return number, counts, seed
    return len(seeds), counts, None
