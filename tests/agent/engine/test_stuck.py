"""A run always ends, whatever is broken, and one bad run never stops another."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest
from bson import ObjectId

from agent.book.models import Run
from agent.dispatch import rounds
from agent.dispatch.rounds import tick_due
from agent.engine.ending import MAX_FAULTS, MAX_IDLE_WAITS, MAX_JOBS
from agent.engine.services import Services
from agent.engine.tick import TickResult, tick
from agent.intake import runs
from agent.kinds.rental.planner import Plan
from agent.kinds.rental.planner.context import PlanContext, StartJob, Wait
from agent.kinds.rental.planner.stub import decide
from gpu_vendor_mock.catalog import DEFAULT_CATALOG
from tests.agent.killing import Killed, Reaper
from tests.agent.stage import START, Clock, Stage, a_stage


@dataclass
class Slow:
    """The stub, after some seconds of the stage's clock."""

    seconds: float
    clock: Clock | None = None

    async def plan(self, context: PlanContext, timeout: float) -> Plan:  # noqa: ASYNC109 (Planner's face)
        assert self.clock is not None
        self.clock.pass_(self.seconds)
        return Plan(decide(context), "stub", None, None, None, None, 0, None, None)


class Silent:
    """A planner that never answers."""

    async def plan(self, context: PlanContext, timeout: float) -> Plan:  # noqa: ASYNC109 (Planner's face)
        await asyncio.Event().wait()
        raise AssertionError("unreachable: it waits for ever")


@dataclass
class Always:
    """A planner with one idea."""

    action: StartJob | Wait

    async def plan(self, context: PlanContext, timeout: float) -> Plan:  # noqa: ASYNC109 (Planner's face)
        return Plan(self.action, "stub", None, None, None, None, 0, None, None)


async def spoil(stage: Stage, vendor_id: str) -> None:
    """Make a vendor's document one that must not be used, as an older rule or another hand may have left it."""
    vendors = stage.database.collection("vendors")
    assert await vendors.update({"_id": vendor_id}, {"$set": {"endpoint": "ftp://elsewhere"}})


async def test_a_planner_that_is_always_too_late_ends_the_run() -> None:
    """It is counted as a wait, and the next tick is not due at once."""
    slow = Slow(24)
    stage = await a_stage(planner=slow)
    slow.clock = stage.clock
    run = await stage.start()

    first = await stage.tick(run)

    assert first.message.startswith("Planned too late")
    assert first.run.next_tick_at is not None
    assert first.run.next_tick_at > stage.clock.now
    ended = await stage.finish(run)
    assert ended.failure is not None
    assert (ended.failure.code, ended.idle_waits) == ("stalled", MAX_IDLE_WAITS)


