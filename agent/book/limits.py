"""What whoever runs this allows to be spent, beyond the budget of each run. Pure decisions, no I/O.

Two kinds of rule. What a payment may look like (host, payee, asset, size) is known from the offer alone. What may
be spent over a day or a wallet's life is a sum over many runs, so only the store can decide it: a `Scope` names
such a sum and its limit, and `agent.engine.spending` takes from it. Amounts are micro-dollars, days are UTC.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Final, Literal

from bson import ObjectId
from pydantic import Field

from agent.book.models import Document, Json
from agent.book.money import usd_text
from net.hosts import among
from vendors.models import Vendor

__all__ = [
    "LOOK_AGAIN",
    "POLICY_VERSION",
    "Allowance",
    "FirstSeen",
    "KeyLimits",
    "Limits",
    "Scope",
    "Shortage",
    "Taken",
    "allowed",
    "barred",
    "exhausted",
    "free_at",
    "in_words",
    "next_day",
    "off_limits",
    "planning_scopes",
    "room",
    "scopes",
    "shortages",
    "wallet_sums",
]

FirstSeen = Literal["pin", "refuse"]
"""What is done with a vendor that has no payee yet: trust the first one it names, or never pay it."""

POLICY_VERSION: Final = "4"
"""Recorded with each authorization. A change to what is checked before one is signed raises it."""

LOOK_AGAIN: Final = timedelta(minutes=15)
"""Until what others have set aside is spent or free again: an authorization lives no longer."""


@dataclass(frozen=True, slots=True)
class KeyLimits:
    """What may be spent with one API key, over a UTC day and over its life; None is no limit. `shared`: it starts
    runs for several users."""

    key_id: str
    per_day: int | None = None
    total: int | None = None
    shared: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """All limits and lists; None is no limit. `assets` and `payees` are addresses in lower case, `hosts` are
    `name` or `name:port` in lower case. `key` is that of the run, where it was started with one."""

    per_payment: int | None = None
    per_vendor_per_day: int | None = None
    per_day: int | None = None
    per_wallet: int | None = None
    assets: frozenset[str] | None = None
    payees: frozenset[str] | None = None
    hosts: frozenset[str] | None = None
    first_seen: FirstSeen = "pin"
    key: KeyLimits | None = None

    @property
    def over_time(self) -> bool:
        """Whether any of the operator's limits holds over many runs: it needs a store that remembers."""
        return any(each is not None for each in (self.per_vendor_per_day, self.per_day, self.per_wallet))


class Taken(Document):
    """What one purchase that is not over counts for in a sum, and whose it is."""

    amount: int
    run_id: ObjectId


class Allowance(Document):
    """A sum over many runs. `committed` has what was spent and what is `open`, by job."""

    key: str = Field(alias="_id")
    committed: int = 0
    open: dict[str, Taken] = Field(default_factory=dict)


_OF_PLANNING: Final = frozenset({"KEY_MAX_PER_DAY", "KEY_MAX_TOTAL", "MAX_PER_DAY"})


@dataclass(frozen=True, slots=True)
class Scope:
    """A sum over runs. `key` is its document's id, `name` the setting (or the API key's field) that bounds it to
    `limit`, `ends` when a new sum takes its place (None: never). `shared`: runs of several users count in it, and
    none of them is told how far it is used up."""

    key: str
    name: str
    limit: int
    ends: datetime | None
    shared: bool = True


@dataclass(frozen=True, slots=True)
class Shortage:
    """A limit that leaves too little. `pending` is what others have set aside there and not yet spent.

    As text it is for the run's user: of a sum that is `shared` with other users it is silent.
    """

    name: str
    limit: int
    asked: int
    left: int
    pending: int
    ends: datetime | None
    shared: bool = True

    def __str__(self) -> str:
        if self.shared:
            return f"{self.name} leaves too little for the {usd_text(self.asked)} USD that are asked for"
        text = f"{self.name} is {usd_text(self.limit)} USD, {usd_text(self.left)} of it are left"
        return f"{text} and {usd_text(self.asked)} are asked for"

    @property
    def data(self) -> dict[str, Json]:
        """The same for the trail."""
        told: dict[str, Json] = {"limit": self.name, "askedUsd": usd_text(self.asked)}
        if not self.shared:
            told |= {"limitUsd": usd_text(self.limit), "leftUsd": usd_text(self.left)}
        return told


def next_day(moment: datetime) -> datetime:
    """When the UTC day after that of `moment` begins."""
    return datetime.combine(moment.astimezone(UTC).date() + timedelta(days=1), time(), UTC)


def wallet_sums(wallet: str, moment: datetime) -> tuple[str, str]:
    """Ids of the sums of all that a wallet spends: on the UTC day of `moment`, and over its life."""
    payer = f"wallet:{wallet.lower()}"
    return f"{payer}:{moment.astimezone(UTC).date().isoformat()}", payer


