"""The queue of very many runs: what a round asks of it, how long a server takes, how many index keys it is about.

mongo-java-server, which the tests run on where there is no mongod, takes no secondary index but unique ones, and
uses that of `_id` only where nothing else is asked for. The seconds measured on it are those of reading every run,
an upper bound. The keys are counted by walking the declared index over the same runs, as a server with indexes
does.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from unittest import mock

from bson import ObjectId

from agent.book.models import Lease
from agent.dispatch.turns import fair_page
from agent.store import mongo
from agent.store.due import Due, DueStore
from agent.store.mongo import MongoDatabase
from agent.store.runs import RunStore
from tests.agent.builders import NOW, a_run
from tests.wire.given import fresh_name

__all__ = ["Answer", "Crowd", "Indexed", "ask"]

BATCH: Final = 10_000
PAGE: Final = 1_000
ASKED_FOR: Final = (
    "status",
    "goal",
    "lease",
    "cancelRequested",
    "ending",
    "endedUntold",
    "stumble",
    "tick",
    "rev",
)
TIMES: Final = 3
"""Times that each question is asked; the quickest counts."""

PATIENCE_MS: Final = 600_000
LATER: Final = NOW + timedelta(hours=1)


@dataclass(frozen=True)
class Crowd:
    """`runs` running runs: `hog` due ones of one user, who have waited longest, then one due run of each of
    `others`; the rest is not due yet."""

    runs: int
    hog: int
    others: int

    def queue(self) -> Iterator[tuple[datetime, str, ObjectId]]:
        """Index keys (nextTickAt, userId, _id) of all of them, in the index's order."""
        for number in range(self.runs):
            run_id = ObjectId(f"{number:024x}")
            if number < self.hog:
                yield NOW - timedelta(hours=1) + timedelta(milliseconds=number), "hog", run_id
            elif number < self.hog + self.others:
                yield NOW - timedelta(seconds=1), f"user {number}", run_id
            else:
                yield LATER + timedelta(milliseconds=number), f"user {number % 1_000}", run_id

    def documents(self) -> Iterator[dict[str, Any]]:
        """The runs as they are stored, cut down to what is asked for; the last one, which is claimed, is whole."""
        whole = a_run().to_document()
        bare = {name: whole[name] for name in ASKED_FOR}
        for number, (at, user, run_id) in enumerate(self.queue(), start=1):
            rest = whole if number == self.runs else bare
            yield {**rest, "_id": run_id, "userId": user, "nextTickAt": at}


class Indexed:
    """Pages as a server gives them that walks the index (status, nextTickAt, userId, _id); it counts the keys."""

    def __init__(self, crowd: Crowd) -> None:
        """The keys are in memory from here on."""
        self._keys = list(crowd.queue())
        self.examined = 0

    async def page(self, now: datetime, limit: int, without: Any = ()) -> list[Due]:
        """A page: keys are walked from the first due one until there are enough, or none is due any more."""
        left_out, found = frozenset(without), []
        for at, user, run_id in self._keys:
            self.examined += 1
            if at > now:
                break
            if user not in left_out:
                found.append(Due(run_id, user, at))
                if len(found) == limit:
                    break
        return found


@dataclass(frozen=True)
class Answer:
    """What a question found, how long the server took, and the index keys it is about (None: `_id`'s alone)."""

    question: str
    found: int
    seconds: float
    keys: int | None


async def ask(uri: str, crowd: Crowd) -> tuple[float, list[Answer]]:
    """Fill a database with the crowd (seconds that it took), and ask what rounds ask."""
    # A server that does one thing at a time answers no heartbeat meanwhile, and the driver would break off.
    with mock.patch.dict(mongo._OPTIONS, {"connectTimeoutMS": PATIENCE_MS}):
        database = MongoDatabase(uri, fresh_name(), patience_ms=PATIENCE_MS)
        try:
            await RunStore(database).init()
            filled = await _fill(database, crowd)
            return filled, await _questions(database, crowd)
        finally:
            await database.drop()
            await database.close()


async def _fill(database: MongoDatabase, crowd: Crowd) -> float:
    began = time.perf_counter()
    driver, documents = database.collection("runs").driver, crowd.documents()
    while batch := list(itertools.islice(documents, BATCH)):
        await driver.insert_many(batch, ordered=False)
    return time.perf_counter() - began


async def _questions(database: MongoDatabase, crowd: Crowd) -> list[Answer]:
    due, runs, index = DueStore(database), RunStore(database), Indexed(crowd)
    one = a_run().model_copy(update={"id": ObjectId(f"{crowd.runs - 1:024x}")})

    async def keys(work: Awaitable[object]) -> int:
        before = index.examined
        await work
        return index.examined - before

    async def fair(queue: Any) -> list[Due]:
        return (await fair_page(queue, NOW, PAGE, lambda _: 0)).entries

    async def claim() -> list[object]:
        lease = Lease(owner="a", until=LATER)
        claimed = await runs.claim(one.id, lease, NOW)
        assert claimed is not None
        await runs.commit(claimed, claimed.model_copy(update={"lease": None}))
        return [claimed]

    async def soonest() -> list[object]:
        return [await due.next_at(NOW)]

    async def counted() -> list[None]:
        return [None] * await due.count(NOW, PAGE)

    beside = await keys(index.page(NOW, PAGE, ["hog"]))
    return [
        await _timed("a page of what is due", lambda: due.page(NOW, PAGE), await keys(index.page(NOW, PAGE))),
        await _timed("the same without one user", lambda: due.page(NOW, PAGE, ["hog"]), beside),
        await _timed("a fair page", lambda: fair(due), await keys(fair(index))),
        await _timed("to cancel, or last words to tell", lambda: due.called(NOW), 2),
        await _timed("when the next is due", soonest, 1),
        await _timed("how many are due, to 1,000", counted, PAGE + 2),
        await _timed("claim and release", claim, None),
    ]


async def _timed(question: str, work: Callable[[], Awaitable[Any]], keys: int | None) -> Answer:
    best, found = float("inf"), 0
    for _ in range(TIMES):
        began = time.perf_counter()
        found = len(await work())
        best = min(best, time.perf_counter() - began)
    return Answer(question, found, best, keys)
