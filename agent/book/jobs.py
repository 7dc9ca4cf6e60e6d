"""What becomes of a job: pure decisions over what its vendor reports."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime, timedelta
from typing import Final

from agent.book.audit import iso, observe
from agent.book.ledger import put_job
from agent.book.lifecycle import JOB, LIVE_JOB, move
from agent.book.models import Ending, Failure, Job, Json, Outcome, Run
from agent.book.money import usd_text
from vendors.models import JobReport
from vendors.text import clean

__all__ = [
    "LOG_LINES_PER_TICK",
    "MAX_MESSAGE",
    "NOBODYS_FAULT",
    "drawn",
    "fail",
    "follow",
    "look_again",
    "overdue",
    "patience",
]

LOG_LINES_PER_TICK: Final = 100
"""Vendor log lines taken over in one tick; the rest comes with the next."""

MAX_MESSAGE: Final = 1_000
"""Characters of why a job failed: a vendor's refusal of many offers has a reason for each."""

_FAR: Final = 60.0
_JUST_AFTER: Final = timedelta(milliseconds=1)

NOBODYS_FAULT: Final = frozenset(
    {
        "abandoned",
        "clock_wrong",
        "insufficient_funds",
        "key_revoked",
        "limit_reached",
        "order_lapsed",
        "payment_not_possible",
        "run_ended",
        "store_restored",
        "vendor_barred",
        "vendor_changed",
        "vendor_unavailable",
        "vendor_removed",
        "wallet_unfit",
    }
)
"""Codes of failures that say nothing about the vendor: a planner may go to it again."""


def fail(run: Run, job: Job, code: str, message: str, now: datetime, *, vendor_fault: bool) -> Run:
    """The run with this job failed. `vendor_fault` says whether the vendor's record should show it."""
    message = clean(message, MAX_MESSAGE)
    failed = job.model_copy(
        update={
            "status": move(JOB, job.status, "fail"),
            "failure": Failure(code=code, message=message),
            "completed_at": now,
        }
    )
    after = put_job(run, failed)
    if vendor_fault:
        after = _learn(after, failed, now, completed=False)
    about: dict[str, Json] = {"jobId": str(job.id), "vendorId": job.vendor_id, "code": code}
    after = observe(after, now, "error", message, about)
    if str(job.id) not in run.jobs:  # it was never ordered: the trail has not told of it yet
        about = {**about, **drawn(job)}
    return observe(after, now, "job_failed", f"Job at {job.vendor_id} failed: {message}", about)


HOURS_OF_A_STALL: Final = 8.0
"""STALL_SECONDS is for jobs of up to so many hours; longer ones get as much more as they are longer."""

MAX_LOG_RESTARTS: Final = 20
"""Times that a job's log may begin again and be shown from its start."""

LONGEST_LOOK: Final = 120.0
"""Seconds between two looks at a job that has gone on for long; longer only where POLL_SECONDS is."""

SLOWER: Final = 8
"""Times POLL_SECONDS that the pause between two looks grows to at the most."""

SHARE_OF_AGE: Final = 0.1
"""A job is looked at again after so much of the time that it has taken so far."""


def look_again(job: Job, now: datetime, poll: float, stall: float) -> datetime:
    """When a live job is worth the next look: after `poll` seconds at first, more rarely as it goes on, sooner
    when it has news by its vendor's word, and no later than its allowance ends (`overdue`).
    """
    longest = max(poll, min(poll * SLOWER, LONGEST_LOOK))
    seconds = min(max(poll, (now - job.created_at).total_seconds() * SHARE_OF_AGE), longest)
    if job.news_at is not None:
        seconds = min(seconds, max(poll, (job.news_at - now).total_seconds()))
    again = now + timedelta(seconds=seconds)
    ends = [job.created_at + timedelta(hours=job.job_params.max_hours, seconds=stall)]
    if job.trouble is None:
        ends.append(job.progress_at + patience(job, stall))
    return min([again, *(end + _JUST_AFTER for end in ends if end >= now)])


def follow(run: Run, job: Job, report: JobReport, now: datetime) -> Run:
    """The run after what the vendor said: new log lines once, progress, and the end if there is one.

    A completed job ends the run; a failed one leaves it to the planner.
    """
    run, job = _take_logs(run, _alive(job, report, now), report, now)
    run, job = _tell_what_is_missing(run, job, report, now)
    job = job.model_copy(update={"news_at": _news(job, report, now)})
    if report.status == "failed":
        why = report.error_message or "the vendor gave no reason"
        return fail(run, job, "vendor_failed", why, now, vendor_fault=True)
    if report.status == "completed":
        return _complete(run, job, report, now)
    if report.status == "running" and job.status == "submitted":
        job = job.model_copy(update={"status": move(JOB, job.status, "start")})
    return put_job(run, job)


