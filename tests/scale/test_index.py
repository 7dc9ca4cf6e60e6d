"""How many index keys each question of docs/scale.md is about: as many as it wants, whatever else is stored."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any, Final

import pytest
from bson import ObjectId

from agent.book.models import Lease, Outbox
from agent.store.collections import Bson
from agent.store.due import DueStore
from agent.store.keys import KeyStore
from agent.store.runs import RunStore
from scripts.serve.servers import ROOT
from tests.agent.builders import NOW, a_job, a_run
from tests.scale.index import Asked, keys_walked

RUNS: Final = 1_500
PAGE: Final = 20
USERS: Final = 5
CROWD: Final = 30
"""Runs that were made in the same millisecond, in the middle of all."""

MIDDLE: Final = NOW - timedelta(seconds=RUNS // 2)


@dataclass(frozen=True)
class Stores:
    """Stores of one database."""

    runs: RunStore
    due: DueStore
    keys: KeyStore

    @property
    def mark(self) -> tuple[Any, ObjectId]:
        """Where a page ended, among those of the same millisecond."""
        return MIDDLE, ObjectId(f"{RUNS // 2 + CROWD // 2:024x}")


DUE: Final = 100
ENDED: Final = 900


@cache
def documents() -> tuple[Bson, ...]:
    """Runs as they are stored: the newest 900 have ended, 100 of the others are due, the rest is not yet."""
    whole = a_run().to_document()
    found = []
    for number in range(RUNS):
        at = MIDDLE if 0 <= number - RUNS // 2 < CROWD else NOW - timedelta(seconds=number)
        running = number >= ENDED
        due = NOW + timedelta(seconds=number - ENDED - DUE + 1) if running else None
        mine = {"_id": ObjectId(f"{number:024x}"), "createdAt": at, "userId": f"u{number % USERS}"}
        found.append({**whole, **mine, "status": "running" if running else "completed", "nextTickAt": due})
    found[950]["cancelRequested"] = True
    found[10]["endedUntold"] = True
    found[960]["stumble"] = {"times": 12, "code": "unreadable", "message": "", "at": NOW, "until": NOW}
    found[20]["createdAt"] = "yesterday"
    return tuple(found)


def the_run(number: int) -> ObjectId:
    return ObjectId(f"{number:024x}")


async def claim(at: Stores) -> None:
    run = await at.runs.claim(the_run(970), Lease(owner="a", until=NOW + timedelta(minutes=1)), NOW)
    assert run is not None
    stored = await at.runs.commit(run, run)
    await at.runs.told(stored)


async def records(at: Stores) -> None:
    run = (await at.runs.get(the_run(970))).model_copy(update={"jobs_started": 1})
    await at.runs.tell(run.model_copy(update={"outbox": Outbox(jobs=[a_job(run)])}))
    await at.runs.jobs(run)
    await at.runs.payments(run)


async def trail(at: Stores) -> None:
    run = await at.runs.get(the_run(970))
    head = run.audit.model_copy(update={"seq": 500})
    await at.runs.observations(run.model_copy(update={"audit": head}), PAGE)


async def place(at: Stores) -> None:
    for number in range(PAGE):
        assert await at.runs.places.take("k", PAGE, the_run(970 + number), NOW)
    assert await at.runs.places.take("k", PAGE, the_run(RUNS), NOW)


QUESTIONS: Final[dict[str, tuple[Callable[[Stores], Awaitable[object]], int]]] = {
    "a page of what is due, in order": (lambda at: at.due.page(NOW, PAGE), PAGE),
    "the same without some users": (lambda at: at.due.page(NOW, PAGE, ["u0", "u1"]), 2 * PAGE),
    "how many are due": (lambda at: at.due.count(NOW, PAGE), PAGE + 2),
    "when the next is due": (lambda at: at.due.next_at(NOW), 1),
    "to be cancelled, last words to tell, due too far ahead": (lambda at: at.due.called(NOW), 2),
    "parked ones": (lambda at: at.due.parked(PAGE), 1),
    "claim, commit, told": (claim, 3),
    "a place for a run of a key": (place, PAGE + PAGE + 4),
    "jobs or payments of a run": (records, 4),
    "a page of a trail": (trail, PAGE + 1),
    "a list of runs": (lambda at: at.runs.page(PAGE), PAGE + 1),
    "a later page of it": (lambda at: at.runs.page(PAGE, older_than=at.mark), PAGE + 1 + CROWD),
    "a user's runs": (lambda at: at.runs.page(PAGE, user_id="u1"), PAGE + 1),
    "a later page of them": (
        lambda at: at.runs.page(PAGE, user_id="u1", older_than=at.mark),
        PAGE + 1 + CROWD // USERS,
    ),
    "runs of one status": (lambda at: at.runs.page(PAGE, status="running"), PAGE + 1),
    "runs that have no place in the order": (lambda at: at.runs.page(RUNS), RUNS + 2),
    "how many have a status": (lambda at: at.runs.count("running"), RUNS - ENDED),
    "the newest run, when a restored backup is noticed": (lambda at: at.runs.newest_at(), 1),
    "a list of keys": (lambda at: at.keys.page(PAGE, older_than=(NOW, "k")), 0),
}
"""The questions of docs/scale.md, and the most keys that each may walk here."""


@pytest.mark.parametrize("name", QUESTIONS)
async def test_a_question_walks_no_more_keys_than_it_wants(name: str) -> None:
    """Counted by walking the indexes that are declared, over 1,500 runs, with what the stores really ask."""
    database = Asked()
    await database.collection("runs").insert_new([{**each} for each in documents()])
    ask, most = QUESTIONS[name]

    await ask(Stores(RunStore(database), DueStore(database), KeyStore(database)))

    walked = {str(each): await keys_walked(each, database.real) for each in database.questions}
    assert sum(walked.values()) <= most, walked


def test_every_question_of_the_document_is_counted() -> None:
    """docs/scale.md names the same ones."""
    text = (ROOT / "docs" / "scale.md").read_text("utf-8")
    table = text[text.index("## Indexes") : text.index("## The queue of a million runs")]
    assert re.findall(r"^\| ([^|]+?) \|", table, re.M)[1:] == [*QUESTIONS]
