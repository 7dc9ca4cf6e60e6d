"""One tick: a run advanced by one step, with nothing kept in memory.

    claim -> load -> recover -> observe -> plan -> act -> persist -> release

Any process may do any tick; a process may die at any line. What is not finished within the deadline is left to
the next tick, and `nextTickAt` says when that is due.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import timedelta
from math import ceil
from typing import Final

from bson import ObjectId

from agent.book import booking
from agent.book.clocks import mended
from agent.book.errors import LeaseLost, RunBusy, StoreUnavailable
from agent.book.jobs import look_again
from agent.book.lifecycle import LIVE_JOB
from agent.book.models import Ending, Lease, Outbox, Run
from agent.engine.ending import broken, cancelled, close, ending_of
from agent.engine.leased import LeasedRun
from agent.engine.purchase import RESEND_SECONDS, advance, closes_at
from agent.engine.restored import LOOK_SECONDS
from agent.engine.services import Services
from agent.engine.step import Step
from agent.process.deadline import Deadline
from agent.process.logs import about

__all__ = ["TickResult", "tick"]

LEASE_GRACE: Final = 20.0
"""Seconds that a lease lasts beyond the tick's own deadline: for writes under way and clocks that differ."""

FAULT_PAUSE: Final = timedelta(seconds=60)
"""Wait after a tick that ended in a fault of ours."""

LOOK_AGAIN: Final = 5
"""Seconds after which a run that is busy is worth another try: most ticks are over long before their lease."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TickResult:
    """What a tick did: a sentence, the planner's action if there was one, and the run afterwards."""

    message: str
    action: dict[str, object] | None
    run: Run


async def tick(
    services: Services, run_id: ObjectId, user_id: str | None = None, *, if_due: bool = False
) -> TickResult:
    """Advance the run by one step. `if_due`: unless another tick has done it since the caller saw that it was due.

    Raises:
        RunNotFound: there is no such run, or not of this user (None: whoever's it is).
        RunBusy: another tick is at it, or has been.
        LeaseLost: this tick was too slow and another one has taken over; nothing is lost.
        StoreUnavailable: the database is away; the lease runs out and the next tick goes on.
    """
    with about(runId=str(run_id)):
        result = await _tick(services, run_id, user_id, if_due=if_due)
        _log.info("ticked: %s", result.message)
        return result


async def _tick(services: Services, run_id: ObjectId, user_id: str | None, *, if_due: bool) -> TickResult:
    run = await _claim(services, run_id, user_id, if_due=if_due)
    if run.status != "running":
        run = await _tell_all(services, run)
        return TickResult(f"Run is {run.status}; there is nothing left to do", None, run)
    desk = LeasedRun(services.runs, services.world, run)
    try:
        await _tell(services, run)
        _say_if_recovered(desk)
        step = await _advance(desk, services)
        desk.set(faults=0)
        after = await desk.release(step.next_tick_at)
    except (LeaseLost, StoreUnavailable):
        raise
    except Exception as exc:
        _log.exception("tick of run %s failed", run_id)
        step = _faulted(desk, services, exc)
        after = await desk.release(step.next_tick_at)
    return TickResult(step.message, step.action, await _tell_all(services, after))


async def _claim(services: Services, run_id: ObjectId, user_id: str | None, *, if_due: bool) -> Run:
    """The run under a new lease, or as it ended."""
    now = services.world.now()
    lasts = timedelta(seconds=services.settings.tick_deadline_seconds + LEASE_GRACE)
    lease = Lease(owner=services.world.new_token(), until=now + lasts)
    claimed = await services.runs.claim(run_id, lease, now, user_id, if_due=if_due)
    if claimed is not None:
        return claimed
    run = await services.runs.get(run_id, user_id)
    if run.status == "running":
        left = (run.lease.until - now).total_seconds() if run.lease else 0
        raise RunBusy(run_id, max(1, min(ceil(left), LOOK_AGAIN)))
    return run


def _say_if_recovered(desk: LeasedRun) -> None:
    """The tick before did not come to its end: its process died, lost its lease, or its database was away."""
    done, now = desk.draft.finished_tick, desk.draft.tick
    if done is not None and done < now - 1:
        told = f"recovered: tick {now - 1} did not come to its end, this one goes on from what was stored"
        desk.note("run_recovered", told, {"tick": now, "finishedTick": done})


async def _say_if_restored(desk: LeasedRun, services: Services) -> None:
    """The database is a restored backup: said by the first tick that meets the run there."""
    held = await services.restored.held(desk.draft)
    if held is not None and held.passing and (desk.draft.updated_at < held.since or desk.draft.tick == 1):
        desk.note("error", held.why, {"event": "store_restored"})


