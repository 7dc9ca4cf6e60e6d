"""A tick advances a run by one step, whatever the vendors do, and a run always ends."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import pairwise

import httpx
import pytest
from bson import ObjectId

from agent.book.errors import RunBusy, RunNotFound
from agent.book.models import Lease, Run
from agent.dispatch.rounds import Done, tick_due
from agent.engine.ending import MAX_FAULTS, MAX_IDLE_WAITS, MAX_JOBS
from agent.engine.tick import tick
from agent.intake import runs
from agent.kinds.rental.planner import Plan
from agent.kinds.rental.planner.context import Abort, PlanContext, StartJob, Wait
from gpu_vendor_mock.catalog import DEFAULT_CATALOG
from tests.agent.stage import START, Stage, a_stage

FIRST, SECOND = DEFAULT_CATALOG


@dataclass
class Scripted:
    """A planner that says what it is told to; the last line again and again."""

    lines: list[StartJob | Wait | Abort]

    async def plan(self, context: PlanContext, timeout: float) -> Plan:  # noqa: ASYNC109 (Planner's face)
        action = self.lines.pop(0) if len(self.lines) > 1 else self.lines[0]
        return Plan(action, "stub", None, None, None, None, 0, None, None)


class Broken:
    """A planner with a fault in it."""

    async def plan(self, context: PlanContext, timeout: float) -> Plan:  # noqa: ASYNC109 (Planner's face)
        raise ZeroDivisionError("secret detail")


async def events(stage: Stage, run: Run) -> list[str]:
    """What happened, in short: types of observations, for money what became of it."""
    return [
        str(each.data["event"]) if each.type == "payment_event" else each.type
        for each in await stage.trail(run)
        if each.type not in ("job_log", "phase", "metric") and not (each.type == "error" and "code" in each.data)
    ]


async def of_type(stage: Stage, run: Run, kind: str) -> list[str]:
    """What the observations of a type say."""
    return [each.content for each in await stage.trail(run) if each.type == kind]


async def test_each_phase_is_in_the_trail_and_in_the_history() -> None:
    """Planning, executing while a purchase is made, waiting while a vendor works, then the end."""
    stage = await a_stage("gpu_vendor_1:fail_at_epoch=3")
    run = await stage.finish(await stage.start())

    rounds = ["planning", "executing", "waiting"]
    assert [each.phase for each in run.history] == [*rounds, *rounds, "success"]
    assert await of_type(stage, run, "phase") == [
        f"{before} -> {after}" for before, after in pairwise(["idle", *rounds, *rounds, "success"])
    ]
    assert [each.tick for each in run.history] == sorted(each.tick for each in run.history)
    assert run.history[0].at == START


async def test_the_history_is_bounded() -> None:
    """A run that waits for ever changes its phase at every tick."""
    stage = await a_stage(planner=Scripted([Wait(seconds=30, reason="later")]))
    run = await stage.finish(await stage.start())

    assert len(run.history) == 50
    assert len(await of_type(stage, run, "phase")) > 50


async def test_what_a_job_came_to_is_told_twice_for_those_who_look_for_errors_and_metrics() -> None:
    """An `error` beside `job_failed`, a `metric` for each figure beside `job_completed`."""
    stage = await a_stage("gpu_vendor_1:fail_at_epoch=3")
    run = await stage.finish(await stage.start())
    failed, completed = await stage.jobs(run)

    assert failed.failure is not None
    assert failed.failure.message in await of_type(stage, run, "error")
    told = [f"{name} = {value}" for name, value in (completed.final_metrics or {}).items()]
    assert await of_type(stage, run, "metric") == told != []


async def test_a_tick_that_sees_a_failure_and_starts_elsewhere_says_both() -> None:
    stage = await a_stage("gpu_vendor_1:fail_at_epoch=3")
    run = await stage.start()
    said = []
    while run.status == "running":
        result = await stage.tick(run)
        run, stage.clock.now = result.run, result.run.next_tick_at or stage.clock.now
        said.append(result.message)

    assert "Job at gpu_vendor_1 failed (vendor_failed); Job started" in said


async def test_a_run_that_goes_on_after_a_death_says_so() -> None:
    """Once, in the tick that found the lease of the dead one; a tick that ended in a fault did end."""
    stage = await a_stage()
    run = await stage.start()
    await stage.services.runs.claim(run.id, Lease(owner="dead", until=stage.clock.now), stage.clock.now)

    await stage.tick(run)
    stage.clock.pass_(20)
    await stage.tick(run)

    (told,) = [each for each in await stage.trail(run) if each.type == "run_recovered"]
    assert told.content == "recovered: tick 1 did not come to its end, this one goes on from what was stored"
    assert told.data == {"tick": 2, "finishedTick": 0}


async def test_the_walk_through_of_the_demo() -> None:
    """The first vendor fails, the second finishes; each is paid once, and the rest of the budget is left."""
    stage = await a_stage("gpu_vendor_1:fail_at_epoch=3")
    run = await stage.start()

    first = await stage.tick(run)

    assert first.message == "Job started"
    assert first.action is not None
    assert tuple(first.action[key] for key in ("action", "vendorId", "maxHours")) == (
        "start_job",
        "gpu_vendor_1",
        1,
    )
    assert (first.run.budget_remaining, first.run.budget_spent, first.run.phase) == (
        3_600_000,
        1_400_000,
        "waiting",
    )

    run = await stage.finish(run)

    assert (run.status, run.phase, run.failure) == ("completed", "success", None)
    assert (run.budget_remaining, run.budget_reserved, run.budget_spent) == (1_800_000, 0, 3_200_000)
    assert [(job.vendor_id, job.status) for job in await stage.jobs(run)] == [
        ("gpu_vendor_1", "failed"),
        ("gpu_vendor_2", "completed"),
    ]
    assert await events(stage, run) == [
        "run_started",
        *("agent_reasoning", "quote", "reserved", "authorized", "job_submitted", "settled", "job_failed"),
        *("agent_reasoning", "quote", "reserved", "authorized", "job_submitted", "settled", "job_completed"),
        "run_completed",
    ]
    journal = await stage.journal()
    assert [each.x402_tx_id for each in await stage.payments(run)] == [
        each["transaction"] for each in journal["settlements"]
    ]


async def test_a_finished_run_is_left_alone() -> None:
    """A tick on it says so and does nothing."""
    stage = await a_stage()
    run = await stage.finish(await stage.start())

    result = await stage.tick(run)

    assert result.message == "Run is completed; there is nothing left to do"
    assert result.action is None
    assert result.run == await stage.services.runs.get(run.id)


async def test_an_unknown_run_is_not_found() -> None:
    """By its own error."""
    stage = await a_stage()

    with pytest.raises(RunNotFound):
        await tick(stage.services, ObjectId())


async def test_two_ticks_do_not_meet() -> None:
    """The second is told to look again soon; when the lease is over it may go on."""
    stage = await a_stage()
    run = await stage.start()
    lease = Lease(owner="another", until=stage.clock.now + timedelta(seconds=12.5))
    await stage.services.runs.claim(run.id, lease, stage.clock.now)

    with pytest.raises(RunBusy) as busy:
        await stage.tick(run)

    assert busy.value.retry_after == 5
    stage.clock.pass_(13)
    assert (await stage.tick(run)).message == "Job started"


async def test_ticks_at_the_same_time_buy_once() -> None:
    """However many are at it, one does the work."""
    stage = await a_stage()
    run = await stage.start()

    results = await asyncio.gather(*(stage.tick(run) for _ in range(5)), return_exceptions=True)

    assert [RunBusy] * 4 == [type(each) for each in results if isinstance(each, BaseException)]
    assert len((await stage.journal())["settlements"]) == 1


async def test_log_lines_are_taken_over_once() -> None:
    """However often the vendor repeats them."""
    stage = await a_stage()
    run = await stage.finish(await stage.start())

    lines = [each.content for each in await stage.trail(run) if each.type == "job_log"]

    assert len(lines) == len(set(lines)) > 5


async def test_a_vendor_that_asks_for_nothing_is_used_without_paying() -> None:
    """And the trail says so."""
    stage = await a_stage(vendors=(replace(FIRST, pay_to=None),))
    run = await stage.finish(await stage.start())

    assert (run.status, run.budget_spent) == ("completed", 0)
    assert await stage.payments(run) == []
    assert "not_asked" in await events(stage, run)


@pytest.mark.parametrize("status", [400, 401, 403, 422])
@pytest.mark.parametrize("path", ["/quote", "/submit-job"])
async def test_a_vendor_is_not_blamed_for_what_we_sent(status: int, path: str) -> None:
    """A token that it does not know, an order that it does not take: the run goes elsewhere, no score moves."""
    stage = await a_stage()

    def refuses(request: httpx.Request) -> httpx.Response | None:
        ours = request.headers["x-vendor-id"] == "gpu_vendor_1" and request.url.path == path
        return httpx.Response(status, json={"error": "no"}) if ours else None

    stage.transport.instead = refuses
    run = await stage.finish(await stage.start())

    assert [job.vendor_id for job in await stage.jobs(run)] == ["gpu_vendor_1", "gpu_vendor_2"]
    assert [each.record.failed for each in await stage.services.vendors.list()] == [0, 0]


async def test_a_vendor_is_not_blamed_for_our_lists() -> None:
    """It asks for a token that the operator does not allow."""
    stage = await a_stage(settings={"allowed_assets": "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913"})
    await stage.finish(await stage.start())

    assert [each.record.failed for each in await stage.services.vendors.list()] == [0, 0]


async def test_hours_that_were_too_few_are_not_the_vendors_fault() -> None:
    """It told how it went all the time."""
    stage = await a_stage(epoch_seconds=800, vendors=(FIRST,))
    run = await stage.finish(await stage.start(constraints={"max_hours": 0.01}), 400)

    assert {job.failure and job.failure.code for job in await stage.jobs(run)} == {"overtime"}
    assert [each.record.failed for each in await stage.services.vendors.list()] == [0]


async def test_what_an_old_vendor_names_proves_nothing_and_the_trail_says_so() -> None:
    """Where the operator lets a registered vendor be from before x402: nothing is signed, and nothing is spent."""
    stage = await a_stage(vendors=(replace(FIRST, pay_to=None),))
    await stage.services.vendors.change("gpu_vendor_1", lambda each: replace(each, allow_tx_id=True))
    run = await stage.start()
    asked = stage.transport.names_a_payment("tx_42")
    run = await stage.finish(run)

    (told,) = [each for each in await stage.trail(run) if each.data.get("event") == "not_asked"]
    assert (run.status, run.budget_spent, asked) == ("completed", 0, ["", "tx_42"])
    assert "which proves nothing" in told.content
    assert told.data["x402TxId"] == "tx_42"


async def test_the_first_payee_is_pinned_before_anything_is_signed() -> None:
    """A vendor registered without one."""
    stage = await a_stage(pinned=False)
    run = await stage.finish(await stage.start())

    vendor = await stage.services.vendors.find("gpu_vendor_1")

    assert vendor is not None
    assert vendor.pay_to == FIRST.pay_to
    shown = [each for each in await events(stage, run) if each in ("reserved", "payee_first_seen", "authorized")]
    assert shown == ["reserved", "payee_first_seen", "authorized"]


async def test_a_payee_that_the_operator_changed_is_told_in_the_trail() -> None:
    """A payment to another address than before is one that somebody will ask about."""
    other = "0x90F79bf6EB2c4f870365E785982E1f101E93b906"
    stage = await a_stage()
    await stage.services.vendors.change("gpu_vendor_1", lambda each: replace(each, former_pay_to=other))
    run = await stage.finish(await stage.start())

    (told,) = [each.data for each in await stage.trail(run) if each.data.get("event") == "payee_changed"]

    assert (told["payTo"], told["formerPayTo"]) == (FIRST.pay_to, other)


@pytest.mark.parametrize(
    ("fault", "code", "spent"),
    [
        ("fail_at_epoch=2", "vendor_failed", 1_400_000),
        ("forget_job", "job_forgotten", 1_400_000),
        ("stall_at_epoch=2", "stalled", 1_400_000),
        ("malformed_json=job-status", "overtime", 1_400_000),
        ("http_500=job-status", "overtime", 1_400_000),
        ("malformed_json=quote", "quote_failed", 0),
        ("price_above_quote=1", "offer_refused", 0),
        ("wrong_payee", "offer_refused", 0),
        ("wrong_network", "offer_refused", 0),
        ("reject_payment", "payment_rejected", 1_400_000),
        ("reject_but_cash", "payment_rejected", 1_400_000),
        ("http_500=payment", "payment_unresolved", 1_400_000),
        ("drop_before_payment", "payment_unresolved", 1_400_000),
        ("drop_after_payment", "payment_unresolved", 1_400_000),
        ("malformed_json=payment", "payment_unresolved", 1_400_000),
    ],
)
async def test_whatever_a_vendor_does_the_run_goes_on_with_another(fault: str, code: str, spent: int) -> None:
    """What is lost is at most what was quoted, and the vendor's record shows it."""
    stage = await a_stage(f"gpu_vendor_1:{fault}")
    run = await stage.finish(await stage.start(), 500)

    failed, completed = await stage.jobs(run)

    assert failed.failure is not None
    assert (failed.failure.code, failed.actual_cost) == (code, spent)
    assert (completed.vendor_id, completed.status, run.status) == ("gpu_vendor_2", "completed", "completed")
    assert run.budget_spent == spent + 1_800_000
    vendor = await stage.services.vendors.find("gpu_vendor_1")
    assert vendor is not None
    assert (vendor.record.failed, vendor.record.evidence[0].job_id) == (1, str(failed.id))


