"""How many ticks one process finishes in a second, with a thousand runs whose planner takes one."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from time import perf_counter
from typing import Final

from agent.models import Constraints
from agent.planner import Plan
from agent.planner.context import PlanContext, Wait
from agent.rounds import Round
from agent.runs import Order, start
from agent.services import Services
from agent.settings import Settings
from agent.store.mongo import MongoDatabase
from agent.wiring import wire
from agent.world import real_world
from tests.bench.service.table import Figure

__all__ = ["measure"]

PLAN_SECONDS: Final = 1.0
_USERS: Final = 10


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


async def measure(database: MongoDatabase, runs: int, seconds: float) -> list[Figure]:
    """Ticks finished per second over so many seconds, once all are under way."""
    planner = Ponderous()
    services: Services = replace(wire(Settings(), real_world(), database), planner=planner)
    for number in range(runs):
        order = Order(f"u{number % _USERS}", "Fine-tune tiny-llm", 5_000_000, Constraints())
        await start(services.runs, services.world, order, None)
    round_ = Round(services, float("inf"))
    under_way = asyncio.create_task(round_.run())
    await asyncio.sleep(2 * PLAN_SECONDS)
    before, since = round_.done.ticks, perf_counter()
    await asyncio.sleep(seconds)
    rate = (round_.done.ticks - before) / (perf_counter() - since)
    round_.leave(3 * PLAN_SECONDS)
    done = await under_way
    await services.close()
    if done.failures:
        raise RuntimeError(f"{done.failures} ticks failed")
    what = f"ticks per second, one process, {runs:,} runs whose planner takes 1 s"
    return [Figure(what, f"{rate:.0f}", rate, 300, most=True)]
