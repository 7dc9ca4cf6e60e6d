"""A round over a slow store gets slower, never wrong: no more ticks run than connections can serve."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from bson import ObjectId

from agent.book.models import Constraints
from agent.dispatch.rounds import Done, Round
from agent.intake.runs import Order, start
from agent.process.settings import Settings
from agent.process.world import World
from agent.store.collections import Collection, Database
from agent.store.embedded import EmbeddedDatabase
from agent.store.mongo import CONNECTIONS
from agent.wiring import wire
from tests.sim.loop import VirtualClock, VirtualLoop


class Slow:
    """A database whose every command takes so long, over so many connections."""

    embedded = True

    def __init__(self, seconds: float) -> None:
        self._inner = EmbeddedDatabase()
        self.seconds = seconds
        self.waiting = 0
        self._turns = asyncio.Semaphore(CONNECTIONS)

    @property
    def crowded(self) -> bool:
        return self.waiting >= CONNECTIONS

    def collection(self, name: str) -> Collection:
        return _SlowCollection(self, self._inner.collection(name))  # type: ignore[return-value]  # by __getattr__

    async def origins(self) -> dict[str, str]:
        return await self.command(self._inner.origins)  # type: ignore[no-any-return]  # what the inner one gives

    async def ping(self) -> None:
        """It is there."""

    async def close(self) -> None:
        """Nothing is open."""

    async def command(self, once: Callable[..., Awaitable[Any]], *args: Any, **options: Any) -> Any:
        self.waiting += 1
        try:
            await self._turns.acquire()
        finally:
            self.waiting -= 1
        try:
            await asyncio.sleep(self.seconds)
            return await once(*args, **options)
        finally:
            self._turns.release()


class _SlowCollection:
    def __init__(self, database: Slow, inner: Collection) -> None:
        self._database = database
        self._inner = inner

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        once = getattr(self._inner, name)
        return lambda *args, **options: self._database.command(once, *args, **options)


async def _round(clock: VirtualClock, database: Slow, runs: int) -> Done:
    world = World(
        now=clock.now,
        monotonic=clock.seconds,
        new_id=ObjectId,
        new_token=lambda: secrets.token_hex(8),
        below=lambda _: 0,
        wall=clock.unix,
    )
    as_database: Database = database
    services = wire(Settings(), world, as_database)
    seconds, database.seconds = database.seconds, 0.0
    for number in range(runs):
        order = Order(f"u{number % 50}", "g", 1_000_000, Constraints())
        await start(services.runs, world, order, None)
    database.seconds = seconds
    done = await Round(services, float("inf")).run()
    await services.close()
    return done


@pytest.mark.parametrize(("milliseconds", "runs"), [(50, 300), (500, 300), (2_000, 1_000)])
def test_a_round_over_a_slow_store_gets_slower_and_never_wrong(milliseconds: int, runs: int) -> None:
    """Up to a thousand due runs, in virtual time: each has its tick, none fails, and no lease runs out over it."""
    clock = VirtualClock(datetime(2026, 11, 21, 8, tzinfo=UTC))

    def idle(seconds: float | None) -> None:
        clock.ms += max(1, round((seconds or 0) * 1_000))

    loop = VirtualLoop(clock, idle)
    try:
        done = loop.run_until_complete(_run(clock, milliseconds / 1_000, runs))
    finally:
        loop.close()

    assert (done.ticks, done.failures, done.busy, done.cut_off) == (runs, 0, 0, 0)


async def _run(clock: VirtualClock, seconds: float, runs: int) -> Done:
    return await _round(clock, Slow(seconds), runs)