async def test_a_payment_whose_answer_broke_is_settled_by_the_receipt_it_showed() -> None:
    """The money is known to be gone, even if no job came of it."""
    stage = await a_stage("gpu_vendor_1:malformed_json=payment")
    run = await stage.finish(await stage.start(), 500)

    first = (await stage.payments(run))[0]

    assert first.status == "completed"
    assert first.x402_tx_id == (await stage.journal())["settlements"][0]["transaction"]


async def test_a_job_is_not_given_up_because_nobody_could_look() -> None:
    """An outage of ours, then one of the vendor's: the job ran on, and is not bought a second time."""
    stage = await a_stage("gpu_vendor_1:http_500=job-status*3", epoch_seconds=300)
    run = await stage.start()
    await stage.tick(run)
    stage.clock.pass_(1_000)

    unseen = await stage.tick(run)

    assert unseen.run.phase == "waiting"
    ended = await stage.finish(run)
    assert (ended.status, ended.budget_spent) == ("completed", 1_400_000)


async def test_an_unclear_payment_is_sent_again_before_it_expires_however_seldom_jobs_are_looked_at() -> None:
    """POLL_SECONDS is for jobs; an authorization lives for minutes."""
    stage = await a_stage("gpu_vendor_1:drop_after_payment*1", settings={"poll_seconds": 3_600})
    run = await stage.start()

    first = await stage.tick(run)

    assert first.run.next_tick_at == START + timedelta(seconds=15)
    ended = await stage.finish(run)
    assert (ended.status, ended.budget_spent) == ("completed", 1_400_000)


