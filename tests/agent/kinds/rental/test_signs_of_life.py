"""Whatever changes in a vendor's reports is a sign of life, and only a lasting silence is an end."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import httpx
import pytest

from agent.book.jobs import follow, overdue, patience
from agent.book.ledger import put_job
from agent.book.models import Job, JobParams, Run
from agent.kinds.rental.polling import FORGOTTEN_AFTER
from tests.agent.builders import NOW, a_job, a_run
from tests.agent.stage import a_stage
from vendors.models import JobReport

STALL = 900.0
LATER = NOW + timedelta(seconds=600)
REPORT = JobReport("running", 40.0, ("epoch 1", "epoch 2"), 30.0, 500_000, None, None, None)


def told(run: Run, *reports: JobReport, now: datetime = NOW) -> tuple[Run, Job]:
    """The run and its one job after these reports."""
    for report in reports:
        run = follow(run, next(iter(run.jobs.values())), report, now)
    return run, next(iter(run.jobs.values()))


def running(**fields: object) -> Run:
    """A run with one live job."""
    run = a_run()
    return put_job(run, a_job(run, status="running", **fields))


def test_what_is_left_out_of_a_report_is_told_when_it_changes() -> None:
    """Not at every look: a vendor's odd field is odd each time."""
    odd = replace(REPORT, left_out=("artifactUrl",))
    run, _ = told(running(), odd, odd, replace(odd, left_out=("costSoFar", "logs beyond line 10000")), REPORT, odd)

    said = [each.content for each in run.outbox.observations if each.content.startswith("(left out")]
    assert said == [
        "(left out of the report: artifactUrl)",
        "(left out of the report: costSoFar, logs beyond line 10000)",
        "(left out of the report: artifactUrl)",
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"progress": 41.0},
        {"progress": 39.0},
        {"progress": None},
        {"logs": ("epoch 1", "epoch 2", "epoch 3")},
        {"logs": ("epoch 1", "epoch 2b")},
        {"logs": ("epoch 1",)},
        {"remaining_minutes": 29.0},
        {"remaining_minutes": None},
        {"cost_so_far": 500_001},
        {"metrics": {"loss": 2.0}},
    ],
    ids=str,
)
def test_any_change_is_a_sign_of_life(change: dict[str, object]) -> None:
    """A log line, a cost, a remaining time, a percentage in either direction."""
    run, _ = told(running(), REPORT)

    _, job = told(run, replace(REPORT, **change), now=LATER)  # type: ignore[arg-type]  # one field each

    assert job.progress_at == LATER
    assert overdue(job, LATER + timedelta(seconds=STALL), STALL) is None


def test_the_same_report_again_is_none() -> None:
    """However often it comes."""
    run, _ = told(running(), REPORT)

    _, job = told(run, REPORT, REPORT, now=LATER)

    assert job.progress_at == NOW
    assert overdue(job, NOW + timedelta(seconds=STALL + 1), STALL) is not None


@pytest.mark.parametrize(("hours", "seconds"), [(0.5, 900), (8, 900), (16, 1_800), (40, 4_500), (720, 81_000)])
def test_a_stall_fits_the_job(hours: float, seconds: float) -> None:
    """Whole per cents of a job of 40 hours are 24 minutes apart."""
    params = JobParams(job_type="fine_tune", gpu_type="A100", max_hours=hours, goal="g")

    assert patience(a_job(a_run(), job_params=params), STALL).total_seconds() == seconds


def test_a_log_that_begins_again_is_shown_from_its_start() -> None:
    """A restarted container writes a new log; the trail says so and has both."""
    run, _ = told(running(), REPORT, replace(REPORT, logs=("epoch 1 again",)))

    lines = [each.content for each in run.outbox.observations if each.type == "job_log"]

    assert lines == ["epoch 1", "epoch 2", "(the log begins again)", "epoch 1 again"]


def test_a_log_that_begins_again_all_the_time_does_not_fill_the_trail() -> None:
    """A log that flickers between two lines and one is shown a bounded number of times."""
    run, flicker = running(), [REPORT, replace(REPORT, logs=("epoch 1",))] * 100

    run, _ = told(run, *flicker)

    assert len(run.outbox.observations) < 100


class _UnknownAtFirst(httpx.ASGITransport):
    """Answers the first two questions about a job with 404."""

    def __init__(self, inner: httpx.ASGITransport) -> None:
        super().__init__(inner.app)
        self.answered = 2

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/job-status") and self.answered:
            self.answered -= 1
            return httpx.Response(404, json={"error": {"message": "no such job"}}, request=request)
        return await super().handle_async_request(request)


async def test_a_job_that_is_not_found_at_first_is_asked_for_again() -> None:
    """Vendors answer from several machines, and not all of them know a new job at once."""
    stage = await a_stage()
    stage.transport._inner = unknown = _UnknownAtFirst(stage.transport._inner)
    run = await stage.finish(await stage.start())

    assert unknown.answered == 0
    assert (run.status, run.budget_spent) == ("completed", 1_400_000)


async def test_a_job_that_stays_unknown_is_given_up() -> None:
    """After five minutes of the same answer, and not before."""
    stage = await a_stage("gpu_vendor_1:forget_job")
    run = await stage.start()
    await stage.tick(run)
    asked = stage.clock.now
    while not (failed := [each for each in await stage.jobs(run) if each.failure]):
        result = await stage.tick(run)
        assert result.run.next_tick_at is not None
        stage.clock.now = max(stage.clock.now, result.run.next_tick_at)

    assert failed[0].failure is not None
    assert failed[0].failure.code == "job_forgotten"
    assert failed[0].completed_at is not None
    assert failed[0].completed_at - asked >= FORGOTTEN_AFTER
