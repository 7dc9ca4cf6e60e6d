"""The stage of the core's tests on a server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from agent.store.mongo import MongoDatabase
from agent.store.runs import RunStore
from tests.agent.stage import Stage, a_stage
from tests.wire.given import fresh_name

__all__ = ["stage_on"]

EPOCH_SECONDS: Final = 10.0


@asynccontextmanager
async def stage_on(uri: str) -> AsyncIterator[Stage]:
    """A stage whose documents are in a database of its own on the server, with all indexes; gone afterwards."""
    database = MongoDatabase(uri, fresh_name(), patience_ms=30_000)
    try:
        await RunStore(database).init()
        yield await a_stage("gpu_vendor_1:fail_at_epoch=2", epoch_seconds=EPOCH_SECONDS, database=database)
    finally:
        await database.drop()
        await database.close()
