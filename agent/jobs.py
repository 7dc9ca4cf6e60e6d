"""What becomes of a job: pure decisions over what its vendor reports."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from agent.audit import observe
from agent.ledger import put_job
from agent.lifecycle import JOB, LIVE_JOB, move
from agent.models import Ending, Failure, Job, Outcome, Run
from vendors.models import JobReport
from vendors.text import clean

__all__ = ["LOG_LINES_PER_TICK", "MAX_MESSAGE", "NOBODYS_FAULT", "fail", "follow", "look_again", "overdue"]

LOG_LINES_PER_TICK: Final = 100
"""Vendor log lines taken over in one tick; the rest comes with the next."""

MAX_MESSAGE: Final = 1_000
"""Characters of why a job failed: a vendor's refusal of many offers has a reason for each."""

_FAR: Final = 60.0
_JUST_AFTER: Final = timedelta(milliseconds=1)

NOBODYS_FAULT: Final = frozenset({"abandoned", "key_revoked", "limit_reached", "order_lapsed", "run_ended"})
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
    return observe(
        after,
        now,
        "job_failed",
        f"Job at {job.vendor_id} failed: {message}",
        {"jobId": str(job.id), "vendorId": job.vendor_id, "code": code},
    )


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
        ends.append(job.progress_at + timedelta(seconds=stall))
    return min([again, *(end + _JUST_AFTER for end in ends if end >= now)])


def follow(run: Run, job: Job, report: JobReport, now: datetime) -> Run:
    """The run after what the vendor said: new log lines once, progress, and the end if there is one.

    A completed job ends the run; a failed one leaves it to the planner.
    """
    run, job = _take_logs(run, job, report, now)
    job = job.model_copy(update={"news_at": _news(job, report, now)})
    if report.progress is not None and report.progress > job.progress:
        job = job.model_copy(update={"progress": report.progress, "progress_at": now})
    if report.status == "failed":
        why = report.error_message or "the vendor gave no reason"
        return fail(run, job, "vendor_failed", why, now, vendor_fault=True)
    if report.status == "completed":
        return _complete(run, job, report, now)
    if report.status == "running" and job.status == "submitted":
        job = job.model_copy(update={"status": move(JOB, job.status, "start"), "progress_at": now})
    return put_job(run, job)


def overdue(job: Job, now: datetime, stall_seconds: float) -> tuple[str, str] | None:
    """Code and message if a live job has used up its allowance: no progress, or the time paid for is over.

    While the vendor cannot be asked (`trouble`) nobody knows of progress: then only the time paid for counts.
    """
    if job.status not in LIVE_JOB:
        return None
    if job.trouble is None and now - job.progress_at > timedelta(seconds=stall_seconds):
        return "stalled", f"no progress for more than {stall_seconds:g} s, still at {job.progress:g} %"
    allowed = timedelta(hours=job.job_params.max_hours, seconds=stall_seconds)
    if now - job.created_at > allowed:
        return "overtime", f"not finished {stall_seconds:g} s after the {job.job_params.max_hours:g} h paid for"
    return None


def _news(job: Job, report: JobReport, now: datetime) -> datetime | None:
    if job.logs_seen < len(report.logs):
        return now
    left = report.remaining_minutes
    # beyond an hour it makes no difference, and what a vendor says may be out of all bounds
    return None if left is None or not 0 <= left <= _FAR else now + timedelta(minutes=left)


def _take_logs(run: Run, job: Job, report: JobReport, now: datetime) -> tuple[Run, Job]:
    fresh = report.logs[job.logs_seen : job.logs_seen + LOG_LINES_PER_TICK]
    for line in fresh:
        run = observe(run, now, "job_log", line, {"jobId": str(job.id), "vendorId": job.vendor_id})
    seen = job.logs_seen + len(fresh)
    if report.status in ("completed", "failed") and seen < len(report.logs):
        run = observe(
            run,
            now,
            "job_log",
            f"({len(report.logs) - seen} more lines were not kept)",
            {"jobId": str(job.id), "vendorId": job.vendor_id},
        )
    return run, job.model_copy(update={"logs_seen": seen, "trouble": None})


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
    outcome = Outcome(vendor_id=job.vendor_id, run_id=run.id, job_id=job.id, completed=completed, at=now)
    outbox = run.outbox.model_copy(update={"outcomes": (*run.outbox.outcomes, outcome)})
    return run.model_copy(update={"outbox": outbox})
