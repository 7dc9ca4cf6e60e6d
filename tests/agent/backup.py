"""Backups of an embedded database, taken in the middle of things and restored elsewhere or where they were."""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, TypeVar

from agent.book.errors import RunBusy
from agent.book.models import INDEXES, Run
from agent.engine.restored import RestoreWatch
from agent.store.allowances import AllowanceStore
from agent.store.collections import Database
from agent.store.due import DueStore
from agent.store.embedded import EmbeddedDatabase
from agent.store.keys import KeyStore
from agent.store.runs import RunStore
from agent.store.vendors import VendorStore
from tests.agent.stage import Stage

T = TypeVar("T")
Dump = dict[str, list[dict[str, Any]]]


async def dump(database: Database) -> Dump:
    """All documents."""
    return {
        name: copy.deepcopy(await database.collection(name).find({}, [("_id", 1)], 10_000)) for name in INDEXES
    }


async def restore(backup: Dump, database: Database | None = None) -> Database:
    """The documents in this database alone, or in a new one."""
    database = database or EmbeddedDatabase()
    for name, documents in backup.items():
        for there in await database.collection(name).find({}, [("_id", 1)], 10_000):
            await database.collection(name).delete({"_id": there["_id"]})
        for document in documents:
            await database.collection(name).insert(copy.deepcopy(document))
    return database


def moved_to(stage: Stage, database: Database) -> Stage:
    """A process that was started on another database; vendors, chain and clock stay."""
    services = replace(
        stage.services,
        runs=RunStore(database),
        due=DueStore(database),
        vendors=VendorStore(database),
        allowances=AllowanceStore(database),
        keys=KeyStore(database),
        restored=RestoreWatch(database, stage.services.world),
    )
    return replace(stage, services=services, database=database)


async def live_on(stage: Stage, run: Run, ticks: int) -> Run:
    """So many ticks, each when it is due, or as many as the run has left."""
    for _ in range(ticks):
        try:
            run = (await stage.tick(run)).run
        except RunBusy as busy:
            stage.clock.pass_(busy.retry_after)
            continue
        if run.next_tick_at is None:
            break
        stage.clock.now = max(stage.clock.now, run.next_tick_at)
    return run


class BackupAfter:
    """A watcher of effects that takes a backup when the n-th has happened."""

    def __init__(self, number: int) -> None:
        """`stage` is to be set before the first effect."""
        self.stage: Stage | None = None
        self.backup: Dump | None = None
        self.paid = 0
        """What the vendors had settled by then."""
        self._left = number

    async def watch(self, name: str, effect: Callable[[], Awaitable[T]]) -> T:
        """Let the effect happen."""
        result = await effect()
        self._left -= 1
        if self._left == 0 and self.stage is not None:
            self.backup = await dump(self.stage.database)
            self.paid = sum(each.amount for each in self.stage.record.settlements)
        return result
