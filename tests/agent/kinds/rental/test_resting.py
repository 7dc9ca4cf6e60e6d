"""Vendors that are gone for a while cost a run time, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.book.models import Run
from agent.book.resting import LONGEST_REST, SHORTEST_REST, rest
from agent.engine.ending import MAX_IDLE_WAITS
from agent.kinds.rental.planner import Plan
from agent.kinds.rental.planner.context import Abort, PlanContext, StartJob, Wait
from agent.kinds.rental.planner.stub import StubPlanner
from gpu_vendor_mock.catalog import DEFAULT_CATALOG
from tests.agent.builders import a_run
from tests.agent.engine.test_tick import Scripted
from tests.agent.stage import START, Stage, a_stage

FIRST, SECOND = DEFAULT_CATALOG


def gone(stage: Stage, *vendor_ids: str, minutes: float = 1e9, path: str = "") -> list[float]:
    """These vendors cannot be reached for so long; when (s) each try at one of them was."""
    tries: list[float] = []

    def refuses(request: httpx.Request) -> bool:
        if request.headers["x-vendor-id"] not in vendor_ids or not request.url.path.startswith(path):
            return False
        since = (stage.clock.now - START).total_seconds()
        if since < minutes * 60 and (not tries or tries[-1] != since):  # a call is tried more than once at once
            tries.append(since)
        return since < minutes * 60

    stage.transport.unreachable = refuses
    return tries


async def scores(stage: Stage) -> list[tuple[float, int]]:
    return [(each.reliability_score, each.record.failed) for each in await stage.services.vendors.list()]


@pytest.mark.parametrize("path", ["", "/submit-job"], ids=["everything", "orders"])
async def test_both_vendors_gone_for_ten_minutes_and_back(path: str) -> None:
    """The run waits, and then has its job done as if nothing had been."""
    stage = await a_stage()
    before = await scores(stage)
    tries = gone(stage, "gpu_vendor_1", "gpu_vendor_2", minutes=10, path=path)

    run = await stage.finish(await stage.start())

    assert (run.status, run.budget_spent) == ("completed", 1_400_000)
    assert (run.jobs_started - run.jobs_unreached, run.rests) == (1, {})
    assert timedelta(minutes=10) < stage.clock.now - START < timedelta(minutes=20)
    assert 5 <= len(tries) <= 20
    assert [failed for _, failed in await scores(stage)] == [0, 0]
    assert (await scores(stage))[1] == before[1]


async def test_a_vendor_that_is_gone_does_not_hold_up_the_run() -> None:
    """Another one does the job, at once."""
    stage = await a_stage()
    gone(stage, "gpu_vendor_1")
    run = await stage.start()

    first, second = await stage.tick(run), await stage.tick(run)

    assert (first.message, first.run.next_tick_at) == ("gpu_vendor_1 could not be reached", START)
    assert second.message == "Job started"
    assert [job.vendor_id for job in await stage.jobs(run)] == ["gpu_vendor_2"]


async def test_it_is_asked_more_and_more_rarely() -> None:
    """5 seconds, 10, 20, ... 5 minutes."""
    stage = await a_stage(vendors=(FIRST,))
    tries = gone(stage, "gpu_vendor_1", minutes=30)

    assert (await stage.finish(await stage.start())).status == "completed"

    assert [int(later - sooner) for sooner, later in pairwise(tries)] == [
        5,
        10,
        20,
        40,
        80,
        160,
        300,
        300,
        300,
        300,
    ]


async def test_after_its_patience_the_run_fails_and_says_how_long_it_tried() -> None:
    """An hour by default; nothing was spent."""
    stage = await a_stage()
    gone(stage, "gpu_vendor_1", "gpu_vendor_2")

    run = await stage.finish(await stage.start())

    assert (run.status, run.budget_spent, run.jobs_started) == ("failed", 0, 0)
    assert run.failure is not None
    assert run.failure.code == "vendors_unreachable"
    assert run.failure.message.startswith("no vendor could be reached, tried: gpu_vendor_1 ")
    assert "times in 60 minutes (gpu_vendor_1 could not be reached" in run.failure.message
    assert "gpu_vendor_2 " in run.failure.message
    assert stage.clock.now - START == timedelta(hours=1)


async def test_patience_is_a_setting() -> None:
    stage = await a_stage(settings={"patience_seconds": 60})
    gone(stage, "gpu_vendor_1", "gpu_vendor_2")

    run = await stage.finish(await stage.start())

    assert (run.failure and run.failure.code, stage.clock.now - START) == (
        "vendors_unreachable",
        timedelta(minutes=1),
    )


async def test_a_deadline_comes_first() -> None:
    """And its message says what the time was spent on."""
    stage = await a_stage()
    gone(stage, "gpu_vendor_1", "gpu_vendor_2")
    at = START + timedelta(minutes=20)

    run = await stage.finish(await stage.start(constraints={"deadline": at, "max_hours": 0.01}))

    assert run.failure is not None
    assert (run.failure.code, stage.clock.now) == ("deadline_passed", at)
    assert "not reached: gpu_vendor_1" in run.failure.message


async def test_a_vendor_that_answers_again_has_all_the_patience_anew() -> None:
    """Two outages of forty minutes are not one of eighty."""
    stage = await a_stage("gpu_vendor_1:fail_at_epoch=1*2", vendors=(FIRST,), epoch_seconds=300)

    def twice(request: httpx.Request) -> bool:
        minutes = (stage.clock.now - START).total_seconds() / 60
        return request.url.path == "/quote" and (minutes < 40 or 43 < minutes < 85)

    stage.transport.unreachable = twice
    run = await stage.finish(await stage.start(), 400)

    assert [job.failure and job.failure.code for job in await stage.jobs(run)] == ["vendor_failed"] * 2
    assert run.failure is not None
    assert run.failure.code == "planner_abort"


async def test_a_job_that_was_taken_ends_all_waiting() -> None:
    """Who was away an hour ago has its whole patience again: it counts the time of trying."""
    settings: dict[str, object] = {"stall_seconds": 80_000}
    stage = await a_stage("gpu_vendor_2:fail_at_epoch=1*2", epoch_seconds=3_600, settings=settings)
    gone(stage, "gpu_vendor_1", minutes=130)

    run = await stage.finish(await stage.start(20_000_000, {"max_hours": 2}), 1_000)

    assert [job.vendor_id for job in await stage.jobs(run)] == ["gpu_vendor_2", "gpu_vendor_2", "gpu_vendor_1"]
    assert run.status == "completed"


async def test_a_planner_that_gives_up_while_vendors_are_away_is_asked_again() -> None:
    """It cannot know that they come back."""
    start = StartJob(vendorId="gpu_vendor_1", maxHours=1, reason="cheap")
    stage = await a_stage(planner=Scripted([start, Abort(reason="nobody there"), start]))
    gone(stage, "gpu_vendor_1", minutes=0.05)

    run = await stage.start()
    await stage.tick(run)
    waits = await stage.tick(run)

    assert waits.message == "No vendor can be reached: gpu_vendor_1"
    assert waits.action is not None
    assert waits.action["action"] == "abort"
    assert waits.run.next_tick_at == START + timedelta(seconds=5)
    assert (await stage.finish(run)).status == "completed"


async def test_nobody_waits_for_a_vendor_that_could_not_be_rented_from_anyway() -> None:
    stage = await a_stage()
    gone(stage, "gpu_vendor_1")
    run = await stage.start(constraints={"vendor_ids": ["gpu_vendor_1"], "max_price_per_hour": 1_000_000})

    assert (await stage.finish(run)).failure is not None
    assert stage.clock.now == START


async def test_waiting_for_vendors_is_not_idle() -> None:
    """What bounds it is the patience, not how often the run looked."""
    stage = await a_stage(settings={"patience_seconds": 86_400})
    gone(stage, "gpu_vendor_1", "gpu_vendor_2", minutes=200)

    ended = await stage.finish(await stage.start(), 1_000)

    assert (ended.status, ended.tick > MAX_IDLE_WAITS) == ("completed", True)


def rests(times: int, below: Callable[[int], int], retry_after: float | None = None) -> list[float]:
    run: Run = a_run()
    pauses = []
    for _ in range(times):
        run = rest(run, "v", "gave no answer", START, below, retry_after)
        pauses.append((run.rests["v"].until - START).total_seconds())
    return pauses


@given(st.integers(1, 40), st.floats(0, 1), st.none() | st.floats(0, 1e9))
def test_a_rest_is_never_shorter_nor_longer_than_it_may_be(times: int, at: float, asked: float | None) -> None:
    """Whatever chance and the vendor say."""
    for seconds in rests(times, lambda most: min(most - 1, int(at * most)), asked):
        assert SHORTEST_REST <= seconds <= LONGEST_REST


def test_chance_cuts_off_up_to_half() -> None:
    """Runs that lost a vendor together do not come back together."""
    assert rests(4, lambda most: most - 1) == [5, 5, 10, 20]


def test_a_vendor_that_says_when_is_asked_then() -> None:
    assert rests(2, lambda _: 0, 42) == [42, 42]


class Waits:
    """A planner that waits while its favourite is away, and insists on it as soon as it is not."""

    async def plan(self, context: PlanContext, timeout: float) -> Plan:  # noqa: ASYNC109 (the Planner's face)
        away = next(each for each in context.vendors if each.vendor_id == "gpu_vendor_1").away
        action = Wait(seconds=60) if away else StartJob(vendorId="gpu_vendor_1", maxHours=1)
        return Plan(action, "stub", None, None, None, None, 0, None, None)


async def test_a_planner_that_insists_on_a_vendor_that_is_gone_does_not_go_on_for_ever() -> None:
    """Though another one is there: what changes nothing is counted, whoever decides on it."""
    stage = await a_stage(planner=Waits())
    gone(stage, "gpu_vendor_1")

    run = await stage.finish(await stage.start())

    assert run.failure is not None
    assert (run.failure.code, run.budget_spent) == ("stalled", 0)


async def test_a_limit_at_one_vendor_ends_no_run_while_another_is_only_away() -> None:
    """The cheaper one comes back, and the limit leaves enough for it."""
    stage = await a_stage(settings={"max_per_payment": "1.5"})
    gone(stage, "gpu_vendor_1", minutes=0.05)

    assert (await stage.finish(await stage.start())).status == "completed"


class GivesUp:
    """A planner that gives up as long as anybody was not reached."""

    async def plan(self, context: PlanContext, timeout: float) -> Plan:  # noqa: ASYNC109 (the Planner's face)
        plan = await StubPlanner().plan(context, timeout)
        return replace(plan, action=Abort()) if any(each.unreached for each in context.vendors) else plan


async def test_giving_up_ends_no_run_either_at_the_moment_when_a_vendor_is_due_again() -> None:
    """Only its patience does."""
    stage = await a_stage(planner=GivesUp())
    gone(stage, "gpu_vendor_1", "gpu_vendor_2")

    run = await stage.finish(await stage.start())

    assert run.failure is not None
    assert run.failure.code == "vendors_unreachable"
    assert stage.clock.now - START == timedelta(hours=1)


async def test_where_ticks_are_rare_a_vendor_is_tried_a_few_times_all_the_same() -> None:
    """A blip at each of two daily ticks is no outage of a day."""
    stage = await a_stage(vendors=(FIRST,))
    gone(stage, "gpu_vendor_1", minutes=24 * 60 + 5)
    run = await stage.start()
    await stage.tick(run)
    stage.clock.pass_(86_400)

    assert (await stage.finish(run)).status == "completed"
