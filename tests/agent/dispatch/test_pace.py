"""How often a job is looked at: often at first, more rarely as it goes on, and never too late."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.book.jobs import LOG_LINES_PER_TICK, follow, look_again, overdue
from agent.book.ledger import put_job
from agent.book.models import Job
from tests.agent.builders import NOW, a_job, a_run
from vendors.models import JobReport

STALL = 900.0


def job(age: float, **fields: object) -> Job:
    """A live job that was drawn up so many seconds ago and has just made progress."""
    return a_job(a_run(), status="running", created_at=NOW - timedelta(seconds=age), **fields)


def rests(job: Job, poll: float = 15.0, stall: float = STALL, now: datetime = NOW) -> float:
    return (look_again(job, now, poll, stall) - now).total_seconds()


@pytest.mark.parametrize(
    ("age", "seconds"), [(0, 15), (150, 15), (300, 30), (600, 60), (1_200, 120), (3_000, 120)]
)
def test_the_longer_a_job_goes_on_the_more_rarely_it_is_looked_at(age: float, seconds: float) -> None:
    """A tenth of what it has taken; POLL_SECONDS at least, eight times that and two minutes at most."""
    assert rests(job(age)) == seconds


def test_who_polls_quickly_still_does_and_who_polls_slowly_is_not_hurried() -> None:
    """The bounds are POLL_SECONDS' own."""
    assert rests(job(3_000), poll=0.2) == pytest.approx(1.6)
    assert rests(job(0), poll=600) == 600


def test_a_vendor_that_is_nearly_done_is_asked_when_it_says() -> None:
    """No sooner than POLL_SECONDS, and its word makes nobody wait longer."""
    assert rests(job(1_200, news_at=NOW + timedelta(seconds=40))) == 40
    assert rests(job(1_200, news_at=NOW + timedelta(seconds=1))) == 15
    assert rests(job(1_200, news_at=NOW - timedelta(hours=1))) == 15
    assert rests(job(1_200, news_at=NOW + timedelta(hours=1))) == 120


def test_a_stall_and_the_end_of_the_paid_hours_are_seen_when_they_come() -> None:
    """The look is just after the allowance, when `overdue` says so."""
    stalling = job(3_000, progress_at=NOW - timedelta(seconds=STALL - 20))
    seen = look_again(stalling, NOW, 15, STALL)
    assert (seen - NOW).total_seconds() == pytest.approx(20, abs=0.01)
    assert overdue(stalling, seen, STALL) is not None
    assert overdue(stalling, seen - timedelta(milliseconds=1), STALL) is None

    unheard = job(3_600 + STALL - 20, trouble="away", progress_at=NOW - timedelta(hours=1))
    seen = look_again(unheard, NOW, 15, STALL)
    assert (seen - NOW).total_seconds() == pytest.approx(20, abs=0.01)
    assert overdue(unheard, seen, STALL) is not None


@given(
    age=st.floats(0, 1e6), quiet=st.floats(0, 1e4), poll=st.floats(0.01, 3_600), stall=st.floats(1, 86_400),
    news=st.none() | st.floats(-1e6, 1e6), trouble=st.none() | st.just("away"),
)  # fmt: skip
def test_a_job_is_always_looked_at_again_and_soon_enough(
    age: float, quiet: float, poll: float, stall: float, news: float | None, trouble: str | None
) -> None:
    """Later than now; within eight pauses, two minutes or one pause; and never beyond its allowance."""
    news_at = None if news is None else NOW + timedelta(seconds=news)
    live = job(age, progress_at=NOW - timedelta(seconds=quiet), news_at=news_at, trouble=trouble)

    again = look_again(live, NOW, poll, stall)

    assert again > NOW
    assert (again - NOW).total_seconds() <= max(poll, min(8 * poll, 120)) + 0.001
    if overdue(live, NOW, stall) is None:
        assert overdue(live, again - timedelta(milliseconds=2), stall) is None or again - NOW < timedelta(
            seconds=1
        )


def report(**fields: object) -> JobReport:
    bare = JobReport("running", 10.0, (), None, None, None, None, None)
    return replace(bare, **fields)  # type: ignore[arg-type]  # fields of all kinds


@pytest.mark.parametrize(
    ("minutes", "seconds"), [(None, None), (2.0, 120), (0.0, 0), (-1.0, None), (1e300, None), (float("nan"), None)]
)
def test_what_a_vendor_says_of_the_time_left_is_kept_if_it_can_be(
    minutes: float | None, seconds: float | None
) -> None:
    """It is a vendor's word: out of all bounds it is no word at all."""
    live = job(60)
    after = follow(put_job(a_run(), live), live, report(remaining_minutes=minutes), NOW).jobs[str(live.id)]

    assert after.news_at == (None if seconds is None else NOW + timedelta(seconds=seconds))


def test_log_lines_that_had_no_room_are_fetched_soon() -> None:
    """Else a vendor that says much would run ahead of a job that is seldom looked at."""
    live = job(3_000)
    lines = tuple(f"line {number}" for number in range(LOG_LINES_PER_TICK + 1))
    after = follow(put_job(a_run(), live), live, report(logs=lines), NOW).jobs[str(live.id)]

    assert rests(after) == 15