async def test_a_job_without_a_receipt_runs_while_its_money_stays_open() -> None:
    """The run ends when the authorization has, with the payment unresolved and counted as spent."""
    stage = await a_stage("gpu_vendor_1:no_receipt")
    run = await stage.start()

    started = await stage.tick(run)

    assert (started.run.budget_reserved, started.run.budget_spent) == (1_400_000, 0)
    ended = await stage.finish(run)
    assert (ended.status, ended.budget_spent) == ("completed", 1_400_000)
    assert [each.status for each in await stage.payments(run)] == ["unresolved"]
    assert ended.completed_at is not None
    assert ended.completed_at > START + timedelta(seconds=300)


@pytest.mark.parametrize(("budget", "status"), [(1_400_000, "completed"), (1_399_999, "failed")])
async def test_the_budget_is_enough_or_it_is_not(budget: int, status: str) -> None:
    """To the micro-dollar."""
    stage = await a_stage()

    run = await stage.finish(await stage.start(budget))

    assert run.status == status
    assert run.budget_spent == (1_400_000 if status == "completed" else 0)
    assert status == "completed" or (run.failure is not None and run.failure.code == "planner_abort")


async def test_a_price_within_the_users_tolerance_is_paid() -> None:
    """The reservation covers it, and what was reserved beyond the price is free again."""
    stage = await a_stage("gpu_vendor_1:price_above_quote=10")

    run = await stage.finish(await stage.start(constraints={"price_tolerance": "0.2"}))

    assert (run.status, run.budget_spent, run.budget_remaining) == ("completed", 1_540_000, 3_460_000)