async def test_a_planner_that_never_answers_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tick ends in its time, and says so."""
    monkeypatch.setattr("agent.kinds.rental.decide.PLAN_SHARE", 0.001)
    monkeypatch.setattr("agent.kinds.rental.decide.PLAN_GRACE", 0.001)
    stage = await a_stage(planner=Silent())

    result = await stage.tick(await stage.start())

    assert result.message == "No plan in time; the next tick asks again"
    assert result.run.idle_waits == 1


async def test_ticking_by_hand_does_not_use_up_a_wait() -> None:
    """The planner said ten minutes; it is not asked again before, and nothing is counted."""
    stage = await a_stage(planner=Always(Wait(seconds=600, reason="prices may fall")))
    run = await stage.start()
    await stage.tick(run)

    for _ in range(49):
        stage.clock.pass_(1)
        await stage.tick(run)
    stage.clock.pass_(1)
    result = await stage.tick(run)

    assert (result.message, result.run.idle_waits) == ("Waiting", 1)
    assert result.run.next_tick_at == START + timedelta(seconds=600)


async def test_twenty_jobs_are_the_end_while_money_is_held_as_well() -> None:
    """Failed jobs whose authorizations are out are over, whatever becomes of the money."""
    many = tuple(replace(DEFAULT_CATALOG[0], vendor_id=f"vendor_{number}") for number in range(11))
    stage = await a_stage("reject_payment", vendors=many)

    run = await stage.finish(await stage.start(constraints={"max_hours": 0.01}), 400)

    assert run.failure is not None
    assert (run.failure.code, run.jobs_started) == ("too_many_jobs", MAX_JOBS)


async def test_a_planner_that_insists_on_a_failing_vendor_gets_two_jobs_there() -> None:
    """A model spent 28 of 100 dollars at one that way. Its plan is refused until it has waited too often."""
    stage = await a_stage(
        "gpu_vendor_1:fail_at_epoch=1",
        planner=Always(StartJob(vendorId="gpu_vendor_1", maxHours=1, reason="again")),
    )

    run = await stage.finish(await stage.start(100_000_000), 400)

    assert run.failure is not None
    assert (run.failure.code, run.jobs_started, run.budget_spent) == ("stalled", 2, 2_800_000)


async def test_a_vendor_that_became_unusable_is_trouble_and_not_a_fault() -> None:
    """Its job is waited for until the time paid for is over; other vendors are still used."""
    stage = await a_stage()
    run = await stage.start()
    await stage.tick(run)
    await spoil(stage, "gpu_vendor_1")

    ended = await stage.finish(run, 500)

    first, second = await stage.jobs(ended)
    assert first.failure is not None
    assert (first.failure.code, second.vendor_id, ended.status) == ("overtime", "gpu_vendor_2", "completed")
    assert ended.faults == 0


async def test_what_cannot_be_told_does_not_stop_the_run() -> None:
    """An outcome for a vendor that cannot be read any more is dropped."""
    stage = await a_stage("gpu_vendor_1:fail_at_epoch=1")
    run = await stage.start()
    await stage.tick(run)
    stage.clock.pass_(15)
    await stage.tick(run)
    await spoil(stage, "gpu_vendor_1")

    assert (await stage.finish(run)).status == "completed"


class Broken(Exception):
    """A fault of ours."""


@pytest.mark.parametrize(
    "where", ["agent.kinds.rental.kind.poll_jobs", "agent.engine.tick._tell", "agent.engine.tick.advance"]
)
async def test_a_fault_in_any_part_of_the_tick_ends_the_run_at_last(
    monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """With its money booked: what was out has expired by then."""
    stage = await a_stage("gpu_vendor_1:drop_before_payment")
    run = await stage.start()
    await stage.tick(run)

    async def broken(*_: object) -> None:
        raise Broken

    monkeypatch.setattr(where, broken)
    ended = await stage.finish(run, 60)

    assert ended.failure is not None
    assert ended.status == "failed" if where != "agent.kinds.rental.kind.poll_jobs" else ended.status
    assert (ended.reservations, ended.budget_reserved) == ({}, 0)
    assert ended.faults >= MAX_FAULTS or where == "agent.kinds.rental.kind.poll_jobs"


async def test_one_bad_run_does_not_stop_the_round(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named as failed; the others are ticked."""
    stage = await a_stage(settings={"tick_deadline_seconds": 10})
    bad, good = await stage.start(), await stage.start()

    async def picky(services: Services, run_id: ObjectId, *, if_due: bool) -> TickResult:
        if run_id == bad.id:
            raise Broken
        return await tick(services, run_id, if_due=if_due)

    monkeypatch.setattr(rounds, "tick", picky)
    done = await tick_due(stage.services, 55)

    assert done.failed == [str(bad.id)]
    assert [run_id for run_id, _ in done.ticked] == [str(good.id)]


async def test_a_cancelled_run_with_open_money_is_due_when_it_says_so() -> None:
    """Not again and again within one round: the vendor would be sent the payment each time."""
    stage = await a_stage("gpu_vendor_1:drop_before_payment", settings={"tick_deadline_seconds": 10})
    run = await stage.start()
    await stage.tick(run)
    await runs.cancel(stage.services, run.id)
    sent = len((await stage.journal())["payments"])

    assert (await tick_due(stage.services, 55)).ticked == []
    assert len((await stage.journal())["payments"]) == sent


async def last_words(stage: Stage, run: Run) -> tuple[int, int]:
    """Observations in their own collection, and jobs that the first vendor is known to have completed."""
    told = await stage.database.collection("observations").count({"runId": run.id})
    vendor = await stage.services.vendors.find("gpu_vendor_1")
    assert vendor is not None
    return told, vendor.record.completed


async def test_the_last_words_of_a_run_are_told_by_the_next_round() -> None:
    """Killed between the end and the telling, at each effect: the vendor's record and the trail are completed."""
    reaper = Reaper()
    stage = await a_stage(watcher=reaper)
    run = await stage.start()
    reaper.kill_at(None, after=False)
    await stage.finish(run)
    effects = reaper.count
    for number in range(effects - 8, effects + 1):
        reaper = Reaper()
        stage = await a_stage(watcher=reaper, settings={"tick_deadline_seconds": 10})
        run = await stage.start()
        reaper.kill_at(number, after=False)
        try:
            run = await stage.finish(run)
        except Killed:
            reaper.kill_at(None, after=False)
        stage.clock.pass_(3_600)

        await tick_due(stage.services, 55)

        run = await stage.services.runs.get(run.id)
        assert run.status == "completed"
        assert await last_words(stage, run) == (run.audit.seq, 1)
        assert (run.outbox.empty, run.ended_untold) == (True, False)
        assert (await tick_due(stage.services, 55)).ticked == []
