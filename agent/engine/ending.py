"""How a run ends: it always does, and not before its open money is settled or released."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from agent.book.audit import iso
from agent.book.jobs import fail
from agent.book.lifecycle import ENDED_JOB, LIVE_JOB, RUN, move
from agent.book.models import Ending, Failure, Run
from agent.book.money import usd_text
from agent.book.resting import tried
from agent.engine.leased import LeasedRun
from agent.engine.purchase import closes_at
from agent.engine.step import Step

__all__ = [
    "MAX_FAULTS",
    "MAX_IDLE_WAITS",
    "MAX_JOBS",
    "MAX_UNREACHED",
    "broken",
    "cancelled",
    "close",
    "ending_of",
]

MAX_JOBS: Final = 20
"""Jobs that one run may start. Whoever fails twenty times will not succeed by spending on."""

MAX_UNREACHED: Final = 100
"""Jobs of one run whose orders may not reach their vendors, whatever its patience: each leaves a record."""

MAX_IDLE_WAITS: Final = 30
"""Times in a row that a planner may wait with nothing under way."""

MAX_FAULTS: Final = 10
"""Ticks in a row that may end in a fault of ours."""

_EVENT: Final = {"completed": "complete", "failed": "fail", "cancelled": "cancel"}


def cancelled(run: Run) -> Ending | None:
    """How the run is to end if its user asked for it. The first reason stays."""
    if run.ending is None and run.cancel_requested:
        return Ending(status="cancelled", code="cancelled", message="cancelled by its user")
    return run.ending


def ending_of(run: Run, now: datetime) -> Ending | None:
    """How the run is to end, if it is. The first reason stays; a job that is done comes before a limit passed."""
    if ending := cancelled(run):
        return ending
    deadline = run.constraints.deadline
    if deadline is not None and now >= deadline:
        why = "the run's deadline passed before the goal was reached"
        missed = tried(run, now)
        return _failed("deadline_passed", f"{why}; not reached: {missed}" if missed else why)
    at_work = any(job.status not in ENDED_JOB for job in run.jobs.values())
    if run.jobs_started - run.jobs_unreached >= MAX_JOBS and not at_work:
        return _failed("too_many_jobs", f"{MAX_JOBS} jobs were started and none reached the goal")
    if run.jobs_unreached >= MAX_UNREACHED:
        why = f"{MAX_UNREACHED} orders did not reach their vendors: {tried(run, now)}"
        return _failed("vendors_unreachable", why)
    if run.idle_waits >= MAX_IDLE_WAITS:
        return _failed("stalled", f"the planner waited {MAX_IDLE_WAITS} times with nothing under way")
    return None


def broken(run: Run) -> Ending | None:
    """How a run is to end whose ticks keep failing. The first reason stays."""
    if run.ending is None and run.faults >= MAX_FAULTS:
        return _failed("internal_error", f"{MAX_FAULTS} ticks in a row ended in a fault of ours")
    return run.ending


def close(desk: LeasedRun, now: datetime, soon: datetime) -> Step:
    """Bring the run towards its end; with money still open it waits for that first."""
    ending = desk.draft.ending
    if ending is None:
        raise AssertionError("unreachable: close is for runs that are ending")
    for job in tuple(desk.draft.jobs.values()):
        if job.status in LIVE_JOB:
            why = f"given up because the run ended: {ending.message}"
            desk.draft = fail(desk.draft, job, "abandoned", why, now, vendor_fault=False)
    open_ = desk.draft.reservations.values()
    if open_:
        desk.enter("waiting")
        # one that waits for the chain to confirm what a vendor shows is looked at soon
        due = min(closes_at(each) if each.held and each.transaction is None else soon for each in open_)
        return Step(f"Run is ending ({ending.code}): money is still open", None, max(due, soon))
    return _finish(desk, ending, now)


def _finish(desk: LeasedRun, ending: Ending, now: datetime) -> Step:
    run = desk.draft
    reached = ending.status == "completed"
    desk.set(
        status=move(RUN, run.status, _EVENT[ending.status]),
        ended_untold=True,
        failure=None if reached else Failure(code=ending.code, message=ending.message),
        completed_at=now,
    )
    desk.enter("success" if reached else "failed")
    books = f"spent {usd_text(run.budget_spent)} of {usd_text(run.budget_total)} USD"
    message = f"Run {ending.status}: {ending.message}"
    desk.note(
        f"run_{ending.status}",
        f"{message}; {books}",
        {
            "code": ending.code,
            "message": ending.message,
            "completedAt": iso(now),
            "budgetTotalUsd": usd_text(run.budget_total),
            "budgetRemainingUsd": usd_text(run.budget_remaining),
            "budgetSpentUsd": usd_text(run.budget_spent),
        },
    )
    return Step(message, None, None)


def _failed(code: str, message: str) -> Ending:
    return Ending(status="failed", code=code, message=message)