async def test_the_users_price_per_hour_holds_whatever_the_tolerance() -> None:
    """A tolerance is for the quote; it does not reach beyond what the user allows per hour."""
    stage = await a_stage("gpu_vendor_1:price_above_quote=20")

    run = await stage.finish(
        await stage.start(constraints={"price_tolerance": "0.2", "max_price_per_hour": 1_400_000})
    )

    assert (run.budget_spent, run.status) == (0, "failed")


async def test_tolerances_do_not_add_up() -> None:
    """10 % above the list price is the end, also for a vendor that quotes 10 % more and then asks 10 % more."""
    stage = await a_stage("gpu_vendor_1:price_above_quote=10")
    listed = 1_300_000
    await stage.services.vendors.change("gpu_vendor_1", lambda each: replace(each, base_price_per_hour=listed))

    run = await stage.finish(await stage.start(constraints={"price_tolerance": "0.1"}))

    assert [job.failure.code for job in await stage.jobs(run) if job.failure] == ["offer_refused"]


@pytest.mark.parametrize(
    ("constraints", "vendor"),
    [
        ({"gpu_type": "H100"}, "gpu_vendor_2"),
        ({"vendor_ids": ("gpu_vendor_2",)}, "gpu_vendor_2"),
        ({"max_price_per_hour": 1_500_000}, "gpu_vendor_1"),
    ],
)
async def test_constraints_choose_the_vendor(constraints: dict[str, object], vendor: str) -> None:
    """The user's word stands above the price."""
    stage = await a_stage()

    result = await stage.tick(await stage.start(constraints=constraints))

    assert result.action is not None
    assert result.action["vendorId"] == vendor


