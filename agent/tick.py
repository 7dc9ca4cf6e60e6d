"""One tick: a run advanced by one step, with nothing kept in memory.

    claim -> load -> recover -> observe -> plan -> act -> persist -> release

Any process may do any tick; a process may die at any line. What is not finished within the deadline is left to
the next tick, and `nextTickAt` says when that is due.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta
from math import ceil
from typing import Final

from bson import ObjectId

from agent.deadline import Deadline
from agent.decide import decide
from agent.ending import cancelled, close, ending_of
from agent.errors import ConfigurationError, LeaseLost, RunBusy, StoreUnavailable
from agent.jobs import fail, follow, overdue
from agent.leased import LeasedRun
from agent.ledger import put_job
from agent.lifecycle import LIVE_JOB
from agent.models import Job, Lease, Run
from agent.purchase import CALL_SECONDS, advance
from agent.services import Services
from agent.step import Step
from vendors.errors import InvalidVendor, VendorError, VendorRefused

__all__ = ["TickResult", "tick"]

LEASE_GRACE: Final = 20.0
"""Seconds that a lease lasts beyond the tick's own deadline: for writes under way and clocks that differ."""

FAULT_PAUSE: Final = timedelta(seconds=60)
"""Wait after a tick that ended in a fault of ours."""

_JOB_UNKNOWN: Final = frozenset({404, 410})
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TickResult:
    """What a tick did: a sentence, the planner's action if there was one, and the run afterwards."""

    message: str
    action: dict[str, object] | None
    run: Run


async def tick(services: Services, run_id: ObjectId) -> TickResult:
    """Advance the run by one step.

    Raises:
        RunNotFound: there is no such run.
        RunBusy: another tick is at it.
        LeaseLost: this tick was too slow and another one has taken over; nothing is lost.
        StoreUnavailable: the database is away; the lease runs out and the next tick goes on.
    """
    run = await _claim(services, run_id)
    if run.status != "running":
        return TickResult(f"Run is {run.status}; there is nothing left to do", None, run)
    await _tell(services, run)
    desk = LeasedRun(services.runs, services.world, run)
    deadline = Deadline(services.world.monotonic, services.settings.tick_deadline_seconds)
    try:
        step = await _advance(desk, services, deadline)
    except (LeaseLost, StoreUnavailable):
        raise
    except Exception as exc:
        _log.exception("tick of run %s failed", run_id)
        step = _faulted(desk, services, exc)
    else:
        desk.set(faults=0)
    after = await desk.release(step.next_tick_at)
    if not after.outbox.empty:
        await _tell(services, after)
        await services.runs.told(after)
    return TickResult(step.message, step.action, after)


async def _claim(services: Services, run_id: ObjectId) -> Run:
    """The run under a new lease, or as it ended."""
    now = services.world.now()
    lasts = timedelta(seconds=services.settings.tick_deadline_seconds + LEASE_GRACE)
    lease = Lease(owner=services.world.new_token(), until=now + lasts)
    claimed = await services.runs.claim(run_id, lease, now)
    if claimed is not None:
        return claimed
    run = await services.runs.get(run_id)
    if run.status == "running":
        left = (run.lease.until - now).total_seconds() if run.lease else 0
        raise RunBusy(run_id, max(1, ceil(left)))
    return run


async def _tell(services: Services, run: Run) -> None:
    """Copy what the run decided to the other collections; harmless to repeat."""
    await services.runs.tell(run)
    for outcome in run.outbox.outcomes:
        await services.vendors.learn(outcome)


async def _advance(desk: LeasedRun, services: Services, deadline: Deadline) -> Step:
    desk.set(ending=cancelled(desk.draft))
    await _recover(desk, services, deadline)
    await _observe(desk, services, deadline)
    now = services.world.now()
    desk.set(ending=ending_of(desk.draft, now))
    soon = now + timedelta(seconds=services.settings.poll_seconds)
    if desk.draft.ending is not None:
        return close(desk, now, soon)
    unclear = [job for job in desk.draft.jobs.values() if job.status == "pending"]
    if unclear:
        desk.set(phase="waiting")
        return Step(f"Payment to {unclear[0].vendor_id} has no clear outcome yet", None, soon)
    live = [job for job in desk.draft.jobs.values() if job.status in LIVE_JOB]
    if live:
        desk.set(phase="executing")
        return Step(f"Job at {live[0].vendor_id} is {live[0].status}: {live[0].progress:g} %", None, soon)
    return await decide(desk, services, deadline)


async def _recover(desk: LeasedRun, services: Services, deadline: Deadline) -> None:
    """Finish open reservations before anything else."""
    for job_id in tuple(desk.draft.reservations):
        await advance(desk, services, job_id, deadline)


async def _observe(desk: LeasedRun, services: Services, deadline: Deadline) -> None:
    """Ask after live jobs."""
    for job in tuple(desk.draft.jobs.values()):
        if job.status in LIVE_JOB:
            await _poll(desk, services, job, deadline)


async def _poll(desk: LeasedRun, services: Services, job: Job, deadline: Deadline) -> None:
    vendor = await services.vendors.find(job.vendor_id)
    if vendor is None or job.vendor_job_id is None:
        message = "the vendor was removed from the registry"
        desk.draft = fail(desk.draft, job, "vendor_removed", message, services.world.now(), vendor_fault=False)
        return
    try:
        report = await services.client.status(vendor, job.vendor_job_id, within=deadline.allow(CALL_SECONDS))
    except VendorRefused as exc:
        if exc.status in _JOB_UNKNOWN:
            now, message = services.world.now(), "the vendor no longer knows the job"
            desk.draft = fail(desk.draft, job, "job_forgotten", message, now, vendor_fault=True)
            return
        _note_trouble(desk, job, exc)
    except (VendorError, InvalidVendor, ConfigurationError) as exc:
        _note_trouble(desk, job, exc)
    else:
        desk.draft = follow(desk.draft, job, report, services.world.now())
    _stop_if_overdue(desk, services, str(job.id))


def _note_trouble(desk: LeasedRun, job: Job, exc: Exception) -> None:
    """No news of a job: said once, not at every look."""
    if str(exc) != job.trouble:
        desk.note("error", f"no status from {job.vendor_id}: {exc}", {"jobId": str(job.id)})
    desk.draft = put_job(desk.draft, job.model_copy(update={"trouble": str(exc)}))


def _stop_if_overdue(desk: LeasedRun, services: Services, job_id: str) -> None:
    now, job = services.world.now(), desk.draft.jobs.get(job_id)
    late = overdue(job, now, services.settings.stall_seconds) if job else None
    if job and late:
        desk.draft = fail(desk.draft, job, *late, now, vendor_fault=True)


def _faulted(desk: LeasedRun, services: Services, exc: Exception) -> Step:
    """A fault of ours: drop what was not committed, say so in the trail, try again later."""
    desk.forget()
    desk.set(faults=desk.draft.faults + 1)
    desk.note("error", f"the tick ended in a fault of ours ({type(exc).__name__}); it is tried again")
    return Step("Tick failed; it is tried again", None, services.world.now() + FAULT_PAUSE)
