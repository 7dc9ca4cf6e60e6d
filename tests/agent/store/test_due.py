"""What a round relies on when it asks which runs are due."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from bson import ObjectId

from agent.book.audit import observe
from agent.book.models import Lease, Run
from agent.store.collections import Database
from agent.store.due import PARKED_AFTER, DueStore, pause
from agent.store.runs import RunStore
from tests.agent.builders import NOW, a_run

LATER = NOW + timedelta(minutes=1)


@pytest.fixture
def store(database: Database) -> RunStore:
    """Where runs are."""
    return RunStore(database)


@pytest.fixture
def due(database: Database) -> DueStore:
    """The queue under test."""
    return DueStore(database)


async def ids(due: DueStore, without: tuple[str, ...] = (), limit: int = 10) -> list[ObjectId]:
    return [each.run_id for each in await due.page(NOW, limit, without)]


async def called(due: DueStore) -> list[ObjectId]:
    return [each.run_id for each in await due.called(NOW)]


async def raw(database: Database, run: Run) -> dict[str, Any]:
    found = await database.collection("runs").find_one({"_id": run.id})
    assert found is not None
    return found


async def test_due_runs_come_in_the_order_of_their_waiting(store: RunStore, due: DueStore) -> None:
    """Those that are not due or have ended do not come."""
    second = await store.create(a_run(next_tick_at=NOW))
    first = await store.create(a_run(next_tick_at=NOW - timedelta(seconds=5)))
    await store.create(a_run(next_tick_at=LATER))
    await store.create(a_run(next_tick_at=NOW, status="failed"))

    assert await ids(due) == [first.id, second.id]
    assert await ids(due, limit=1) == [first.id]
    assert await store.count("running") == 3
    assert (await due.count(NOW, 10), await due.count(NOW, 1)) == (2, 1)


async def test_a_page_may_leave_users_out(store: RunStore, due: DueStore) -> None:
    """So that one who has very many does not hide the others."""
    for user in ("u1", "u1", "u2", "u3"):
        await store.create(a_run(user_id=user))

    assert [each.user_id for each in await due.page(NOW, 10, ("u1", "u3"))] == ["u2"]


async def test_a_claimed_run_is_not_due_until_its_lease_is_over(store: RunStore, due: DueStore) -> None:
    """Nobody else finds it meanwhile; if its tick dies, it is due exactly then."""
    run = await store.create(a_run())
    await store.claim(run.id, Lease(owner="a", until=LATER), NOW)

    assert await ids(due) == []
    assert await due.next_at(NOW) == LATER
    assert [each.run_id for each in await due.page(LATER, 10)] == [run.id]


async def test_what_was_due_may_be_claimed_only_while_it_is(store: RunStore) -> None:
    """A round's page is older than its claim: another tick may have been there. By hand it does not matter."""
    run = await store.create(a_run(next_tick_at=LATER))
    lease = Lease(owner="a", until=LATER)

    assert await store.claim(run.id, lease, NOW, if_due=True) is None
    assert await store.claim(run.id, lease, LATER, if_due=True) is not None
    assert await store.claim((await store.create(a_run(next_tick_at=LATER))).id, lease, NOW) is not None


async def test_when_the_next_tick_comes_due(store: RunStore, due: DueStore) -> None:
    """The soonest of running runs; none where none is left."""
    assert await due.next_at(NOW) is None
    await store.create(a_run(next_tick_at=LATER))
    await store.create(a_run(next_tick_at=NOW + timedelta(seconds=5)))
    await store.create(a_run(next_tick_at=NOW, status="completed"))

    assert await due.next_at(NOW) == NOW + timedelta(seconds=5)


async def test_what_is_to_be_cancelled_and_what_has_last_words_is_called(store: RunStore, due: DueStore) -> None:
    """Whatever `nextTickAt` says, and until it is done."""
    cancelled = await store.create(a_run(next_tick_at=LATER))
    await store.request_cancel(cancelled.id)
    ended = await store.create(a_run(status="completed", next_tick_at=None, ended_untold=True))
    await store.create(a_run(status="completed", next_tick_at=None))

    assert await called(due) == [cancelled.id, ended.id]
    assert await due.count(NOW, 10) == 2

    await store.told(ended)
    assert await called(due) == [cancelled.id]


