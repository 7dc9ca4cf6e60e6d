"""Counting purchases against limits that span runs: the store decides, whoever else is buying.

    reserve (the run names the sums) -> take from each -> sign -> ... -> close (the outbox carries it)

Each step may be repeated and the process may die between any two. What is taken for a job is given back when its
reservation closes, whatever became of it; the day is that of the reservation. A worker that slept through its
lease may take for a purchase that is over by then: such an entry belongs to no reservation any more, counts too
much and never too little, and is swept away when a limit is short.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Final

from bson import ObjectId

from agent.book.errors import KeyRevoked, LimitReached, RunNotFound, RunUnreadable
from agent.book.limits import Limits, Scope, Shortage, barred, free_at, in_words, room, scopes, shortages
from agent.book.models import Closing, Reservation, Run
from agent.book.money import usd_text
from agent.engine.leased import LeasedRun
from agent.engine.services import Services
from vendors.models import Vendor

__all__ = ["Standing", "limits_of", "scopes_of", "short", "survey", "take", "uncounted"]

_log = logging.getLogger(__name__)

KEY_SECONDS: Final = 5.0
"""How long a tick goes by what it has read of the run's key."""

MAX_SWEPT: Final = 50
"""Open entries of one sum that are looked into at once: a tick is bounded."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What limits say of a vendor now: why it is not dealt with at all, or how much one job there may cost
    (micro-dollars; None: no limit), and how much by those limits alone that the run's user may know."""

    barred: str | None
    room: int | None
    known_room: int | None = None


async def limits_of(desk: LeasedRun, services: Services) -> Limits:
    """What bounds the purchases of this run: the settings and, where it was started with a key, that key as it is.

    An expired key bounds what its runs spend as before; only to revoke it stops them.

    Raises:
        KeyRevoked: nothing more may be bought for the run.
        StoreUnavailable
    """
    limits, key_id = services.settings.limits, desk.draft.key_id
    if key_id is None:
        return limits
    while desk.key_read_at is None or services.world.monotonic() - desk.key_read_at > KEY_SECONDS:
        asked_at = services.world.monotonic()
        desk.key, desk.key_read_at = await services.keys.find(key_id), asked_at
    if desk.key is None or desk.key.revoked_at is not None:
        raise KeyRevoked(key_id)
    return replace(limits, key=desk.key.limits)


def scopes_of(services: Services, limits: Limits, vendor_id: str, reserved_at: datetime) -> tuple[Scope, ...]:
    """The sums in which a purchase of our wallet at this vendor counts."""
    return scopes(limits, services.wallet.address, vendor_id, reserved_at)


async def survey(services: Services, limits: Limits, vendors: Sequence[Vendor]) -> dict[str, Standing]:
    """How these vendors stand, by id. Without limits over many runs nothing is read.

    Raises:
        StoreUnavailable
    """
    now = services.world.now()
    wanted = {each.vendor_id: scopes_of(services, limits, each.vendor_id, now) for each in vendors}
    keys = sorted({scope.key for found in wanted.values() for scope in found})
    taken = await services.allowances.read(keys)
    return {
        each.vendor_id: Standing(
            barred(limits, each),
            room(limits, wanted[each.vendor_id], taken),
            room(limits, [scope for scope in wanted[each.vendor_id] if not scope.shared], taken),
        )
        for each in vendors
    }


async def short(services: Services, limits: Limits, vendor_id: str, amount: int) -> list[Shortage]:
    """Which limits leave less than `amount` for this vendor now, once what was left behind is swept away."""
    wanted = scopes_of(services, limits, vendor_id, services.world.now())
    keys = [scope.key for scope in wanted]
    found = shortages(limits, wanted, await services.allowances.read(keys), amount)
    for scope in wanted:
        if any(each.name == scope.name for each in found):
            await _sweep(services, scope.key)
    if found:
        found = shortages(limits, wanted, await services.allowances.read(keys), amount)
        _tell_operator(found)
    return found


async def take(services: Services, run: Run, job_id: str, wanted: Sequence[Scope]) -> None:
    """Count the job's reservation in all these sums, which the stored run names already.

    Raises:
        LimitReached: one of them leaves too little. What was taken from the others goes back with the reservation.
        StoreUnavailable: it may or may not be counted; asking again counts it once.
    """
    amount = run.reservations[job_id].amount
    for scope in wanted:
        taking = partial(services.allowances.take, scope.key, scope.limit, job_id, run.id, amount)
        if await taking() or (await _sweep(services, scope.key) and await taking()):
            continue
        taken = await services.allowances.read([scope.key])
        found = shortages(services.settings.limits, [scope], taken, amount)
        _tell_operator(found)
        again = free_at(found, services.world.now())
        raise LimitReached(in_words(found, again) if found else f"{scope.name} left too little when it was asked")


def _tell_operator(found: Sequence[Shortage]) -> None:
    """The log has what users are not told: how far a limit is used up."""
    for each in found:
        limit, left, asked = map(usd_text, (each.limit, each.left, each.asked))
        _log.info("%s is reached", each.name, extra={"limitUsd": limit, "leftUsd": left, "askedUsd": asked})


async def _sweep(services: Services, key: str) -> bool:
    """Give back what is counted for purchases that are over; whether there was any."""
    taken = (await services.allowances.read([key])).get(key)
    swept = False
    for job_id, entry in islice(taken.open.items() if taken else (), MAX_SWEPT):
        try:
            run = await services.runs.get(entry.run_id)
        except (RunNotFound, RunUnreadable):  # nobody knows whether it is over: it counts on
            continue
        if job_id in run.reservations or any(str(each.job_id) == job_id for each in run.outbox.closings):
            continue
        await services.allowances.close(
            Closing(job_id=ObjectId(job_id), scopes=(key,), amount=entry.amount, spent=0)
        )
        swept = True
    return swept


def uncounted(reservation: Reservation, wanted: Sequence[Scope]) -> tuple[str, ...]:
    """All sums that the reservation must name, if it does not name them all yet; else nothing."""
    keys = tuple(dict.fromkeys((*reservation.scopes, *(scope.key for scope in wanted))))
    return () if keys == reservation.scopes else keys
