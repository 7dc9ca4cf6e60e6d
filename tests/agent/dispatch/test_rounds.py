"""Rounds over what is due: fair, rolling, shared, within their time, and stopped by no bad run."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import pytest

from agent.book.errors import StoreUnavailable
from agent.book.models import Constraints, Run
from agent.dispatch import rounds
from agent.dispatch.rounds import Done, Round, tick_due
from agent.intake.runs import Order, start
from agent.kinds.rental.planner import Plan
from agent.kinds.rental.planner.context import PlanContext, Wait
from agent.store.due import PARKED_AFTER, Due
from agent.store.runs import RunStore
from tests.agent.stage import Stage, a_stage

TICK_SECONDS: dict[str, object] = {"tick_deadline_seconds": 10}


@dataclass
class Lazy:
    """A planner that waits, and may do something first; it knows whom by the goal."""

    before: Callable[[str], Awaitable[None]] | None = None
    asked: list[str] = field(default_factory=list)

    async def plan(self, context: PlanContext, timeout: float) -> Plan:  # noqa: ASYNC109 (Planner's face)
        self.asked.append(context.goal)
        if self.before is not None:
            await self.before(context.goal)
        return Plan(Wait(seconds=600, reason="later"), "stub", None, None, None, None, 0, None, None)


async def started(stage: Stage, user: str, count: int = 1) -> list[Run]:
    """Runs of a user, named by user and number."""
    orders = [Order(user, f"{user}-{number}", 5_000_000, Constraints()) for number in range(count)]
    made = []
    for order in orders:
        made.append(await start(stage.services.runs, stage.services.world, order, None))
        stage.clock.pass_(0.001)
    return made


@pytest.fixture(autouse=True)
def short_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits long for something that does not come."""
    monkeypatch.setattr(rounds, "LOOK_SECONDS", 0.01)


async def test_one_run_does_not_wait_for_another_users_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though they have all waited longer, and fill more than a page."""
    monkeypatch.setattr(rounds, "CONCURRENT_TICKS", 2)
    monkeypatch.setattr(rounds, "PAGE", 10)
    planner = Lazy()
    stage = await a_stage(planner=planner, settings=TICK_SECONDS)
    await started(stage, "many", 40)
    await started(stage, "one")

    done = await tick_due(stage.services, 55)

    assert planner.asked[:2] == ["many-0", "one-0"]
    assert (done.ticks, done.left) == (41, False)
    assert [goal for goal in planner.asked if goal != "one-0"] == [f"many-{number}" for number in range(40)]


async def test_a_slow_tick_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends only when all the others have been planned: in batches that would be never."""
    monkeypatch.setattr(rounds, "CONCURRENT_TICKS", 2)
    others = asyncio.Event()

    async def slow(goal: str) -> None:
        if goal == "u1-0":
            await others.wait()
        elif len(planner.asked) == 10:
            others.set()

    planner = Lazy(slow)
    stage = await a_stage(planner=planner, settings=TICK_SECONDS)
    await started(stage, "u1", 10)

    async with asyncio.timeout(10):
        done = await tick_due(stage.services, 55)

    assert done.ticks == 10


async def test_no_more_ticks_are_under_way_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """And as many as there is."""
    monkeypatch.setattr(rounds, "CONCURRENT_TICKS", 3)
    here, most = 0, 0

    async def counted(_: str) -> None:
        nonlocal here, most
        here += 1
        most = max(most, here)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        here -= 1

    stage = await a_stage(planner=Lazy(counted), settings=TICK_SECONDS)
    await started(stage, "u1", 12)

    assert (await tick_due(stage.services, 55)).ticks == 12
    assert most == 3