async def _tell(services: Services, run: Run) -> None:
    """Copy what the run decided to the other collections; harmless to repeat."""
    await services.runs.tell(run)
    for outcome in run.outbox.outcomes:
        await services.vendors.learn(outcome)
    for closing in run.outbox.closings:
        await services.allowances.close(closing)


async def _tell_all(services: Services, run: Run) -> Run:
    """Tell, and empty the outbox; the run as it is then. The tick is done: what fails here is left to the next.

    So is what can wait: the next tick tells it with its first write, and empties the outbox with its last.
    """
    if run.outbox.can_wait and not run.ended_untold:
        return run
    try:
        await _tell(services, run)
        await services.runs.told(run)
    except Exception:
        _log.exception("what run %s decided could not be told yet", run.id)
        return run
    return run.model_copy(update={"outbox": Outbox(), "ended_untold": False})


async def _advance(desk: LeasedRun, services: Services) -> Step:
    deadline = Deadline(services.world.monotonic, services.settings.tick_deadline_seconds)
    desk.draft = mended(desk.draft, services.world.now())
    desk.set(ending=cancelled(desk.draft))
    await _say_if_restored(desk, services)
    open_before = set(desk.draft.jobs)
    for job_id in tuple(desk.draft.reservations):
        await advance(desk, services, job_id, deadline)
    if desk.draft.ending is None:
        await services.kind.look(desk, services, deadline)
    failed = _failures(desk.draft, open_before)
    now, poll = services.world.now(), services.settings.poll_seconds
    desk.set(ending=ending_of(desk.draft, now))
    again = now + timedelta(seconds=min(poll, RESEND_SECONDS))
    if desk.draft.ending is not None:
        return close(desk, now, again)
    unclear = [job for job in desk.draft.jobs.values() if job.status == "pending"]
    if unclear:
        desk.enter("waiting")
        return Step(f"Payment to {unclear[0].vendor_id} has no clear outcome yet", None, again)
    live = [job for job in desk.draft.jobs.values() if job.status in LIVE_JOB]
    if live:
        desk.enter("waiting")
        message = f"Job at {live[0].vendor_id} is {live[0].status}: {live[0].progress:g} %"
        looks = [look_again(job, now, poll, services.settings.stall_seconds) for job in live]
        if desk.draft.constraints.deadline is not None:
            looks.append(desk.draft.constraints.deadline)
        if desk.draft.reservations:  # what is paid for may still be settled, or freed
            looks.append(now + timedelta(seconds=poll))
        return Step(message, None, min(looks))
    if desk.draft.wait_until is not None and now < desk.draft.wait_until:
        return Step("Waiting", None, desk.draft.wait_until)
    step = await _held_back(desk, services) or await services.kind.step(desk, services, deadline)
    return replace(step, message="; ".join([*failed, step.message]))


async def _held_back(desk: LeasedRun, services: Services) -> Step | None:
    """What is done instead of the next step while the database is a restored backup, or after it was one."""
    held = await services.restored.held(desk.draft)
    if held is None:
        return None
    now, deadline = services.world.now(), desk.draft.constraints.deadline
    if not held.passing:
        desk.set(ending=Ending(status="failed", code="store_restored", message=held.why))
        return close(desk, now, now + timedelta(seconds=services.settings.poll_seconds))
    until = now + timedelta(seconds=LOOK_SECONDS)
    until = until if deadline is None else min(until, deadline)
    desk.set(wait_until=until)
    desk.enter("waiting")
    return Step(held.why, None, until)


def _failures(run: Run, open_before: Collection[str]) -> list[str]:
    """What became in this tick of jobs that were open before it, where they failed."""
    return [
        f"Job at {job.vendor_id} failed ({job.failure.code})"
        for job in (*run.jobs.values(), *run.outbox.jobs)
        if job.failure is not None and str(job.id) in open_before
    ]


def _faulted(desk: LeasedRun, services: Services, exc: Exception) -> Step:
    """A fault of ours: drop what was not committed, say so in the trail, try again later.

    A run that is ending needs nobody for it: what has expired is booked here, so that it ends in any case.
    """
    now = services.world.now()
    desk.forget()
    desk.set(faults=desk.draft.faults + 1)
    desk.note("error", f"the tick ended in a fault of ours ({type(exc).__name__}); it is tried again")
    desk.set(ending=broken(desk.draft))
    if desk.draft.ending is None:
        return Step("Tick failed; it is tried again", None, now + FAULT_PAUSE)
    for job_id, reservation in tuple(desk.draft.reservations.items()):
        if now >= closes_at(reservation):
            desk.draft = booking.expired(desk.draft, job_id, now)
    return close(desk, now, now + FAULT_PAUSE)