async def test_a_run_that_cannot_be_ticked_rests_longer_each_time(
    database: Database, store: RunStore, due: DueStore
) -> None:
    """15 s, 30 s, ... an hour; from the tenth time on it is parked. Its document need not be readable."""
    run = await store.create(a_run())
    await database.collection("runs").update({"_id": run.id}, {"$set": {"budgetTotal": "much"}})
    rests = []
    for times in range(1, PARKED_AFTER + 2):
        assert [each.run_id for each in await due.parked(10)] == [run.id][: times > PARKED_AFTER]
        await due.stumbled(run.id, NOW, "unreadable")
        found = await raw(database, run)
        assert found["stumble"]["times"] == times
        rests.append((found["nextTickAt"] - NOW).total_seconds())

    assert rests == [15, 30, 60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]
    (parked,) = await due.parked(10)
    assert (parked.user_id, parked.status, parked.stumble.code) == ("u1", "running", "unreadable")
    assert await due.count_parked(10) == 1
    assert await due.parked(10, "u2") == []


async def test_a_failure_is_counted_once_by_many_who_met_it(
    database: Database, store: RunStore, due: DueStore
) -> None:
    """Each counts from what it has read."""
    run = await store.create(a_run())

    await asyncio.gather(*(due.stumbled(run.id, NOW, "internal_error") for _ in range(8)))

    assert (await raw(database, run))["stumble"]["times"] <= 8
    assert (await raw(database, run))["nextTickAt"] == NOW + pause((await raw(database, run))["stumble"]["times"])


async def test_what_is_wrong_may_be_the_count_itself(database: Database, store: RunStore, due: DueStore) -> None:
    """Then it starts anew. A run that is gone is nobody's to count."""
    run = await store.create(a_run())
    await database.collection("runs").update({"_id": run.id}, {"$set": {"stumble": "spoiled"}})

    await due.stumbled(run.id, NOW, "unreadable")
    await due.stumbled(ObjectId(), NOW, "unreadable")

    assert (await raw(database, run))["stumble"]["times"] == 1


async def test_a_count_that_cannot_be_read_does_not_hide_the_other_parked_runs(
    database: Database, store: RunStore, due: DueStore
) -> None:
    """Of one run not even the reason can be shown; of the other it is."""
    spoiled, parked = await store.create(a_run()), await store.create(a_run())
    await database.collection("runs").update({"_id": spoiled.id}, {"$set": {"stumble": {"times": PARKED_AFTER}}})
    for _ in range(PARKED_AFTER):
        await due.stumbled(parked.id, NOW, "unreadable")

    assert [each.run_id for each in await due.parked(10)] == [parked.id]


async def test_a_tick_that_is_made_clears_it(store: RunStore, due: DueStore) -> None:
    """With its own write; for a run that has ended, when its last words are told."""
    run = await store.create(a_run())
    await due.stumbled(run.id, NOW, "store_unavailable")
    claimed = await store.claim(run.id, Lease(owner="a", until=LATER), NOW)
    assert claimed is not None
    assert claimed.stumble is not None

    after = await store.commit(claimed, claimed.model_copy(update={"lease": None, "stumble": None}))
    assert after.stumble is None

    ended = observe(a_run(status="completed", next_tick_at=None, ended_untold=True), NOW, "run_completed", "done")
    await store.create(ended)
    await due.stumbled(ended.id, NOW, "untold")
    assert await called(due) == []
    assert (await store.get(ended.id)).next_tick_at is None
    assert [each.run_id for each in await due.called(NOW + pause(1))] == [ended.id]
    await store.told(ended)
    assert (await store.get(ended.id)).stumble is None


async def test_a_cancel_that_cannot_be_carried_out_rests_as_well(store: RunStore, due: DueStore) -> None:
    """It comes with `nextTickAt` then, and not at each look."""
    run = await store.create(a_run())
    await store.request_cancel(run.id)
    await due.stumbled(run.id, NOW, "unreadable")

    assert await called(due) == []
    assert [each.run_id for each in await due.page(NOW + pause(1), 10)] == [run.id]
