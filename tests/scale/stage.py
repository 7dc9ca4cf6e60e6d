"""The stage of the core's tests on a server, and planners that cost time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from agent.planner import Plan, Planner
from agent.planner.context import PlanContext, Wait
from agent.store.allowances import AllowanceStore
from agent.store.due import DueStore
from agent.store.mongo import MongoDatabase
from agent.store.runs import RunStore
from agent.store.vendors import VendorStore
from gpu_vendor_mock.catalog import DEFAULT_CATALOG
from tests.agent.stage import Stage, a_stage, registered
from tests.wire.given import fresh_name

__all__ = ["Thoughtful", "stage_on"]


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
async def stage_on(uri: str, planner: Planner | None = None, epochs: float = 10) -> AsyncIterator[Stage]:
    """A stage whose documents are in a database of its own on the server, with all indexes; gone afterwards."""
    stage = await a_stage("gpu_vendor_1:fail_at_epoch=2", planner=planner, epoch_seconds=epochs)
    database = MongoDatabase(uri, fresh_name(), patience_ms=30_000)
    stage.services = replace(
        stage.services,
        runs=RunStore(database),
        due=DueStore(database),
        vendors=VendorStore(database),
        allowances=AllowanceStore(database),
    )
    stage.database = database
    try:
        await stage.services.runs.init()
        for persona in DEFAULT_CATALOG:
            await stage.services.vendors.add(registered(persona, pinned=True))
        yield stage
    finally:
        await database.drop()
        await database.close()
