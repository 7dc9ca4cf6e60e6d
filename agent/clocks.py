"""Whether our clock can be right, and what to do with times that a wrong one has stored.

An authorization is valid for minutes by the clock of whoever takes it. What is signed by a clock that is far off
is not valid yet, or not any more, and the vendor that refuses it has done nothing wrong. So it is not signed.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from agent.audit import observe
from agent.models import Job, Run

__all__ = ["FURTHEST", "NEAR", "ClockWatch", "mended", "untimely"]

FURTHEST: Final = timedelta(hours=25)
"""How far ahead a tick can be due, or a wait end: limits are free again the next day. What is stored further
ahead was stored by a clock that was wrong, and counts as over. A lease, too: it lasts for minutes, but whoever
asks for it may have slept, and then asks with a time that is as old."""

NEAR: Final = timedelta(minutes=15)
"""How far two right clocks may differ, and the times of a job lie ahead, at the most."""

_KEPT: Final = timedelta(minutes=10)
_MOST_SOURCES: Final = 200
_TOLERATED_BEHIND: Final = 240.0
_TOLERATED_AHEAD: Final = 570.0
_SEVERAL: Final = 2
_LEFT: Final = 6
"""Seconds that verifiers want to be left when an authorization arrives."""


class ClockWatch:
    """What others said of the time in the last minutes. One for a process."""

    def __init__(self) -> None:
        """Nobody has said anything."""
        self._vendors: dict[str, tuple[float, datetime]] = {}
        self._chains: dict[str, tuple[float, datetime]] = {}

    def vendor_says(self, vendor_id: str, skew: float, now: datetime) -> None:
        """By how many seconds the clock of a vendor is ahead of ours."""
        _keep(self._vendors, vendor_id, skew, now)

    def chain_says(self, network: str, skew: float, now: datetime) -> None:
        """By how many seconds the time of a chain's newest block is ahead of our clock."""
        _keep(self._chains, network, skew, now)

    def wrong(self, now: datetime) -> str | None:
        """Why our clock cannot be right: several vendors say so, or the time of a chain. None: it may be."""
        vendors, chains = _off(self._vendors, now), _off(self._chains, now)
        if len(vendors) < _SEVERAL and not chains:
            return None
        skew = sorted([*vendors.values(), *chains.values()])[(len(vendors) + len(chains)) // 2]
        which = "behind" if skew > 0 else "ahead"
        said_by = ", ".join(sorted([*chains, *vendors])[: _SEVERAL + 1])
        return f"our clock is {abs(skew):.0f} s {which}, by {said_by}: set it right; nothing is signed until then"


def untimely(skew: float, now: int, valid_after: int, valid_before: int) -> str | None:
    """Why an authorization of this window would not be valid for one whose clock is `skew` seconds ahead of ours.

    Times in unix seconds. None: it would be.
    """
    theirs = now + skew
    if theirs <= valid_after:
        return f"our clock is {-skew:.0f} s ahead of theirs: what is signed now is not valid yet there"
    if theirs >= valid_before - _LEFT:
        return f"our clock is {skew:.0f} s behind theirs: what is signed now is not valid any more there"
    return None


def mended(run: Run, now: datetime) -> Run:
    """The run with times that no right clock can have stored read as now, and a word of it in its trail."""
    jobs = {key: _mended(job, now) for key, job in run.jobs.items()}
    wait_until = None if run.wait_until is not None and run.wait_until > now + FURTHEST else run.wait_until
    rests = {key: each for key, each in run.rests.items() if each.until <= now + NEAR}
    if (jobs, wait_until, rests) == (run.jobs, run.wait_until, run.rests):
        return run
    after = run.model_copy(update={"jobs": jobs, "wait_until": wait_until, "rests": rests})
    return observe(
        after, now, "error", "times of this run lay in the future: a clock was wrong; they are read as now"
    )


def _mended(job: Job, now: datetime) -> Job:
    latest = now + NEAR
    if job.created_at <= latest and job.progress_at <= latest:
        return job
    changed = {"created_at": min(job.created_at, now), "progress_at": min(job.progress_at, now)}
    return job.model_copy(update={**changed, "news_at": None, "unknown_since": None})


def _keep(told: dict[str, tuple[float, datetime]], source: str, skew: float, now: datetime) -> None:
    told.pop(source, None)
    told[source] = skew, now
    while len(told) > _MOST_SOURCES:
        del told[next(iter(told))]


def _off(told: dict[str, tuple[float, datetime]], now: datetime) -> dict[str, float]:
    return {
        source: skew
        for source, (skew, at) in told.items()
        if abs(now - at) <= _KEPT and not -_TOLERATED_AHEAD <= skew <= _TOLERATED_BEHIND
    }
