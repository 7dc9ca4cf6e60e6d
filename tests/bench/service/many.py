"""How many ticks one process finishes in a second, with a thousand runs whose planner takes one."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from time import perf_counter, process_time
from typing import Final

from agent.book.models import Constraints
from agent.dispatch.rounds import Round
from agent.engine.services import Services
from agent.intake.runs import Order, start
from agent.kinds.rental.planner import Plan
from agent.kinds.rental.planner.context import PlanContext, Wait
from agent.process.settings import Settings
from agent.process.world import real_world
from agent.store.mongo import MongoDatabase
from agent.wiring import wire
from tests.bench.service.table import Figure
from vendors.models import Vendor

__all__ = ["measure"]

PLAN_SECONDS: Final = 1.0
_USERS: Final = 10

_VENDOR: Final = Vendor(
    vendor_id="v",
    name="v",
    endpoint="https://gpu.example",
    base_price_per_hour=1_000_000,
    reliability_score=0.9,
    reliability_prior=0.9,
    supported_gpu_types=("A100",),
    pay_to=None,
    secret_ref="GPU_VENDOR_SECRET",
    created_at=datetime(2026, 1, 1, tzinfo=UTC),
)


class Ponderous:
    """A planner that takes its time and then wants to wait."""

    def __init__(self) -> None:
        """Nothing was planned yet."""
        self.plans = 0

    async def plan(self, context: PlanContext, timeout: float) -> Plan:  # noqa: ASYNC109
        """Wait for a second."""
        await asyncio.sleep(PLAN_SECONDS)
        self.plans += 1
        action = Wait(action="wait", seconds=1, reason="thinking")
        return Plan(action, "stub", None, None, None, None, int(PLAN_SECONDS * 1_000), None, None)


class _Ticking:
    """Round after round, as a worker makes them."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._rounds: list[Round] = []
        self._stopped = False

    @property
    def ticks(self) -> int:
        return sum(each.done.ticks for each in self._rounds)

    @property
    def failures(self) -> int:
        return sum(each.done.failures for each in self._rounds)

    async def go_on(self) -> None:
        while not self._stopped:
            self._rounds.append(Round(self._services, float("inf")))
            await self._rounds[-1].run()
            await asyncio.sleep(0.05)

    def stop(self) -> None:
        self._stopped = True
        self._rounds[-1].leave(3 * PLAN_SECONDS)


async def measure(database: MongoDatabase, runs: int, seconds: float) -> list[Figure]:
    """Ticks finished per second over so many seconds, once all are under way."""
    planner = Ponderous()
    services: Services = wire(Settings(), real_world(), database, planner=planner)
    await services.vendors.add(_VENDOR)  # without one no planner would be asked
    for number in range(runs):
        order = Order(f"u{number % _USERS}", "Fine-tune tiny-llm", 5_000_000, Constraints())
        await start(services.runs, services.world, order, None)
    ticking = _Ticking(services)
    under_way = asyncio.create_task(ticking.go_on())
    await asyncio.sleep(2 * PLAN_SECONDS)
    before, since, worked = ticking.ticks, perf_counter(), process_time()
    await asyncio.sleep(seconds)
    ticks = ticking.ticks - before
    rate, each = ticks / (perf_counter() - since), (process_time() - worked) / max(1, ticks) * 1e3
    ticking.stop()
    await under_way
    await services.close()
    if ticking.failures:
        sys.stdout.write(f"{ticking.failures} ticks failed\n")
    what = f"ticks per second, one process, {runs:,} runs whose planner takes 1 s"
    return [Figure(what, f"{rate:.0f} ({each:.1f} ms of the process each)", rate, 300, most=True)]
