"""Which runs are due, and what becomes of those whose ticks cannot even be made.

A claim takes its run out of this queue until the lease is over (`RunStore.claim` moves `nextTickAt` there), so a
page holds what nobody is at. It is read from the index alone: no run document is opened for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from bson import ObjectId
from pydantic import ValidationError

from agent.book.clocks import FURTHEST
from agent.book.models import Stumble
from agent.store.collections import Bson, Collection, Database

__all__ = ["PARKED_AFTER", "Due", "DueStore", "ParkedRun", "pause"]

_log = logging.getLogger(__name__)

PARKED_AFTER: Final = 10
"""Ticks in a row that could not be made, after which a run counts as parked. It is tried again all the same."""

FIRST_PAUSE: Final = timedelta(seconds=15)
LONGEST_PAUSE: Final = timedelta(hours=1)

CALLED_LIMIT: Final = 100
"""Cancelled runs, and runs with last words to tell, that one look finds of each kind."""

_REASONS: Final = {
    "unreadable": "the run's document cannot be read: it was written by another version, or by another hand",
    "untold": "the run has ended, but its last words cannot be copied to the other collections",
    "store_unavailable": "the database refuses what the tick asks of it, or answers too late",
    "internal_error": "the tick ends in a fault of ours before it has begun; the log has it",
}
"""Why a tick could not be made, in our words: an exception's own may hold what nobody is to see."""

_FIELDS: Final = ("userId", "nextTickAt")


@dataclass(frozen=True, slots=True)
class Due:
    """A run for which a tick has something to do. `at`: since when; None: at once."""

    run_id: ObjectId
    user_id: str
    at: datetime | None


@dataclass(frozen=True, slots=True)
class ParkedRun:
    """A run whose ticks cannot be made, as far as it can be read."""

    run_id: ObjectId
    user_id: str
    status: str
    stumble: Stumble


def pause(times: int) -> timedelta:
    """How long a run rests after so many ticks in a row that could not be made: twice as long each time."""
    doubled: int = 2 ** min(times - 1, 20)
    return min(FIRST_PAUSE * doubled, LONGEST_PAUSE)


class DueStore:
    """The queue of one database. Every operation may raise `StoreUnavailable`."""

    def __init__(self, database: Database) -> None:
        """Nothing is opened before the first operation."""
        self._database = database

    async def page(self, now: datetime, limit: int, without: Sequence[str] = ()) -> list[Due]:
        """Running runs whose tick is due, the longest waiting first; none of the users `without`."""
        where = _due(now) | ({"userId": {"$nin": list(without)}} if without else {})
        found = await self._runs.find(where, [("nextTickAt", 1)], limit, _FIELDS)
        return [Due(each["_id"], str(each.get("userId")), each["nextTickAt"]) for each in found]

    async def called(self, now: datetime) -> list[Due]:
        """Runs with something to do whatever `nextTickAt` says: to be cancelled, with last words to tell, or due
        so far ahead that a wrong clock must have said so.
        """
        kinds = await asyncio.gather(
            *(self._runs.find(where, (), CALLED_LIMIT, ("userId",)) for where in _called(now))
        )
        return [Due(each["_id"], str(each.get("userId")), None) for found in kinds for each in found]

    async def next_at(self, now: datetime) -> datetime | None:
        """When the next tick comes due of those that are not due yet; None: there is none."""
        where = {"status": "running", "nextTickAt": {"$gte": now}}
        found = await self._runs.find(where, [("nextTickAt", 1)], 1, _FIELDS)
        return found[0]["nextTickAt"] if found else None

    async def count(self, now: datetime, limit: int) -> int:
        """How many are due, counted to about `limit`."""
        kinds = [_due(now), *_called(now)]
        return sum(await asyncio.gather(*(self._runs.count(where, limit) for where in kinds)))

    async def stumbled(self, run_id: ObjectId, now: datetime, code: str) -> None:
        """Count a tick that could not be made, and let the run rest. Needs no document that can be read.

        `code` is one of `_REASONS`. Of many who count the same failure at once, one does.
        """
        found = await self._runs.find({"_id": run_id}, (), 1, ("status", "stumble"))
        if not found:
            return
        status, last = found[0].get("status"), found[0].get("stumble")
        counted = last.get("times") if isinstance(last, dict) else None
        times = counted + 1 if isinstance(counted, int) else 1
        as_read = {"stumble.times": counted} if isinstance(last, dict) else {"stumble": last}
        stumble = Stumble(times=times, code=code, message=_REASONS[code], at=now, until=now + pause(times))
        change: Bson = {"stumble": stumble.to_document()}
        if status == "running":
            change["nextTickAt"] = stumble.until
        await self._runs.update({"_id": run_id, "status": status, **as_read}, {"$set": change})

    async def parked(self, limit: int, user_id: str | None = None) -> list[ParkedRun]:
        """Parked runs, those that failed most often first; only this user's where one is named."""
        where = _PARKED | ({} if user_id is None else {"userId": user_id})
        found = await self._runs.find(where, [("stumble.times", -1)], limit, ("userId", "status", "stumble"))
        return [parked for parked in map(_parked, found) if parked is not None]

    async def count_parked(self, limit: int) -> int:
        """How many are parked, counted to `limit`."""
        return await self._runs.count(_PARKED, limit)

    @property
    def _runs(self) -> Collection:
        return self._database.collection("runs")


_PARKED: Final[Bson] = {"stumble.times": {"$gte": PARKED_AFTER}}


def _parked(found: Bson) -> ParkedRun | None:
    """None: not even why it is parked can be read."""
    try:
        stumble = Stumble.model_validate(found["stumble"])
    except ValidationError:
        _log.warning("parked run %s is not listed: what is stored of its failures cannot be read", found["_id"])
        return None
    return ParkedRun(found["_id"], str(found.get("userId")), str(found.get("status")), stumble)


def _due(now: datetime) -> Bson:
    return {"status": "running", "nextTickAt": {"$lte": now}}


def _called(now: datetime) -> tuple[Bson, ...]:
    """Cancelled, ended and untold, or due further ahead than any can be. Whoever stumbled waits for its next
    turn here as well: a running one for its `nextTickAt`."""
    rested: list[Bson] = [{"stumble": None}, {"stumble.until": {"$lte": now}}]
    return (
        {"status": "running", "cancelRequested": True, "ending": None, "stumble": None},
        {"endedUntold": True, "$or": rested},
        {"status": "running", "nextTickAt": {"$gt": now + FURTHEST}},
    )
