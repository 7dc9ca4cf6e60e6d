"""Plan and act: the planner proposes, this module checks, the ledger decides."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from agent.book.errors import KeyRevoked
from agent.book.jobs import NOBODYS_FAULT
from agent.book.lifecycle import LIVE_JOB
from agent.book.limits import Limits, exhausted, free_at, in_words, planning_scopes
from agent.book.models import Ending, Job, Json, Payment, Run
from agent.book.money import at_rate, usd_text
from agent.book.resting import out_of_reach, pause_after, resting, tried
from agent.engine.ending import close
from agent.engine.leased import LeasedRun
from agent.engine.purchase import RESEND_SECONDS
from agent.engine.services import Services
from agent.engine.spending import Standing, limits_of, short, survey
from agent.engine.step import Step
from agent.kinds.rental.buying import buy
from agent.kinds.rental.planner import Plan, Planner
from agent.kinds.rental.planner.context import (
    Abort,
    JobView,
    PaymentView,
    PlanContext,
    StartJob,
    VendorView,
    Wait,
    beyond,
    check,
    could_buy,
    obstacles,
    worth_waiting_for,
)
from agent.kinds.rental.planner.stub import StubPlanner
from agent.process.deadline import Deadline
from vendors.models import Vendor

__all__ = ["decide", "plan_context"]

PLAN_SHARE: Final = 0.5
"""Share of the time left that the planner may take; the rest is for the purchase."""

PLAN_GRACE: Final = 1.0
"""Seconds beyond its share after which a planner that does not keep to it is cut off."""

BUYING_SECONDS: Final = 4.0
"""With less than this left nothing is bought; the next tick plans again."""


def plan_context(
    run: Run,
    vendors: Sequence[Vendor],
    jobs: Sequence[Job],
    payments: Sequence[Payment],
    now: datetime,
    standings: Mapping[str, Standing],
) -> PlanContext:
    """All that a planner may know, and nothing else: no ids of other runs, no secrets, no addresses."""
    away = resting(run, now)
    failures = [job.vendor_id for job in jobs if job.failure and job.failure.code not in NOBODYS_FAULT]
    return PlanContext(
        goal=run.goal,
        now=now,
        budget_remaining=run.budget_remaining,
        constraints=run.constraints,
        vendors=tuple(
            VendorView(
                vendor_id=vendor.vendor_id,
                name=vendor.name,
                base_price_per_hour=vendor.base_price_per_hour,
                reliability=vendor.reliability_score,
                completed=vendor.record.completed,
                failed=vendor.record.failed,
                supported_gpu_types=vendor.supported_gpu_types,
                failures_in_run=failures.count(vendor.vendor_id),
                barred=standings[vendor.vendor_id].barred,
                unreached=run.rests[vendor.vendor_id].times if vendor.vendor_id in run.rests else 0,
                away=f"{vendor.vendor_id} could not be reached a moment ago" if vendor.vendor_id in away else None,
                room=standings[vendor.vendor_id].room,
                known_room=standings[vendor.vendor_id].known_room,
            )
            for vendor in vendors
        ),
        jobs=tuple(
            JobView(
                vendor_id=job.vendor_id,
                status=job.status,
                expected_cost=job.expected_cost,
                actual_cost=job.actual_cost,
                progress=job.progress,
                failure=job.failure.message if job.failure else None,
            )
            for job in jobs
        ),
        payments=tuple(
            PaymentView(vendor_id=each.vendor_id, amount=each.amount, status=each.status) for each in payments
        ),
        idle_waits=run.idle_waits,
    )


async def decide(desk: LeasedRun, services: Services, planner: Planner, deadline: Deadline) -> Step:
    """Ask the planner what to do next, and do it."""
    desk.enter("planning")
    try:
        limits = await limits_of(desk, services)
    except KeyRevoked as exc:
        return _fail(desk, services, "key_revoked", str(exc))
    vendors = await services.vendors.list()
    standings = await survey(services, limits, vendors)
    jobs, payments = await services.runs.jobs(desk.draft), await services.runs.payments(desk.draft)
    context = plan_context(desk.draft, vendors, jobs, payments, services.world.now(), standings)
    missed = worth_waiting_for(context)
    if missed and all(obstacles(each, context) for each in context.vendors):
        return _wait_for(desk, services, missed)
    poll = services.settings.poll_seconds
    plan = await _planned(services, planner, context, limits, deadline.remaining() * PLAN_SHARE)
    if plan is None:
        desk.note("error", "the planner gave no answer in time")
        return _wait(desk, services, "No plan in time; the next tick asks again", None, poll)
    action = plan.action.model_dump()
    desk.note("agent_reasoning", plan.action.reason, _reasoning(plan, action))
    if problems := check(plan.action, context):
        desk.note("error", f"the plan is not allowed: {'; '.join(problems)}")
        return _wait(desk, services, "Plan refused", action, poll)
    if isinstance(plan.action, Abort):
        if unreached := worth_waiting_for(context, due=True):  # the others may be out of the question, not these
            return _wait_for(desk, services, unreached, action)
        return _fail(desk, services, "planner_abort", plan.action.reason, action)
    if isinstance(plan.action, Wait):
        return _wait(desk, services, "Waiting", action, plan.action.seconds)
    if deadline.remaining() < BUYING_SECONDS:
        return _wait(desk, services, "Planned too late to buy; the next tick plans again", action, poll)
    vendor = next(each for each in vendors if each.vendor_id == plan.action.vendorId)
    if beyond(plan.action, context):
        step = await _limited(desk, services, limits, plan.action, vendor, action, missed)
        if step is not None:
            return step
    return await _start(desk, services, plan.action, vendor, action, deadline)


async def _planned(
    services: Services, planner: Planner, context: PlanContext, limits: Limits, share: float
) -> Plan | None:
    """What the planner proposes within about `share` seconds, its cost counted; None: no answer came in time.

    A model is asked for nothing where nothing can be bought: the stub knows that, and why, for free.
    """
    counted = planning_scopes(limits, services.wallet.address, services.world.now())
    taken = await services.allowances.read([scope.key for scope in counted])
    if not could_buy(context) or exhausted(counted, taken):
        planner = StubPlanner()
    try:
        async with asyncio.timeout(share + PLAN_GRACE):
            plan = await planner.plan(context, share)
    except TimeoutError:
        return None
    if plan.cost_usd_micro:
        for scope in counted:
            await services.allowances.spend(scope.key, plan.cost_usd_micro)
    return plan


async def _limited(
    desk: LeasedRun,
    services: Services,
    limits: Limits,
    start: StartJob,
    vendor: Vendor,
    action: dict[str, object],
    missed: Sequence[str],
) -> Step | None:
    """Limits over many runs leave too little for the plan: wait for what becomes free in time, or end the run; but
    first for the vendors that could not be reached, which may cost less (`missed`).

    None: there is room by now.
    """
    cost, now = at_rate(vendor.base_price_per_hour, start.maxHours), services.world.now()
    found = await short(services, limits, vendor.vendor_id, cost)
    if not found:
        return None
    until, deadline = free_at(found, now), desk.draft.constraints.deadline
    in_vain = until is None or (deadline is not None and until >= deadline)
    why = f"no job at {vendor.vendor_id} can be paid for now: {in_words(found, until)}"
    about: list[Json] = [each.data for each in found]
    again = None if until is None else until.isoformat()
    desk.note("limit_reached", why, {"vendorId": vendor.vendor_id, "limits": about, "freeAt": again})
    if missed:
        return _wait_for(desk, services, missed, action)
    if until is None or in_vain:
        return _fail(desk, services, "limit_reached", why, action)
    return _wait(desk, services, "Waiting: a limit is reached", action, (until - now).total_seconds())


def _wait_for(
    desk: LeasedRun, services: Services, missed: Sequence[str], action: dict[str, object] | None = None
) -> Step:
    """The vendors that could do it could not be reached: wait for the first, or give up after so long."""
    rests = [desk.draft.rests[vendor_id] for vendor_id in missed]
    now, patience = services.world.now(), services.settings.patience_seconds
    if out_of_reach(rests, now, patience):
        why = f"no vendor could be reached, tried: {tried(desk.draft, now)}"
        return _fail(desk, services, "vendors_unreachable", why, action)
    given_up_at = max(each.since for each in rests) + timedelta(seconds=patience)
    turns = desk.draft.idle_waits
    soon = min(each.until if each.until > now else now + pause_after(each.times + turns) for each in rests)
    until = min(given_up_at, soon)
    told = f"No vendor can be reached: {', '.join(missed)}"
    asked = action is not None  # a planner that would rather give up is asked more and more rarely
    return _wait(desk, services, told, action, (until - now).total_seconds(), idle=int(asked))


def _wait(
    desk: LeasedRun,
    services: Services,
    message: str,
    action: dict[str, object] | None,
    seconds: float,
    idle: int = 1,
) -> Step:
    """Nothing is done for some seconds, or until the run's deadline. Waits in a row are counted (as `idle`), where
    nothing else bounds them: a run must not wait for ever.
    """
    until, deadline = services.world.now() + timedelta(seconds=seconds), desk.draft.constraints.deadline
    if deadline is not None:
        until = min(until, deadline)
    desk.set(idle_waits=desk.draft.idle_waits + idle, wait_until=until)
    desk.enter("waiting")
    return Step(message, action, until)


def _fail(
    desk: LeasedRun, services: Services, code: str, why: str, action: dict[str, object] | None = None
) -> Step:
    now = services.world.now()
    desk.set(ending=Ending(status="failed", code=code, message=why))
    return replace(close(desk, now, now + timedelta(seconds=services.settings.poll_seconds)), action=action)


async def _start(
    desk: LeasedRun,
    services: Services,
    start: StartJob,
    vendor: Vendor,
    action: dict[str, object],
    deadline: Deadline,
) -> Step:
    desk.set(wait_until=None)
    desk.enter("executing")
    job_id = await buy(desk, services, vendor, start.maxHours, deadline)
    now = services.world.now()
    poll = services.settings.poll_seconds
    job = desk.draft.jobs.get(str(job_id))
    if vendor.vendor_id not in resting(desk.draft, now):  # else nothing was changed by it
        desk.set(idle_waits=0)
    if job is not None and job.status in LIVE_JOB:
        desk.enter("waiting")
        return Step("Job started", action, now + timedelta(seconds=poll))
    if job is not None and job.status == "pending":
        desk.enter("waiting")
        again = now + timedelta(seconds=min(poll, RESEND_SECONDS))
        return Step(f"Payment to {vendor.vendor_id} has no clear outcome yet", action, again)
    if vendor.vendor_id in resting(desk.draft, now):
        return Step(f"{vendor.vendor_id} could not be reached", action, now)
    return Step(f"Job at {vendor.vendor_id} did not start", action, now)


def _reasoning(plan: Plan, action: dict[str, object]) -> dict[str, Json]:
    cost = plan.cost_usd_micro
    return {
        "action": {key: value for key, value in action.items() if isinstance(value, str | int | float)},
        "planner": plan.planner,
        "model": plan.model,
        "promptVersion": plan.prompt_version,
        "inputTokens": plan.input_tokens,
        "outputTokens": plan.output_tokens,
        "latencyMs": plan.latency_ms,
        "costUsd": None if cost is None else usd_text(cost),
        "fallback": plan.fallback,
        "asked": [
            {
                "promptHash": each.prompt_hash,
                "reply": each.reply,
                "problems": [*each.problems],
                "waitedSeconds": each.waited,
            }
            for each in plan.asked
        ],
    }