def overdue(job: Job, now: datetime, stall_seconds: float) -> tuple[str, str] | None:
    """Code and message if a live job has used up its allowance: no sign of life, or the time paid for is over.

    While the vendor cannot be asked (`trouble`) nobody knows of progress: then only the time paid for counts.
    """
    if job.status not in LIVE_JOB:
        return None
    silent = patience(job, stall_seconds)
    if job.trouble is None and now - job.progress_at > silent:
        return "stalled", f"no progress for more than {silent.total_seconds():g} s, still at {job.progress:g} %"
    allowed = timedelta(hours=job.job_params.max_hours, seconds=stall_seconds)
    if now - job.created_at > allowed:
        return "overtime", f"not finished {stall_seconds:g} s after the {job.job_params.max_hours:g} h paid for"
    return None


def patience(job: Job, stall_seconds: float) -> timedelta:
    """How long a job may show no sign of life: `stall_seconds`, and more for one of more than eight hours.

    One of 40 hours that reports whole per cents says nothing new for 24 minutes.
    """
    return timedelta(seconds=stall_seconds * max(1.0, job.job_params.max_hours / HOURS_OF_A_STALL))


def _alive(job: Job, report: JobReport, now: datetime) -> Job:
    """The job after a report: whatever changed in it, in either direction, is a sign of life."""
    told: list[object] = [
        report.status,
        report.progress,
        len(report.logs),
        report.logs[-1:],
        report.remaining_minutes,
        report.cost_so_far,
        report.metrics,
    ]
    signs = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]
    if signs == job.signs:
        return job
    progress = job.progress if report.progress is None else report.progress
    at = max(job.progress_at, now)  # a clock that was behind for a tick makes no sign of life older
    return job.model_copy(update={"progress": progress, "signs": signs, "progress_at": at})


def _news(job: Job, report: JobReport, now: datetime) -> datetime | None:
    if job.logs_seen < len(report.logs):
        return now
    left = report.remaining_minutes
    # beyond an hour it makes no difference, and what a vendor says may be out of all bounds
    return None if left is None or not 0 <= left <= _FAR else now + timedelta(minutes=left)


def _take_logs(run: Run, job: Job, report: JobReport, now: datetime) -> tuple[Run, Job]:
    about: dict[str, Json] = {"jobId": str(job.id), "vendorId": job.vendor_id}
    seen = job.logs_seen
    if len(report.logs) < seen and report.logs and job.logs_restarted < MAX_LOG_RESTARTS:
        run = observe(run, now, "job_log", "(the log begins again)", about)
        job, seen = job.model_copy(update={"logs_restarted": job.logs_restarted + 1}), 0
    fresh = report.logs[seen : seen + LOG_LINES_PER_TICK]
    for line in fresh:
        run = observe(run, now, "job_log", line, about)
    seen += len(fresh)
    if report.status in ("completed", "failed") and seen < len(report.logs):
        run = observe(
            run,
            now,
            "job_log",
            f"({len(report.logs) - seen} more lines were not kept)",
            about,
        )
    return run, job.model_copy(update={"logs_seen": seen, "trouble": None, "unknown_since": None})


def _tell_what_is_missing(run: Run, job: Job, report: JobReport, now: datetime) -> tuple[Run, Job]:
    """What of the vendor's report is not kept: said when it changes, not at every look."""
    if report.left_out and report.left_out != job.left_out:
        about: dict[str, Json] = {"jobId": str(job.id), "vendorId": job.vendor_id, "leftOut": [*report.left_out]}
        run = observe(run, now, "job_log", f"(left out of the report: {', '.join(report.left_out)})", about)
    return run, job.model_copy(update={"left_out": report.left_out})


def _complete(run: Run, job: Job, report: JobReport, now: datetime) -> Run:
    done = job.model_copy(
        update={
            "status": move(JOB, job.status, "complete"),
            "progress": 100.0,
            "artifact_url": report.artifact_url,
            "final_metrics": report.metrics,
            "completed_at": now,
        }
    )
    run = _learn(put_job(run, done), done, now, completed=True)
    for name, value in (report.metrics or {}).items():
        about: dict[str, Json] = {"jobId": str(job.id), "vendorId": job.vendor_id, "name": name, "value": value}
        run = observe(run, now, "metric", f"{name} = {value}", about)
    run = observe(
        run,
        now,
        "job_completed",
        f"Job at {job.vendor_id} completed",
        {
            "jobId": str(job.id),
            "vendorId": job.vendor_id,
            "artifactUrl": report.artifact_url,
            "finalMetrics": {**report.metrics} if report.metrics else None,
        },
    )
    reached = Ending(status="completed", code="goal_reached", message=f"{job.vendor_id} finished the job")
    return run.model_copy(update={"ending": run.ending or reached})


def _learn(run: Run, job: Job, now: datetime, *, completed: bool) -> Run:
    outcome = Outcome(
        vendor_id=job.vendor_id, user_id=run.user_id, run_id=run.id, job_id=job.id, completed=completed, at=now
    )
    outbox = run.outbox.model_copy(update={"outcomes": (*run.outbox.outcomes, outcome)})
    return run.model_copy(update={"outbox": outbox})


def drawn(job: Job) -> dict[str, Json]:
    """What the trail says of a job when it first tells of it: what never changes. The goal is the run's."""
    params = job.job_params
    return {
        "expectedCostUsd": usd_text(job.expected_cost),
        "jobParams": {"jobType": params.job_type, "gpuType": params.gpu_type, "maxHours": params.max_hours},
        "createdAt": iso(job.created_at),
    }