async def test_a_quote_above_the_list_price_is_not_taken() -> None:
    """The planner decided on the list price; a vendor that asks for more is passed over, without blame for it."""
    stage = await a_stage()
    await stage.services.vendors.change(
        "gpu_vendor_1", lambda vendor: replace(vendor, base_price_per_hour=1_000_000)
    )
    run = await stage.finish(await stage.start())

    first = (await stage.jobs(run))[0]

    assert first.failure is not None
    assert (first.failure.code, first.actual_cost) == ("quote_refused", 0)
    vendor = await stage.services.vendors.find("gpu_vendor_1")
    assert vendor is not None
    assert vendor.record.failed == 0


async def test_a_planner_cannot_do_what_is_not_allowed() -> None:
    """The planner proposes; a plan outside the rules is refused and nothing is bought."""
    stage = await a_stage(planner=Scripted([StartJob(vendorId="nobody", maxHours=1.0, reason="because")]))
    run = await stage.finish(await stage.start())

    assert (run.status, run.budget_spent) == ("failed", 0)
    assert run.failure is not None
    assert run.failure.code == "stalled"
    assert (await events(stage, run)).count("error") == MAX_IDLE_WAITS


async def test_a_planner_that_only_waits_ends_the_run() -> None:
    """Never stuck: after so many waits with nothing under way it is over."""
    stage = await a_stage(planner=Scripted([Wait(seconds=60, reason="prices may fall")]))
    run = await stage.start()

    first = await stage.tick(run)

    assert first.message == "Waiting"
    assert first.run.next_tick_at == START + timedelta(seconds=60)
    ended = await stage.finish(run)
    assert ended.failure is not None
    assert (ended.failure.code, ended.idle_waits) == ("stalled", MAX_IDLE_WAITS)


