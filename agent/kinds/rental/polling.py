"""Ask vendors how live jobs do, and book what they say."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from agent.book.errors import ConfigurationError
from agent.book.jobs import fail, follow, overdue
from agent.book.ledger import put_job
from agent.book.lifecycle import LIVE_JOB
from agent.book.models import Job
from agent.engine.leased import LeasedRun
from agent.engine.purchase import CALL_SECONDS
from agent.engine.services import Services
from agent.process.deadline import Deadline
from vendors.errors import InvalidVendor, VendorError, VendorRefused

__all__ = ["FORGOTTEN_AFTER", "poll_jobs"]

_GONE: Final = 410
_NOT_FOUND: Final = 404

FORGOTTEN_AFTER: Final = timedelta(minutes=5)
"""How long a vendor must say that it does not know a job. At first it may not know it yet, and later one of its
machines may not: a single 404 is no end."""


async def poll_jobs(desk: LeasedRun, services: Services, deadline: Deadline) -> None:
    """Look at each live job once. Nothing is committed: what is lost is asked for again."""
    for job in tuple(desk.draft.jobs.values()):
        if job.status in LIVE_JOB:
            await _poll(desk, services, job, deadline)
            _stop_if_overdue(desk, services, str(job.id))


async def _poll(desk: LeasedRun, services: Services, job: Job, deadline: Deadline) -> None:
    try:
        vendor = await services.vendors.find(job.vendor_id)
        if vendor is None or job.vendor_job_id is None:
            _fail(desk, services, job, "vendor_removed", "the vendor was removed from the registry", fault=False)
            return
        within = deadline.allow(CALL_SECONDS)
        report = await services.client.status(vendor, job.vendor_job_id, within=within)
    except VendorRefused as exc:
        since = services.world.now() if job.unknown_since is None else job.unknown_since
        lost = exc.status == _NOT_FOUND and services.world.now() - since >= FORGOTTEN_AFTER
        if lost or exc.status == _GONE:
            _fail(desk, services, job, "job_forgotten", "the vendor no longer knows the job", fault=True)
        else:
            unknown = {"unknown_since": since} if exc.status == _NOT_FOUND else {}
            _note_trouble(desk, job.model_copy(update=unknown), exc)
    except (VendorError, InvalidVendor, ConfigurationError) as exc:
        _note_trouble(desk, job, exc)
    else:
        desk.draft = follow(desk.draft, job, report, services.world.now())


def _note_trouble(desk: LeasedRun, job: Job, exc: Exception) -> None:
    """No news of a job: said once, not at every look."""
    if str(exc) != job.trouble:
        desk.note("error", f"no status from {job.vendor_id}: {exc}", {"jobId": str(job.id)})
    desk.draft = put_job(desk.draft, job.model_copy(update={"trouble": str(exc)}))


def _stop_if_overdue(desk: LeasedRun, services: Services, job_id: str) -> None:
    job = desk.draft.jobs.get(job_id)
    late = overdue(job, services.world.now(), services.settings.stall_seconds) if job else None
    if job and late:
        code, why = late
        # hours that ran out while the vendor told how it went were too few, and it did not choose them
        _fail(desk, services, job, code, why, fault=code != "overtime" or job.trouble is not None)


def _fail(desk: LeasedRun, services: Services, job: Job, code: str, message: str, *, fault: bool) -> None:
    desk.draft = fail(desk.draft, job, code, message, services.world.now(), vendor_fault=fault)