async def test_many_rounds_at_once_share_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each run is ticked once, and rounds that begin at different places seldom want the same one."""
    monkeypatch.setattr(rounds, "CONCURRENT_TICKS", 4)
    planner = Lazy()
    stage = await a_stage(planner=planner, settings=TICK_SECONDS)
    made = await started(stage, "u1", 60)

    def elsewhere(place: int) -> Callable[[int], int]:
        return lambda limit: place * limit // 4

    worlds = [replace(stage.services.world, below=elsewhere(place)) for place in range(4)]
    shared = await asyncio.gather(*(tick_due(replace(stage.services, world=world), 55) for world in worlds))

    assert sorted(planner.asked) == sorted(run.goal for run in made)
    assert sum(done.ticks for done in shared) == 60
    assert [(await stage.stored(run)).tick for run in made] == [1] * 60
    assert sum(done.busy for done in shared) < 30
    assert min(done.ticks for done in shared) > 5


async def test_a_run_that_is_due_again_is_ticked_again() -> None:
    """Within the same round: a vendor that could not start the job is no reason to wait for the next cron."""
    stage = await a_stage("gpu_vendor_1:malformed_json=quote", settings=TICK_SECONDS)
    (run,) = await started(stage, "u1")

    done = await tick_due(stage.services, 55)

    assert [run_id for run_id, _ in done.ticked] == [str(run.id)] * 2
    assert [job.vendor_id for job in await stage.jobs(run)] == ["gpu_vendor_1", "gpu_vendor_2"]


async def test_when_the_time_is_over_what_is_under_way_is_cut_off() -> None:
    """The round ends; the run is due again when its lease is over, and nothing of it is lost."""
    ends = True

    async def for_ever(_: str) -> None:
        if ends:
            stage.clock.pass_(56)
            await asyncio.Event().wait()

    stage = await a_stage(planner=Lazy(for_ever), settings=TICK_SECONDS)
    (run,) = await started(stage, "u1")

    done = await tick_due(stage.services, 55)

    assert (done.ticks, done.cut_off, done.left) == (0, 1, True)
    stored = await stage.stored(run)
    assert stored.lease is not None
    assert stored.next_tick_at == stored.lease.until
    ends = False
    stage.clock.now = stored.lease.until
    assert (await tick_due(stage.services, 55)).ticks == 1


async def test_a_round_that_is_to_leave_begins_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is under way is finished."""
    monkeypatch.setattr(rounds, "CONCURRENT_TICKS", 2)

    async def leaving(_: str) -> None:
        round_.leave(30)

    stage = await a_stage(planner=Lazy(leaving), settings=TICK_SECONDS)
    await started(stage, "u1", 5)
    round_ = Round(stage.services, float("inf"))

    done = await round_.run()

    assert (done.ticks, done.cut_off, done.left) == (2, 0, True)


async def test_a_round_without_a_database_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not look like one that found nothing to do."""
    stage = await a_stage(settings=TICK_SECONDS)

    async def away(*_: object) -> list[Due]:
        raise StoreUnavailable("away")

    monkeypatch.setattr("agent.store.due.DueStore.page", away)
    with pytest.raises(StoreUnavailable):
        await tick_due(stage.services, 55)


async def test_ticks_under_way_are_finished_though_others_cannot_be_looked_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The database may be back by the time they need it."""

    async def away(*_: object) -> list[Due]:
        raise StoreUnavailable("away")

    async def slow(_: str) -> None:
        monkeypatch.setattr("agent.store.due.DueStore.page", away)
        stage.clock.pass_(3)
        for _turn in range(100):
            await asyncio.sleep(0)

    stage = await a_stage(planner=Lazy(slow), settings=TICK_SECONDS)
    (run,) = await started(stage, "u1")

    with pytest.raises(StoreUnavailable):
        await tick_due(stage.services, 55)

    assert (await stage.stored(run)).idle_waits == 1


async def test_an_answer_names_no_more_than_it_can_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest is counted."""
    monkeypatch.setattr(rounds, "NAMED", 3)
    stage = await a_stage(planner=Lazy(), settings=TICK_SECONDS)
    await started(stage, "u1", 5)

    done = await tick_due(stage.services, 55)

    assert (len(done.ticked), done.ticks) == (3, 5)


async def spoil(stage: Stage, run: Run, **fields: Any) -> None:
    """Write into the run's document what no version of ours would."""
    assert await stage.database.collection("runs").update({"_id": run.id}, {"$set": fields})


