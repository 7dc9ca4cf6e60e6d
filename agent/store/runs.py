"""Runs and their records: jobs, payments, observations.

Every change of a run is one conditional write of its document (`claim`, `commit`, `request_cancel`). `tell`
copies what the run has decided to the other collections; it may be repeated, come late or come twice, and
changes nothing then.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, TypeVar

from bson import ObjectId
from pydantic import ValidationError
from pydantic.alias_generators import to_camel

from agent.book import ledger
from agent.book.clocks import FURTHEST
from agent.book.errors import IdempotencyConflict, LeaseLost, RunNotFound, RunUnreadable
from agent.book.models import INDEXES, Job, Lease, Observation, Outbox, Payment, Run
from agent.store.collections import Bson, Collection, Database, DuplicateId, older
from agent.store.places import PlaceStore

__all__ = ["RunPage", "RunStore"]

Record = TypeVar("Record", Run, Job, Payment, Observation)

_log = logging.getLogger(__name__)

_NOT_OURS: Final = ("_id", "createdAt", "cancelRequested")
"""Fields of a run that a tick never writes: the first two never change, the last is set from outside."""

_LISTED: Final = [to_camel(name) for name in Run.model_fields if name not in ("id", "outbox")]
"""Of a run in a list: what is told elsewhere may be large, and nobody looks for it there."""

_RECORDS_LIMIT: Final = 200
"""Jobs or payments of one run that are read at once; a run starts fewer (`agent.engine.tick.MAX_JOBS`)."""

STRAYS_LIMIT: Final = 1_000
"""Runs without a place in the order that are named."""

NO_ID: Final = "(an id of another kind)"
"""What stands for an id that is none of ours."""

_FAULTS_LOGGED: Final = 10

# A condition with a value meets values of its own kind only: all dates that a cursor can hold, and all ids.
_FIRST: Final[Bson] = {"$gte": datetime(1970, 1, 1, tzinfo=UTC)}
_LAST: Final[Bson] = {"$lt": datetime(5000, 1, 1, tzinfo=UTC)}
_ID: Final[Bson] = {"$gte": ObjectId("0" * 24)}
_IN_ORDER: Final[Bson] = {"createdAt": _FIRST | _LAST, "_id": _ID}
# One condition in each `$not`: an index serves no other.
_STRAY: Final[Bson] = {
    "$or": [{"createdAt": {"$not": _FIRST}}, {"createdAt": {"$not": _LAST}}, {"_id": {"$not": _ID}}]
}


@dataclass(frozen=True, slots=True)
class RunPage:
    """Runs, newest first, and the ids of those among them that cannot be read.

    `end`: where the next page begins, if any. Those that have no place in the order are on the last page.
    """

    runs: list[Run]
    unreadable: list[str]
    end: tuple[datetime, ObjectId] | None


class RunStore:
    """The runs of one database."""

    def __init__(self, database: Database) -> None:
        """Nothing is opened before the first operation."""
        self._database = database

    @property
    def places(self) -> PlaceStore:
        """The bound on a key's running runs."""
        return PlaceStore(self._database)

    @property
    def crowded(self) -> bool:
        """Whether operations on the database wait for others: no time to begin more ticks."""
        return self._database.crowded

    async def init(self) -> None:
        """Make the indexes. Repeatable; never on the request path."""
        for name, indexes in INDEXES.items():
            for keys in indexes:
                await self._of(name).ensure_index(keys)

    async def create(self, run: Run) -> Run:
        """Insert a new run, or return the one that the same request made before.

        Raises:
            IdempotencyConflict: the id was used for another request.
        """
        try:
            await self._of("runs").insert(run.to_document())
        except DuplicateId:
            there = await self.get(run.id)
            if there.request_hash != run.request_hash:
                raise IdempotencyConflict from None
            return there
        return run

    async def get(self, run_id: ObjectId, user_id: str | None = None) -> Run:
        """The run as it is now.

        Raises:
            RunNotFound: there is none, or none of this user (None: whoever's it is).
            RunUnreadable: there is one, of another version.
        """
        found = await self._of("runs").find_one(_whose(run_id, user_id))
        if found is None:
            raise RunNotFound(run_id)
        return _read(Run, found, found["_id"])

    async def claim(
        self,
        run_id: ObjectId,
        lease: Lease,
        now: datetime,
        user_id: str | None = None,
        *,
        if_due: bool = False,
    ) -> Run | None:
        """Take the lease of a running run (of this user) if it is free or over, and with `if_due` only if its tick
        is due still.

        None: it is not to be had. A lease that ends further ahead than any can was taken by a wrong clock, and
        is over. It is not due again before the lease is over, so nobody else finds it among what is due.
        """
        over: list[Bson] = [{"lease.until": {"$lte": now}}, {"lease.until": {"$gt": now + FURTHEST}}]
        free: list[Bson] = [{"lease": None}, *over]
        due: Bson = {"nextTickAt": {"$lte": now}} if if_due else {}
        found = await self._of("runs").update(
            {**_whose(run_id, user_id), "status": "running", "$or": free, **due},
            {"$set": {"lease": lease.to_document(), "nextTickAt": lease.until}, "$inc": {"tick": 1, "rev": 1}},
        )
        return None if found is None else _read(Run, found, found["_id"])

    async def commit(self, before: Run, after: Run) -> Run:
        """Write `after` over `before`, if this lease still holds and nobody wrote in between.

        Returns the run as stored, with what was set from outside meanwhile.

        Raises:
            LeaseLost: another tick holds the run now. Nothing was written.
            LedgerRefused: the books do not balance. Nothing was written.
        """
        ledger.check(after)
        if before.lease is None:
            raise LeaseLost(before.id)
        fields = {key: value for key, value in after.to_document().items() if key not in _NOT_OURS}
        found = await self._of("runs").update(
            {"_id": before.id, "lease.owner": before.lease.owner, "rev": before.rev},
            {"$set": {**fields, "rev": before.rev + 1}},
        )
        if found is None:
            raise LeaseLost(before.id)
        return _read(Run, found, found["_id"])

    async def request_cancel(self, run_id: ObjectId, user_id: str | None = None) -> Run:
        """Ask that a running run be cancelled; its next tick does it. An ended run stays as it is.

        Raises:
            RunNotFound: there is none, or none of this user (None: whoever's it is).
        """
        found = await self._of("runs").update(
            {**_whose(run_id, user_id), "status": "running"}, {"$set": {"cancelRequested": True}}
        )
        return await self.get(run_id, user_id) if found is None else _read(Run, found, found["_id"])

    async def tell(self, run: Run) -> None:
        """Copy the run's outbox to the collections of jobs, payments and observations."""
        for name, records in (("jobs", run.outbox.jobs), ("payments", run.outbox.payments)):
            for record in records:
                await self._replace_older(name, record.model_copy(update={"rev": run.rev}))
        if run.outbox.observations:
            entries = [_observation_document(entry) for entry in run.outbox.observations]
            await self._of("observations").insert_new(entries)

    async def told(self, run: Run) -> None:
        """Empty the outbox of the stored run, unless it has been written again since."""
        change: Bson = {"outbox": Outbox().to_document(), "endedUntold": False}
        if run.status != "running":
            change["stumble"] = None  # a run that has ended has no other tick that would clear it
        await self._of("runs").update({"_id": run.id, "rev": run.rev}, {"$set": change})

    async def jobs(self, run: Run) -> list[Job]:
        """The run's jobs, oldest first, as the run knows them."""
        if run.jobs_started == 0:
            return []
        found = await self._of("jobs").find({"runId": run.id}, [("createdAt", 1), ("_id", 1)], _RECORDS_LIMIT)
        known = {job.id: job for job in (_read(Job, each, run.id) for each in found)}
        known |= {job.id: job for job in (*run.outbox.jobs, *run.jobs.values())}
        return sorted(known.values(), key=lambda job: (job.created_at, job.id))

    async def payments(self, run: Run) -> list[Payment]:
        """The run's payments, oldest first, as the run knows them."""
        if run.jobs_started == 0:
            return []
        found = await self._of("payments").find({"runId": run.id}, [("createdAt", 1), ("_id", 1)], _RECORDS_LIMIT)
        known = {each.id: each for each in (_read(Payment, each, run.id) for each in found)}
        known |= {each.id: each for each in run.outbox.payments}
        return sorted(known.values(), key=lambda each: (each.created_at, each.id))

    async def observations(
        self, run: Run, limit: int, *, before: int | None = None, after: int | None = None
    ) -> list[Observation]:
        """A page of the trail, oldest first: the newest, those just before `before`, or those after `after`."""
        end = run.audit.seq if before is None else min(before - 1, run.audit.seq)
        first = max(1, end - limit + 1) if after is None else after + 1
        last = min(end, first + limit - 1)
        if last < first:
            return []
        # They have no gaps, so the ids are known: no index is needed but the one that every collection has.
        ids = [_observation_id(run.id, seq) for seq in range(first, last + 1)]
        found = await self._of("observations").find({"_id": {"$in": ids}}, [("_id", 1)], limit)
        known = {entry.seq: entry for entry in (_read(Observation, each, run.id) for each in found)}
        known |= {entry.seq: entry for entry in run.outbox.observations if first <= entry.seq <= last}
        return [known[seq] for seq in sorted(known)]

    async def page(
        self,
        limit: int,
        *,
        user_id: str | None = None,
        status: str | None = None,
        older_than: tuple[datetime, ObjectId] | None = None,
    ) -> RunPage:
        """Runs, newest first. One whose document cannot be read does not hide the others."""
        whose: Bson = {} if user_id is None else {"userId": user_id}
        whose |= {} if status is None else {"status": status}
        runs, where = self._of("runs"), whose | _IN_ORDER
        if older_than is not None:
            where |= older(*older_than, since=_FIRST)
        found = await runs.find(where, [("createdAt", -1), ("_id", -1)], limit + 1, _LISTED)
        if len(found) > limit:
            last = found[limit - 1]
            return _page(found[:limit], (), (last["createdAt"], last["_id"]))
        strays = await runs.find({**whose, **_STRAY}, [("_id", 1)], STRAYS_LIMIT, ("_id",))
        return _page(found, strays, None)

    async def newest_at(self) -> datetime | None:
        """When the newest run was begun; None: there is none."""
        found = await self._of("runs").find(_IN_ORDER, [("createdAt", -1), ("_id", -1)], 1, ("createdAt",))
        return found[0]["createdAt"] if found else None

    async def count(self, status: str) -> int:
        """How many runs have that status."""
        return await self._of("runs").count({"status": status})

    def _of(self, name: str) -> Collection:
        return self._database.collection(name)

    async def _replace_older(self, name: str, record: Job | Payment) -> None:
        try:
            await self._of(name).replace(
                {"_id": record.id, "rev": {"$lt": record.rev}}, record.to_document(), upsert=True
            )
        except DuplicateId:
            return  # what is stored is as new or newer


