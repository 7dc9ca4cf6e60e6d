"""Whose turn it is: a page of due runs that holds something of every user who has any, however many another has.

The database gives runs by how long they wait. Where they fill the page, it is asked again without their users; and
the page is dealt out in turns: each user's first run, each user's second, and so on.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import zip_longest
from typing import Final, Protocol

from bson import ObjectId

from agent.book.errors import StoreUnavailable
from agent.store.due import Due

__all__ = ["QUERIES", "USERS", "Page", "Queue", "fair_page", "in_turn"]

QUERIES: Final = 4
"""Times that the database is asked for one page."""

USERS: Final = 500
"""Users who are told apart; with more of them due at once, turns are fair among as many at a time."""

_log = logging.getLogger(__name__)


class Queue(Protocol):
    """Where due runs come from: `agent.store.due.DueStore`."""

    async def page(self, now: datetime, limit: int, without: Sequence[str] = ()) -> list[Due]: ...


@dataclass(frozen=True, slots=True)
class Page:
    """Due runs in turn. `more`: the database has others. `seen`: users whose turn it was, who are left out of the
    next page, because there are so many runs of theirs that others could not be found yet; else empty."""

    entries: list[Due]
    more: bool = False
    seen: frozenset[str] = frozenset()


async def fair_page(
    queue: Queue, now: datetime, size: int, below: Callable[[int], int], seen: frozenset[str] = frozenset()
) -> Page:
    """The next `size` due runs, in turn. `seen` is what the page before said; `below` as in `World`.

    Raises:
        StoreUnavailable: the database is away.
    """
    found: dict[ObjectId, Due] = {}
    met, full = set(seen), False
    for _ in range(QUERIES):
        batch = await _ask(queue, now, size, met, needed=not found)
        found |= {each.run_id: each for each in batch}
        met |= {each.user_id for each in batch}
        full = len(batch) >= size
        if not full or len(met) > USERS:
            break
    if not found and seen:
        return await fair_page(queue, now, size, below)
    dealt = in_turn(found.values(), below)
    entries = dealt[:size]
    had = seen | {each.user_id for each in entries}
    unfinished = (full or len(had) < len(met)) and len(had) <= USERS
    return Page(entries, full or len(dealt) >= size or bool(seen), had if unfinished else frozenset())


def in_turn(found: Iterable[Due], below: Callable[[int], int]) -> list[Due]:
    """Each user's first run, then each user's second, and so on; a user's own by how long they wait.

    Many who deal out the same page at once begin at different places of it: `below` picks where a user's runs
    begin, and with whom each turn begins.
    """
    hands: dict[str, deque[Due]] = {}
    for each in sorted(found, key=_waiting):
        hands.setdefault(each.user_id, deque()).append(each)
    for hand in hands.values():
        hand.rotate(-below(len(hand)))
    dealt: list[Due] = []
    for turn in zip_longest(*hands.values()):
        row = [each for each in turn if each is not None]
        first = below(len(row))
        dealt += row[first:] + row[:first]
    return dealt


async def _ask(queue: Queue, now: datetime, size: int, met: set[str], *, needed: bool) -> list[Due]:
    """What is due of users who were not met. It may take long where one user has a million: then without it."""
    try:
        return await queue.page(now, size, sorted(met))
    except StoreUnavailable:
        if needed:
            raise
        _log.warning("runs of other users could not be looked for: this page has only those found first")
        return []


def _waiting(due: Due) -> tuple[bool, float, ObjectId]:
    return due.at is not None, due.at.timestamp() if due.at else 0, due.run_id