async def test_a_planner_that_gives_up_ends_the_run_with_its_reason() -> None:
    """In its own words."""
    stage = await a_stage(planner=Scripted([Abort(reason="no vendor has enough memory")]))

    result = await stage.tick(await stage.start())

    assert result.run.failure is not None
    assert result.run.failure.message == "no vendor has enough memory"
    assert result.action == {"action": "abort", "reason": "no vendor has enough memory"}
    assert result.run.next_tick_at is None


async def test_a_run_that_only_fails_ends() -> None:
    """Even if it never costs anything."""
    many = tuple(replace(FIRST, vendor_id=f"vendor_{number}") for number in range(11))
    stage = await a_stage("malformed_json=quote", vendors=many)

    run = await stage.finish(await stage.start())

    assert run.failure is not None
    assert (run.failure.code, run.jobs_started) == ("too_many_jobs", MAX_JOBS)


async def test_a_planner_that_waits_does_not_outwait_the_deadline() -> None:
    """The run is looked at when it passes, and fails then, not an hour later."""
    stage = await a_stage(planner=Scripted([Wait(seconds=3_600, reason="prices may fall")]))
    deadline = START + timedelta(minutes=5)
    run = await stage.start(constraints={"deadline": deadline})

    ended = await stage.finish(run)

    assert ended.failure is not None
    assert (ended.failure.code, ended.completed_at) == ("deadline_passed", deadline)


async def test_a_run_past_its_deadline_fails_and_gives_its_job_up() -> None:
    """What was paid stays paid; the vendor's record does not suffer for it."""
    stage = await a_stage(epoch_seconds=3_000)
    run = await stage.start(constraints={"deadline": START + timedelta(hours=1)})
    await stage.tick(run)
    stage.clock.pass_(3600)
    ended = (await stage.tick(run)).run

    assert ended.failure is not None
    assert (ended.failure.code, ended.budget_spent) == ("deadline_passed", 1_400_000)
    (job,) = await stage.jobs(ended)
    assert job.failure is not None
    assert job.failure.code == "abandoned"


async def test_a_job_that_is_done_counts_even_if_it_is_seen_late() -> None:
    """Nobody looked before the deadline, but the goal was reached."""
    stage = await a_stage()
    run = await stage.start(constraints={"deadline": START + timedelta(hours=2)})
    await stage.tick(run)
    stage.clock.pass_(2 * 3600)

    assert (await stage.tick(run)).run.status == "completed"


async def test_a_fault_of_ours_is_tried_again_and_ends_the_run_at_last() -> None:
    """Nothing is written but the fact; what went wrong is in the log, not in the trail."""
    stage = await a_stage(planner=Broken())
    run = await stage.start()

    first = await stage.tick(run)

    assert first.message == "Tick failed; it is tried again"
    assert first.run.next_tick_at == START + timedelta(seconds=60)
    ended = await stage.finish(run)
    assert ended.failure is not None
    assert ended.failure.code == "internal_error"
    assert (await events(stage, run)).count("error") == MAX_FAULTS
    assert not [each for each in await stage.trail(run) if "secret detail" in each.content]


async def test_a_vendor_struck_off_while_its_job_runs_fails_the_job() -> None:
    """Nobody is there to ask; the run goes on with another."""
    stage = await a_stage()
    run = await stage.start()
    await stage.tick(run)
    await stage.services.vendors.remove("gpu_vendor_1")

    ended = await stage.finish(run)

    first = (await stage.jobs(ended))[0]
    assert first.failure is not None
    assert first.failure.code == "vendor_removed"
    assert ended.status == "completed"


async def test_a_vendor_struck_off_while_its_payment_is_unclear_keeps_the_money_held() -> None:
    """Nothing more is sent to it, and nothing is freed before the authorization has expired."""
    stage = await a_stage("gpu_vendor_1:drop_after_payment")
    run = await stage.start()
    await stage.tick(run)
    await stage.services.vendors.remove("gpu_vendor_1")

    sent = len((await stage.journal())["payments"])
    ended = await stage.finish(run)

    journal = await stage.journal()
    assert len([each for each in journal["payments"] if each["vendorId"] == "gpu_vendor_1"]) == sent
    assert (ended.status, ended.budget_spent) == ("completed", 3_200_000)


