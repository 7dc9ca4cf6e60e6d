"""How many ticks one process finishes per second while each waits for its planner."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from agent.models import Constraints
from agent.rounds import CONCURRENT_TICKS, Round
from agent.runs import Order, start
from tests.scale.stage import Thoughtful, stage_on

__all__ = ["Speed", "ticks_per_second"]


@dataclass(frozen=True)
class Speed:
    """Ticks finished, in how many seconds, of which the process was at work for `cpu`."""

    ticks: int
    seconds: float
    cpu: float

    @property
    def per_second(self) -> float:
        """Ticks finished per second."""
        return self.ticks / self.seconds

    @property
    def cpu_ms(self) -> float:
        """Milliseconds of this process per tick; the server is another one."""
        return self.cpu / self.ticks * 1_000


async def ticks_per_second(uri: str, runs: int, think: float) -> Speed:
    """One round over so many runs of ten users, whose planner thinks for `think` seconds."""
    async with stage_on(uri, Thoughtful(think)) as stage:
        services = stage.services
        for number in range(0, runs, CONCURRENT_TICKS):
            orders = [
                Order(f"u{each % 10}", f"run {each}", 5_000_000, Constraints())
                for each in range(number, min(runs, number + CONCURRENT_TICKS))
            ]
            await asyncio.gather(*(start(services.runs, services.world, order, None) for order in orders))
        began, cpu = time.perf_counter(), time.process_time()
        done = await Round(services, float("inf")).run()
        assert (done.ticks, done.failures) == (runs, 0), done
        return Speed(done.ticks, time.perf_counter() - began, time.process_time() - cpu)
