"""The one seam through which time, ids and randomness enter, so that a test can replay a run exactly."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from bson import ObjectId

from agent.book.clocks import ClockWatch

__all__ = ["World", "real_world"]


@dataclass(frozen=True, slots=True)
class World:
    """What the core takes from outside.

    `now` gives UTC with whole milliseconds (BSON keeps no more, so what is hashed is what is stored),
    `monotonic` seconds for deadlines, `new_id` document ids, `new_token` the owner name of a lease, `below` any
    whole number from 0 to below the one it is given, `random` as many bytes as asked for, which
    nobody can guess; `wall` is the machine's clock in unix seconds, which others' clocks are held against, and
    `clocks` has what they said.
    """

    now: Callable[[], datetime]
    monotonic: Callable[[], float]
    new_id: Callable[[], ObjectId]
    new_token: Callable[[], str]
    below: Callable[[int], int]
    random: Callable[[int], bytes] = secrets.token_bytes
    wall: Callable[[], float] = time.time
    clocks: ClockWatch = field(default_factory=ClockWatch)


def _now() -> datetime:
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


def real_world() -> World:
    """The machine's clock and its random numbers."""
    return World(
        now=_now,
        monotonic=time.monotonic,
        new_id=ObjectId,
        new_token=lambda: secrets.token_hex(8),
        below=secrets.randbelow,
    )