async def rests(stage: Stage, run: Run) -> tuple[int, datetime]:
    """How often the run stumbled, and when it is due again."""
    found = await stage.database.collection("runs").find_one({"_id": run.id})
    assert found is not None
    return found["stumble"]["times"], found["nextTickAt"]


async def test_a_document_that_cannot_be_read_is_parked_and_tried_hourly() -> None:
    """It stops nobody, is never dropped, and goes on once it has been mended."""
    stage = await a_stage(settings=TICK_SECONDS)
    (poisoned,), (good,) = await started(stage, "u1"), await started(stage, "u2")
    await spoil(stage, poisoned, budgetTotal="much")

    first = await tick_due(stage.services, 55)
    assert first.failed == [str(poisoned.id)]
    assert [run_id for run_id, _ in first.ticked] == [str(good.id)]
    for _ in range(PARKED_AFTER - 1):
        _, stage.clock.now = await rests(stage, poisoned)
        assert (await tick_due(stage.services, 55)).failures == 1

    (parked,) = await stage.services.due.parked(10)
    assert (parked.run_id, parked.stumble.code) == (poisoned.id, "unreadable")
    assert "much" not in parked.stumble.message
    times, again = await rests(stage, poisoned)
    assert (times, (again - stage.clock.now).total_seconds()) == (PARKED_AFTER, 3600)

    await spoil(stage, poisoned, budgetTotal=5_000_000)
    assert (await tick_due(stage.services, 55)).failures == 0
    stage.clock.now = again
    await tick_due(stage.services, 55)
    assert (await stage.stored(poisoned)).stumble is None
    assert await stage.services.due.parked(10) == []
    assert (await stage.finish(poisoned)).status == "completed"


async def test_a_cancel_that_cannot_be_carried_out_is_not_tried_at_every_look() -> None:
    """It rests like any other run that cannot be ticked."""
    stage = await a_stage(settings=TICK_SECONDS)
    (poisoned,) = await started(stage, "u1")
    await stage.services.runs.request_cancel(poisoned.id)
    await spoil(stage, poisoned, budgetTotal="much")

    assert (await tick_due(stage.services, 55)).failures == 1
    assert await tick_due(stage.services, 55) == Done()


async def test_last_words_that_cannot_be_told_rest_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """The run has ended and stays so; when they can be told they are."""
    stage = await a_stage(settings=TICK_SECONDS)
    run = await stage.start()
    real = RunStore.tell

    async def broken(self: RunStore, run: Run) -> None:
        if run.status != "running":
            raise ZeroDivisionError
        await real(self, run)

    monkeypatch.setattr(RunStore, "tell", broken)
    run = await stage.finish(run)

    assert (await tick_due(stage.services, 55)).failed == [str(run.id)]
    assert await tick_due(stage.services, 55) == Done()
    ended = await stage.stored(run)
    assert ended.stumble is not None
    assert (ended.status, ended.next_tick_at, ended.stumble.code) == ("completed", None, "untold")

    monkeypatch.setattr(RunStore, "tell", real)
    stage.clock.now = ended.stumble.until
    await tick_due(stage.services, 55)
    told = await stage.stored(run)
    assert (told.ended_untold, told.stumble) == (False, None)


async def test_while_the_database_is_away_no_run_is_to_blame(monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that fails everywhere leaves no count behind."""
    stage = await a_stage(settings=TICK_SECONDS)
    (run,) = await started(stage, "u1")
    await stage.services.restored.mark()  # the process has looked; without that the round itself would stop

    async def away(*_: object) -> None:
        raise StoreUnavailable("away")

    with monkeypatch.context() as broken:
        broken.setattr(RunStore, "claim", away)
        broken.setattr("agent.store.embedded.EmbeddedCollection.update", away)
        done = await tick_due(stage.services, 55)

    assert (done.failures, (await stage.stored(run)).stumble) == (1, None)