def _whose(run_id: ObjectId, user_id: str | None) -> Bson:
    """The condition for a run: whose it is costs no command of its own."""
    return {"_id": run_id} if user_id is None else {"_id": run_id, "userId": user_id}


def _observation_id(run_id: ObjectId, seq: int) -> str:
    # It makes a second copy impossible, and sorts as the trail does.
    return f"{run_id}:{seq:010d}"


def _read(kind: type[Record], found: Bson, run_id: ObjectId) -> Record:
    """What is stored of a run, as it is used here.

    Raises:
        RunUnreadable: it is not what this version writes. The log has the fields, and nothing of what they hold.
    """
    try:
        return kind.model_validate(found)
    except ValidationError as exc:
        faults = [(".".join(map(str, each["loc"])), each["type"]) for each in exc.errors(include_input=False)]
        _log.warning("a %s of run %s cannot be read: %s", kind.__name__, run_id, faults[:_FAULTS_LOGGED])
        raise RunUnreadable(run_id) from None


def _page(found: Sequence[Bson], strays: Sequence[Bson], end: tuple[datetime, ObjectId] | None) -> RunPage:
    runs, unreadable = [], [_shown(each["_id"]) for each in strays]
    for each in found:
        try:
            runs.append(_read(Run, each, each["_id"]))
        except RunUnreadable:
            unreadable.append(_shown(each["_id"]))
    return RunPage(runs, unreadable, end)


def _shown(run_id: object) -> str:
    """The id; what is stored instead of one is nobody's to see."""
    return str(run_id) if isinstance(run_id, ObjectId) else NO_ID


def _observation_document(entry: Observation) -> Bson:
    return {"_id": _observation_id(entry.run_id, entry.seq), **entry.to_document()}