async def test_cancelling_settles_first() -> None:
    """Before anything was bought at once; with a job running the money is spent and the job given up."""
    stage = await a_stage()
    fresh = await stage.start()
    assert (await runs.cancel(stage.services, fresh.id)).run.status == "cancelled"

    busy = await stage.start()
    await stage.tick(busy)
    ended = (await runs.cancel(stage.services, busy.id)).run

    assert (ended.status, ended.budget_spent, ended.phase) == ("cancelled", 1_400_000, "failed")
    assert [job.failure.code for job in await stage.jobs(ended) if job.failure] == ["abandoned"]
    again = await runs.cancel(stage.services, busy.id)
    assert again.message == "Run is cancelled; there is nothing to cancel"


async def test_cancelling_with_a_payment_unclear_waits_for_its_end() -> None:
    """The authorization may still be cashed, so the run ends when it no longer can."""
    stage = await a_stage("gpu_vendor_1:drop_before_payment")
    run = await stage.start()
    await stage.tick(run)

    waiting = (await runs.cancel(stage.services, run.id)).run

    assert (waiting.status, waiting.budget_reserved) == ("running", 1_400_000)
    ended = await stage.finish(run)
    assert (ended.status, ended.budget_spent) == ("cancelled", 1_400_000)
    assert [each.status for each in await stage.payments(run)] == ["unresolved"]


async def test_cancelling_while_a_tick_is_at_it_is_noted() -> None:
    """The tick under way, or the next, carries it out."""
    stage = await a_stage()
    run = await stage.start()
    lease = Lease(owner="another", until=stage.clock.now + timedelta(seconds=10))
    await stage.services.runs.claim(run.id, lease, stage.clock.now)

    noted = await runs.cancel(stage.services, run.id)

    assert noted.message.startswith("Cancel noted")
    stage.clock.pass_(10)
    assert (await stage.tick(run)).run.status == "cancelled"


async def test_due_runs_are_ticked_together_and_not_twice() -> None:
    """The longest waiting first, each as long as it is due, busy ones passed over."""
    stage = await a_stage(settings={"tick_deadline_seconds": 10})
    due = [await stage.start() for _ in range(10)]
    lease = Lease(owner="another", until=stage.clock.now + timedelta(seconds=10))
    await stage.services.runs.claim(due[0].id, lease, stage.clock.now)

    done = await tick_due(stage.services, 55)

    assert sorted(str(run.id) for run in due[1:]) == sorted(run_id for run_id, _ in done.ticked)
    assert {"Job started"} == {message for _, message in done.ticked}
    assert done.failed == []
    assert await tick_due(stage.services, 55) == Done()


async def test_no_round_is_begun_that_cannot_be_finished() -> None:
    """A tick may take its whole deadline; with less left the rest waits for the next round."""
    stage = await a_stage()
    await stage.start()

    assert (await tick_due(stage.services, 1)).ticked == []


async def test_the_same_order_under_the_same_key_is_one_run() -> None:
    """And under another user's name another run."""
    stage = await a_stage()
    order = runs.Order("u1", "goal", 5_000_000, (await stage.start()).constraints)
    services = stage.services

    first = await runs.start(services.runs, services.world, order, "key-1")
    again = await runs.start(services.runs, services.world, order, "key-1")
    other = await runs.start(services.runs, services.world, replace(order, user_id="u2"), "key-1")

    assert first.id == again.id != other.id


async def test_what_was_only_said_is_told_by_the_next_tick() -> None:
    """A tick that brings news writes the run and nothing after it; the trail shows the news all the same."""
    stage = await a_stage()
    run = await stage.start()
    await stage.tick(run)
    stage.clock.pass_(12)
    said = (await stage.tick(run)).run
    told = stage.database.collection("observations")

    assert len(await stage.trail(run)) == said.audit.seq
    assert await told.count({"runId": run.id}) < said.audit.seq

    await stage.tick(run)

    assert await told.count({"runId": run.id}) == said.audit.seq
