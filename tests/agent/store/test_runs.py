"""What the core relies on when it stores a run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from bson import DatetimeMS, ObjectId

from agent.book import ledger
from agent.book.audit import observe, public_observation, verify
from agent.book.errors import IdempotencyConflict, LeaseLost, LedgerRefused, RunNotFound, RunUnreadable
from agent.book.models import Lease, Outbox, Run
from agent.store.collections import Bson, Database
from agent.store.runs import NO_ID, RunPage, RunStore
from tests.agent.builders import NOW, a_job, a_reservation, a_run, an_authorization

STRAY_DATES = (
    *(None, "gone", "2026-01-01T00:00:00Z", 7, ObjectId()),
    *(datetime(1969, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)),
)
"""What may be stored where a date should be, or nothing at all."""

LATER = NOW + timedelta(minutes=1)


@pytest.fixture
def store(database: Database) -> RunStore:
    """The store under test."""
    return RunStore(database)


async def claimed(store: RunStore, run: Run | None = None, owner: str = "a") -> Run:
    run = await store.create(run or a_run())
    found = await store.claim(run.id, Lease(owner=owner, until=LATER), NOW)
    assert found is not None
    return found


async def test_a_run_comes_back_as_it_was_stored(store: RunStore) -> None:
    """Every field, money and times included."""
    run = observe(a_run(), NOW, "run_started", "Run started", {"nested": [1, 0.5, None, {"a": True}]})
    job = a_job(run)
    run = ledger.reserve(run, job, a_reservation())
    run = ledger.authorize(run, str(job.id), an_authorization())

    assert await store.create(run) == run
    assert await store.get(run.id) == run


async def test_an_unknown_run_is_not_found(store: RunStore) -> None:
    """By its own error."""
    with pytest.raises(RunNotFound):
        await store.get(ObjectId())


async def test_the_same_request_makes_one_run(store: RunStore) -> None:
    """The second time the first run is returned, as it is by then."""
    run = a_run()
    await store.create(run)
    await claimed(store, run)

    again = await store.create(run)

    assert (again.id, again.tick) == (run.id, 1)
    with pytest.raises(IdempotencyConflict):
        await store.create(run.model_copy(update={"request_hash": "another"}))


async def test_a_lease_is_held_by_one(store: RunStore) -> None:
    """Until it is over."""
    run = await claimed(store)

    assert await store.claim(run.id, Lease(owner="b", until=LATER), NOW) is None
    taken = await store.claim(run.id, Lease(owner="b", until=LATER + timedelta(minutes=1)), LATER)
    assert taken is not None
    assert taken.tick == 2


async def test_an_ended_run_cannot_be_claimed(store: RunStore) -> None:
    """There is nothing left to do."""
    run = await claimed(store)
    await store.commit(run, run.model_copy(update={"status": "completed", "lease": None}))

    assert await store.claim(run.id, Lease(owner="b", until=LATER), LATER) is None


async def test_who_lost_the_lease_writes_nothing(store: RunStore) -> None:
    """The fence: a worker that slept cannot touch the run any more."""
    slept = await claimed(store)
    taken = await store.claim(slept.id, Lease(owner="b", until=LATER + timedelta(minutes=1)), LATER)

    with pytest.raises(LeaseLost):
        await store.commit(slept, ledger.reserve(slept, a_job(slept), a_reservation()))

    assert await store.get(slept.id) == taken


async def test_a_draft_made_from_an_older_state_is_refused(store: RunStore) -> None:
    """Even by the same owner: a commit whose answer was lost must not be written over."""
    run = await claimed(store)
    await store.commit(run, run.model_copy(update={"phase": "planning"}))

    with pytest.raises(LeaseLost):
        await store.commit(run, run.model_copy(update={"phase": "waiting"}))

    assert (await store.get(run.id)).phase == "planning"


async def test_books_that_do_not_balance_are_not_written(store: RunStore) -> None:
    """Whatever else went wrong."""
    run = await claimed(store)

    with pytest.raises(LedgerRefused):
        await store.commit(run, run.model_copy(update={"budget_spent": 1}))

    assert await store.get(run.id) == run


async def test_a_released_run_cannot_be_written(store: RunStore) -> None:
    """A commit needs a lease."""
    run = await claimed(store)
    released = await store.commit(run, run.model_copy(update={"lease": None}))

    with pytest.raises(LeaseLost):
        await store.commit(released, released)


async def test_a_cancel_request_survives_the_tick_under_way(store: RunStore) -> None:
    """It is set from outside and is never written over; the tick sees it with its next commit."""
    run = await claimed(store)
    await store.request_cancel(run.id)

    after = await store.commit(run, run.model_copy(update={"phase": "planning"}))

    assert after.cancel_requested


async def test_cancelling_what_has_ended_changes_nothing(store: RunStore) -> None:
    """And what is not there is not found."""
    run = await claimed(store)
    await store.commit(run, run.model_copy(update={"status": "completed", "lease": None}))

    assert not (await store.request_cancel(run.id)).cancel_requested
    with pytest.raises(RunNotFound):
        await store.request_cancel(ObjectId())


async def told(store: RunStore) -> Run:
    """A run with a job, a payment and three observations, told to the other collections."""
    run = await claimed(store)
    draft = run
    for number in range(3):
        draft = observe(draft, NOW, "job_log", f"line {number}")
    job = a_job(run)
    draft = ledger.authorize(ledger.reserve(draft, job, a_reservation()), str(job.id), an_authorization())
    after = await store.commit(run, draft)
    await store.tell(after)
    return after


async def test_telling_twice_or_late_changes_nothing(store: RunStore) -> None:
    """A crash may repeat it, a sleeper may come back with what is old by now."""
    old = await told(store)
    (job,) = old.jobs.values()
    settled = ledger.settle(old, str(job.id), "0xabc")
    over = settled.jobs[str(job.id)].model_copy(update={"status": "completed"})
    new = await store.commit(old, ledger.put_job(settled, over))
    await store.tell(new)

    await store.tell(new)
    await store.tell(old)

    emptied = new.model_copy(update={"outbox": Outbox(), "jobs": {}})
    assert [each.status for each in await store.payments(emptied)] == ["completed"]
    assert [(each.status, each.actual_cost) for each in await store.jobs(emptied)] == [("completed", 1_400_000)]
    assert [each.seq for each in await store.observations(emptied, 10)] == [1, 2, 3]


async def test_what_is_not_told_yet_is_seen_all_the_same(store: RunStore) -> None:
    """Readers look into the outbox: what was committed is never invisible."""
    run = await claimed(store)
    job = a_job(run)
    draft = ledger.reserve(observe(run, NOW, "job_log", "only in the outbox"), job, a_reservation())
    draft = ledger.authorize(draft, str(job.id), an_authorization())
    after = await store.commit(run, draft)

    assert [each.content for each in await store.observations(after, 10)] == ["only in the outbox"]
    assert [job.id] == [each.id for each in await store.jobs(after)]
    assert [each.status for each in await store.payments(after)] == ["pending"]


async def test_an_outbox_is_emptied_only_if_nothing_was_written_since(store: RunStore) -> None:
    """Else what was committed in between would be lost."""
    old = await told(store)
    new = await store.commit(old, observe(old.model_copy(update={"outbox": Outbox()}), NOW, "error", "newer"))

    await store.told(old)
    assert not (await store.get(old.id)).outbox.empty

    await store.told(new)
    assert (await store.get(old.id)).outbox.empty


async def test_the_trail_is_paged_in_both_directions(store: RunStore) -> None:
    """The newest by default, then those before or after a number; always oldest first."""
    run = await claimed(store)
    draft = run
    for number in range(1, 11):
        draft = observe(draft, NOW, "job_log", str(number))
    run = await store.commit(run, draft)
    await store.tell(run)
    run = run.model_copy(update={"outbox": Outbox()})

    async def numbers(limit: int, before: int | None = None, after: int | None = None) -> list[int]:
        return [each.seq for each in await store.observations(run, limit, before=before, after=after)]

    assert await numbers(3) == [8, 9, 10]
    assert await numbers(3, before=8) == [5, 6, 7]
    assert await numbers(3, before=2) == [1]
    assert await numbers(3, before=1) == []
    assert await numbers(3, after=0) == [1, 2, 3]
    assert await numbers(3, after=9) == [10]
    assert await numbers(3, after=10) == []
    entries = [public_observation(each) for each in await store.observations(run, 100)]
    assert not verify(entries, {"seq": run.audit.seq, "hash": run.audit.hash})


async def test_runs_are_paged_newest_first_and_narrowed(store: RunStore) -> None:
    """Each run on one page, also among those made in the same millisecond."""
    made = [a_run(created_at=NOW + timedelta(seconds=number // 2)) for number in range(6)]
    for number, run in enumerate(made):
        await store.create(run.model_copy(update={"user_id": f"u{number % 2}"}))

    first = await store.page(4)
    last = await store.page(4, older_than=first.end)
    seen = first.runs + last.runs

    assert sorted((run.created_at, run.id) for run in made) == [(run.created_at, run.id) for run in reversed(seen)]
    assert (len(first.runs), last.end) == (4, None)
    assert (await store.page(6)).end is None
    assert len((await store.page(10, user_id="u1")).runs) == 3
    assert await store.page(10, user_id="u1", status="failed") == RunPage([], [], None)


async def test_a_run_that_cannot_be_read_does_not_hide_the_others(database: Database, store: RunStore) -> None:
    """It is named on the page it belongs to, also where it is the last there, or all there is."""
    made = [await store.create(a_run(created_at=NOW + timedelta(seconds=number))) for number in range(6)]
    for spoiled in (made[5], made[3], made[0]):
        await database.collection("runs").update({"_id": spoiled.id}, {"$set": {"budgetTotal": "much"}})

    pages = [await store.page(3)]
    pages.append(await store.page(2, older_than=pages[0].end))
    pages.append(await store.page(2, older_than=pages[1].end))

    assert [[run.id for run in page.runs] for page in pages] == [[made[4].id], [made[2].id, made[1].id], []]
    assert [page.unreadable for page in pages] == [[str(made[5].id), str(made[3].id)], [], [str(made[0].id)]]
    assert pages[2].end is None


@pytest.mark.parametrize("stored", STRAY_DATES)
async def test_a_run_without_a_date_is_named_at_the_end(
    database: Database, store: RunStore, stored: object
) -> None:
    """It has no place in the order; however the pages fall, it is there, and hides nobody."""
    made = [await store.create(a_run(created_at=NOW + timedelta(seconds=number))) for number in range(6)]
    change: Bson = {"$unset": {"createdAt": 1}} if stored == "gone" else {"$set": {"createdAt": stored}}
    for stray in made[:2]:
        assert await database.collection("runs").update({"_id": stray.id}, change)

    for limit in range(1, 6):
        pages = [await store.page(limit)]
        while pages[-1].end is not None:
            pages.append(await store.page(limit, older_than=pages[-1].end))
        listed = [run.id for page in pages for run in page.runs]
        assert listed == [run.id for run in reversed(made[2:])], limit
        assert [set(page.unreadable) for page in pages if page.unreadable] == [{str(run.id) for run in made[:2]}]
    assert (await store.page(9, user_id="nobody")).unreadable == []


async def test_an_id_of_another_kind_is_not_shown_and_breaks_nothing(database: Database, store: RunStore) -> None:
    """It may be anything, a secret as well."""
    run = await store.create(a_run(created_at=NOW))
    strange = run.to_document() | {"_id": "a secret"}
    await database.collection("runs").insert(strange)

    page = await store.page(1)

    assert ([run.id for run in page.runs], page.unreadable, page.end) == ([run.id], [NO_ID], None)


@pytest.mark.parametrize(
    "change",
    [
        {"budgetSpent": -1},
        {"reservations": {"j": {"amount": -1, "vendorId": "v", "templateId": "t", "createdAt": NOW}}},
        {"createdAt": DatetimeMS(316_600_000_000_000)},
    ],
)
async def test_what_nobody_writes_cannot_be_read(
    database: Database, store: RunStore, change: Bson, caplog: pytest.LogCaptureFixture
) -> None:
    """Amounts below zero, dates beyond all calendars: one error, and the log has the field."""
    run = await store.create(a_run(created_at=NOW))
    assert await database.collection("runs").update({"_id": run.id}, {"$set": {"goal": "a secret", **change}})

    with pytest.raises(RunUnreadable) as caught:
        await store.get(run.id)

    assert caught.value.__cause__ is None
    assert next(iter(change)) in caplog.text
    assert "a secret" not in caplog.text


async def test_making_the_indexes_can_be_repeated(store: RunStore) -> None:
    """`purser init` may run with every deployment."""
    await store.init()
    await store.init()
    await told(store)