def scopes(limits: Limits, wallet: str, vendor_id: str, reserved_at: datetime) -> tuple[Scope, ...]:
    """The sums that a purchase counts in, always in this order: two that want the same ones meet at the first.

    The day is that of the reservation: it is stored, so whoever asks again asks for the same day.
    """
    day, ends = reserved_at.astimezone(UTC).date().isoformat(), next_day(reserved_at)
    of_day, of_life = wallet_sums(wallet, reserved_at)
    key = limits.key or KeyLimits("")
    known = (
        (f"vendor:{vendor_id}:{day}", "MAX_PER_VENDOR_PER_DAY", limits.per_vendor_per_day, ends, True),
        (f"key:{key.key_id}:{day}", "KEY_MAX_PER_DAY", key.per_day, ends, key.shared),
        (f"key:{key.key_id}", "KEY_MAX_TOTAL", key.total, None, key.shared),
        (of_day, "MAX_PER_DAY", limits.per_day, ends, True),
        (of_life, "MAX_PER_WALLET", limits.per_wallet, None, True),
    )
    return tuple(
        Scope(key, name, most, until, shared) for key, name, most, until, shared in known if most is not None
    )


def planning_scopes(limits: Limits, wallet: str, now: datetime) -> tuple[Scope, ...]:
    """The sums that count what planning costs: the key's, and the operator's of a day. No wallet pays for it."""
    return tuple(each for each in scopes(limits, wallet, "", now) if each.name in _OF_PLANNING)


def exhausted(wanted: Iterable[Scope], taken: Mapping[str, Allowance]) -> bool:
    """Whether one of these sums has nothing left."""
    return any(_left(scope, taken) <= 0 for scope in wanted)


def shortages(
    limits: Limits, wanted: Iterable[Scope], taken: Mapping[str, Allowance], amount: int
) -> list[Shortage]:
    """The limits that leave less than `amount`. `taken` are the sums as they stand; one that is not there is 0."""
    found = []
    most = limits.per_payment
    if most is not None and amount > most:
        found.append(Shortage("MAX_PER_PAYMENT", most, amount, most, 0, None, shared=False))
    for scope in wanted:
        left = _left(scope, taken)
        if amount > left:
            there = taken.get(scope.key)
            pending = sum(each.amount for each in there.open.values()) if there else 0
            found.append(Shortage(scope.name, scope.limit, amount, left, pending, scope.ends, scope.shared))
    return found


def room(limits: Limits, wanted: Iterable[Scope], taken: Mapping[str, Allowance]) -> int | None:
    """The most that one purchase may cost now; None: no limit is set."""
    bounds = [_left(scope, taken) for scope in wanted]
    if limits.per_payment is not None:
        bounds.append(limits.per_payment)
    return min(bounds, default=None)


def free_at(found: Iterable[Shortage], now: datetime) -> datetime | None:
    """When it is worth another try although these are short; None: never, as the limits are.

    A day's end frees what was spent in it. Before that only what others give back can help.
    """
    moments = [_free_at(each, now) for each in found]
    if not moments or None in moments:
        return None
    return max(each for each in moments if each is not None)


def in_words(found: Sequence[Shortage], again: datetime | None) -> str:
    """The same in a sentence for the run's user, with when to come back (`free_at`)."""
    when = (
        "waiting does not help: ask for less, or ask who runs the server for a higher limit"
        if again is None
        else f"worth another try at {again.isoformat()}"
    )
    return f"{'; '.join(map(str, found))}; {when}"


def barred(limits: Limits, vendor: Vendor) -> str | None:
    """Why this vendor is not dealt with at all, or None."""
    if away := off_limits(limits, vendor):
        return away
    if vendor.pay_to is None:
        if limits.first_seen == "refuse":
            return f"{vendor.vendor_id} has no payee registered, and FIRST_SEEN_PAYEE is refuse"
        return None
    if limits.payees is not None and vendor.pay_to.lower() not in limits.payees:
        return f"the payee of {vendor.vendor_id} is not in ALLOWED_PAYEES"
    return None


def off_limits(limits: Limits, vendor: Vendor) -> str | None:
    """Why nothing is sent to where this vendor is, our token least of all, or None."""
    if limits.hosts is not None and not among(vendor.endpoint, limits.hosts):
        return f"the host of {vendor.vendor_id} is not in ALLOWED_HOSTS"
    return None


def allowed(limits: Limits, amount: int) -> int:
    """The most that may be signed for a reservation of `amount`, whatever was set aside."""
    return amount if limits.per_payment is None else min(amount, limits.per_payment)


def _left(scope: Scope, taken: Mapping[str, Allowance]) -> int:
    there = taken.get(scope.key)
    return max(0, scope.limit - (there.committed if there else 0))


def _free_at(short: Shortage, now: datetime) -> datetime | None:
    if short.asked > short.limit:
        return None
    soon = now + LOOK_AGAIN if short.asked <= short.left + short.pending else None
    return min((each for each in (soon, short.ends) if each is not None), default=None)
