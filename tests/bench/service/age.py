"""What a tick and a page of status cost late in a run's life, against early in it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from statistics import median
from time import perf_counter
from typing import Final

from agent.book.audit import observe
from agent.book.models import Outbox, Run
from agent.store.mongo import MongoDatabase
from agent.store.runs import RunStore
from tests.agent.stage import Stage, a_stage
from tests.bench.service.table import Figure

__all__ = ["measure"]

YOUNG: Final = 100
PAGE: Final = 100
_AT_ONCE: Final = 1_000


async def measure(database: MongoDatabase, old: int, rounds: int) -> list[Figure]:
    """Both, as ratios of a run with `old` observations to one with a hundred; they take turns."""
    stage = await a_stage(database=database, epoch_seconds=3_600)
    runs = [await _aged(stage, YOUNG), await _aged(stage, old)]
    ticks: list[list[float]] = [[], []]
    pages: list[list[float]] = [[], []]
    for _ in range(rounds):
        stage.clock.pass_(5)
        for place, run in enumerate(runs):
            ticks[place].append(await _timed(partial(stage.tick, run)))
            pages[place].append(await _timed(partial(_page, database, run)))
    return [
        _row(f"{what} with {old:,} observations in the run, against {YOUNG}", taken)
        for what, taken in (("a waiting tick", ticks), ("a page of status", pages))
    ]


def _row(what: str, taken: list[list[float]]) -> Figure:
    young, old = (median(each) * 1e3 for each in taken)
    return Figure(what, f"{old / young:.2f} ({old:.2f} / {young:.2f} ms)", old / young, 1.2)


async def _timed(once: Callable[[], Awaitable[object]]) -> float:
    start = perf_counter()
    await once()
    return perf_counter() - start


async def _page(database: MongoDatabase, run: Run) -> None:
    store = RunStore(database)
    now = await store.get(run.id)
    if len(await store.observations(now, PAGE)) != PAGE:
        raise RuntimeError("the page is not full")
    await store.jobs(now)
    await store.payments(now)


async def _aged(stage: Stage, observations: int) -> Run:
    """A run with a job under way and so many observations behind it, all of them told."""
    run = await stage.start()
    await stage.tick(run)
    store = RunStore(stage.database)
    stored = await store.get(run.id)
    while stored.audit.seq < observations:
        older = stored
        for _ in range(min(_AT_ONCE, observations - stored.audit.seq)):
            stored = observe(stored, stage.clock.now, "job_log", "epoch 1/3: loss 0.69, accuracy 0.51, 93 s left")
        await store.tell(stored)
        stored = stored.model_copy(update={"outbox": Outbox(), "audit": stored.audit})
        if stored.audit.seq == older.audit.seq:
            raise AssertionError("unreachable: a trail only grows")
    await stage.database.collection("runs").update(
        {"_id": run.id}, {"$set": {"audit": stored.audit.to_document()}}
    )
    stage.clock.now += timedelta(seconds=1)
    return stored
