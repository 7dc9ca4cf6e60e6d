"""Vendors that could not be reached: when each is asked again, and how long a run goes on trying. Pure.

A call that did nothing (no connection, 429, 5xx, before anything was signed) is nobody's failure. The vendor
rests, longer each time, and others are rented from meanwhile. Where none is left the run waits, and fails only
after its patience.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from typing import Final

from agent.book.audit import iso, observe
from agent.book.models import Rest, Run
from vendors.text import clean

__all__ = ["LONGEST_REST", "SHORTEST_REST", "answered", "out_of_reach", "pause_after", "rest", "resting", "tried"]

SHORTEST_REST: Final = 5.0
"""Seconds before a vendor is asked again after the first failure; twice as long after each more."""

LONGEST_REST: Final = 300.0
"""Most seconds, also where the vendor asks for more."""

_MOST_TOLD: Final = 8
_MAX_WHY: Final = 200


def rest(
    run: Run,
    vendor_id: str,
    why: str,
    now: datetime,
    below: Callable[[int], int],
    retry_after: float | None = None,
) -> Run:
    """The vendor gave no answer that counts: it is asked again later. `below` as in `World`, for jitter;
    `retry_after` is what the vendor asks for, in seconds.
    """
    before = run.rests.get(vendor_id)
    times = 1 if before is None else before.times + 1
    seconds = _pause(times, retry_after, below)
    since = now if before is None else before.since + _unused(before, now)
    noted = Rest(times=times, since=since, until=now + timedelta(seconds=seconds), why=clean(why, _MAX_WHY))
    told = f"{why} (it is asked again in {seconds:.0f} s)"
    run = observe(
        run,
        now,
        "error",
        told,
        {"vendorId": vendor_id, "times": times, "since": iso(since), "askedAgainAt": iso(noted.until)},
    )
    return run.model_copy(update={"rests": {**run.rests, vendor_id: noted}})


def answered(run: Run, vendor_id: str) -> Run:
    """The vendor gave an answer: whatever it was, it can be reached."""
    if vendor_id not in run.rests:
        return run
    return run.model_copy(update={"rests": {key: each for key, each in run.rests.items() if key != vendor_id}})


def resting(run: Run, now: datetime) -> dict[str, Rest]:
    """The vendors that are not asked yet, by id."""
    return {vendor_id: each for vendor_id, each in run.rests.items() if now < each.until}


def out_of_reach(rests: Collection[Rest], now: datetime, patience: float) -> bool:
    """Whether all of these have been tried for `patience` seconds."""
    return all(now - each.since >= timedelta(seconds=patience) for each in rests)


def pause_after(times: int) -> timedelta:
    """How long a vendor rests after so many tries in a row, but for chance."""
    return timedelta(seconds=min(SHORTEST_REST * 2.0 ** min(times - 1, 10), LONGEST_REST))


def tried(run: Run, now: datetime) -> str:
    """How long the vendors that give no answer have been tried, for people; empty where all do."""
    told = [
        f"{vendor_id} {each.times} times in {(now - each.since).total_seconds() / 60:.0f} minutes ({each.why})"
        for vendor_id, each in sorted(run.rests.items())
    ]
    more = len(told) - _MOST_TOLD
    return ", ".join([*told[:_MOST_TOLD], *([f"{more} more"] if more > 0 else [])])


def _unused(before: Rest, now: datetime) -> timedelta:
    """Time in which the vendor was due and nobody tried, where ticks are rare: it counts as none of trying."""
    return max(timedelta(0), now - before.until - timedelta(seconds=LONGEST_REST))


def _pause(times: int, retry_after: float | None, below: Callable[[int], int]) -> float:
    """Seconds until the next try: doubled each time, up to half of it cut off by chance, so that many runs that
    lost one vendor at the same moment do not return at the same moment."""
    whole = pause_after(times).total_seconds()
    cut = below(round(whole * 500) + 1) / 1_000
    return min(max(whole - cut, SHORTEST_REST, retry_after or 0.0), LONGEST_REST)
