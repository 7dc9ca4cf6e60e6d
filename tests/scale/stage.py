"""The stage of the core's tests on a server, and planners that cost time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from agent.planner import Plan, Planner
from agent.planner.context import PlanContext, Wait
from agent.store.mongo import MongoDatabase
from agent.store.runs import RunStore
from tests.agent.stage import Stage, a_stage
from tests.wire.given import fresh_name

__all__ = ["Thoughtful", "stage_on"]

EPOCH_SECONDS: Final = 10.0


class Thoughtful:
    """A planner that thinks for some real seconds, and then waits."""

    def __init__(self, seconds: float) -> None:
        """Has not been asked yet."""
        self.seconds = seconds

    async def plan(self, context: PlanContext, timeout: float) -> Plan:  # noqa: ASYNC109 (Planner's face)
        """Wait, after a while."""
        await asyncio.sleep(self.seconds)
        return Plan(Wait(seconds=600, reason="prices may fall"), "stub", None, None, None, None, 0, None, None)


@asynccontextmanager
async def stage_on(uri: str, planner: Planner | None = None) -> AsyncIterator[Stage]:
    """A stage whose documents are in a database of its own on the server, with all indexes; gone afterwards."""
    database = MongoDatabase(uri, fresh_name(), patience_ms=30_000)
    try:
        await RunStore(database).init()
        yield await a_stage(
            "gpu_vendor_1:fail_at_epoch=2", planner=planner, epoch_seconds=EPOCH_SECONDS, database=database
        )
    finally:
        await database.drop()
        await database.close()
