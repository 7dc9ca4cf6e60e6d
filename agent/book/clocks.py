"""Whether our clock can be right, and what to do with times that a wrong one has stored.

An authorization is valid for minutes by the clock of whoever takes it. What is signed by a clock that is far off
is not valid yet, or not any more, and the vendor that refuses it has done nothing wrong. So it is not signed.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from statistics import median
from typing import Final

from agent.book.audit import iso, observe
from agent.book.models import Job, Run

__all__ = ["FURTHEST", "ClockWatch", "mended", "untimely"]

FURTHEST: Final = timedelta(hours=25)
"""How far ahead a tick can be due, or a wait end: limits are free again the next day. What is stored further
ahead was stored by a clock that was wrong, and counts as over. A lease, too: it lasts for minutes, but whoever
asks for it may have slept, and then asks with a time that is as old."""

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

    def vendor_says(self, host: str, skew: float, now: datetime) -> None:
        """By how many seconds the clock of a vendor's host is ahead of ours."""
        _keep(self._vendors, host, skew, now)

    def chain_says(self, network: str, skew: float, now: datetime) -> None:
        """By how many seconds the time of a chain's newest block is ahead of our clock."""
        _keep(self._chains, network, skew, now)

    def wrong(self, now: datetime, network: str | None = None) -> str | None:
        """Why our clock cannot be right: most vendors say so, and at least two; or the time of the chain that is
        to be paid on (`network`; None: any). None: it may be right.
        """
        chains = {name: skew for name, skew in _fresh(self._chains, now).items() if network in (None, name)}
        for name, skew in chains.items():
            if _is_off(skew):
                return _told(skew, f"the time of {name}")
        vendors = sorted(_fresh(self._vendors, now).values())
        off, middle = sum(map(_is_off, vendors)), median(vendors) if vendors else 0.0
        if off < _SEVERAL or not _is_off(middle):
            return None
        return _told(middle, f"the clocks of {off} of {len(vendors)} vendors")


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
    """The run with times that no clock can have stored but one that was wrong read as now, and a word of it in
    its trail. A clock that is behind by less than `FURTHEST` mends nothing: what it takes for the future may be
    the past.
    """
    latest = now + FURTHEST
    jobs = {key: _mended(job, now) for key, job in run.jobs.items()}
    wait_until = None if run.wait_until is not None and run.wait_until > latest else run.wait_until
    rests = {key: each for key, each in run.rests.items() if each.until <= latest}
    if (jobs, wait_until, rests) == (run.jobs, run.wait_until, run.rests):
        return run
    after = run.model_copy(update={"jobs": jobs, "wait_until": wait_until, "rests": rests})
    told = "times of this run lay in the future: a clock was wrong; they are read as now"
    changed = [job for key, job in jobs.items() if job != run.jobs[key]]
    for job in changed:
        after = observe(after, now, "error", told, {"jobId": str(job.id), "createdAt": iso(job.created_at)})
    return after if changed else observe(after, now, "error", told)


def _mended(job: Job, now: datetime) -> Job:
    if max(job.created_at, job.progress_at) <= now + FURTHEST:
        return job
    changed = {"created_at": min(job.created_at, now), "progress_at": min(job.progress_at, now)}
    return job.model_copy(update={**changed, "news_at": None, "unknown_since": None})


def _keep(told: dict[str, tuple[float, datetime]], source: str, skew: float, now: datetime) -> None:
    told.pop(source, None)
    told[source] = skew, now
    while len(told) > _MOST_SOURCES:
        del told[next(iter(told))]


def _fresh(told: dict[str, tuple[float, datetime]], now: datetime) -> dict[str, float]:
    return {source: skew for source, (skew, at) in told.items() if abs(now - at) <= _KEPT}


def _is_off(skew: float) -> bool:
    return not -_TOLERATED_AHEAD <= skew <= _TOLERATED_BEHIND


def _told(skew: float, by: str) -> str:
    which = "behind" if skew > 0 else "ahead"
    return f"our clock is {abs(skew):.0f} s {which}, by {by}: set it right; nothing is signed until then"
