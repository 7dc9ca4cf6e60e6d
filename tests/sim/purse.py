"""All runs of a wallet together: what vendors have, or could still take, is never above a limit.

Whether a limit held is asked of the vendors' journal. From the run documents it takes only when, and for whom,
money was set aside, for that says which day a payment belongs to. Who has which API key it is told, and when that
was revoked; what was signed for its runs later than `_SEEN_BY` is too much.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from agent.book.limits import Allowance, KeyLimits, Limits, scopes
from agent.book.models import Run
from agent.store.collections import Database
from agent.store.runs import RunStore
from gpu_vendor_mock.journal import Journal, Presented
from tests.sim.oracle import Wrong

__all__ = ["Purse"]

_MOST: Final = 10_000

_SEEN_BY: Final = timedelta(seconds=6)
"""How long after a key was revoked somebody may still sign who has not heard of it, by a clock that is right."""


class Purse:
    """One wallet's."""

    def __init__(
        self,
        journal: Journal,
        limits: Limits,
        wallet: str,
        unix: Callable[[], float],
        *,
        lapses: bool = False,
        keys: Mapping[str, KeyLimits] | None = None,
        skew: timedelta = timedelta(),
    ) -> None:
        """`unix`: the true time; `lapses`: the chain can be read, so that what ran out unused may be freed;
        `keys`: what each user's key allows; `skew`: most that a clock is wrong."""
        self._journal = journal
        self._keys = keys or {}
        self._late = _SEEN_BY + skew
        self._revoked: datetime | None = None
        self._limits = limits
        self._wallet = wallet
        self._unix = unix
        self._lapses = lapses
        self._sums: dict[str, tuple[str, ...]] = {}
        self._bounds: dict[str, int] = {}
        self._out: dict[str, Presented] = {}
        self._seen = 0

    def written(self, document: Mapping[str, Any]) -> None:
        """A run as it was written: its reservations say what they count in.

        Raises:
            Wrong: something was signed with a key that was revoked.
        """
        key = self._keys.get(document["userId"])
        for job, reservation in document["reservations"].items():
            signed = reservation["authorization"]
            if key and signed and self._revoked and signed["signedAt"] > self._revoked + self._late:
                raise Wrong("a revoked key buys nothing more", f"{job}: {signed['signedAt']}, {self._revoked}")
            if job not in self._sums:
                at, limits = reservation["createdAt"], replace(self._limits, key=key)
                found = scopes(limits, self._wallet, reservation["vendorId"], at)
                self._sums[job] = tuple(each.key for each in found)
                self._bounds |= {each.key: each.limit for each in found}

    def revoked(self, now: datetime) -> None:
        """The key was revoked, now by the true time."""
        self._revoked = self._revoked or now

    def look(self) -> None:
        """See what was presented since the last look.

        Raises:
            Wrong: vendors could take more than a limit allows.
        """
        fresh = self._journal.payments[self._seen :]
        self._seen += len(fresh)
        for sent in fresh:
            most = self._limits.per_payment
            if most is not None and sent.value > most:
                raise Wrong("one payment is within its limit", str((sent.key, sent.value, most)))
            if sent.key not in self._sums:
                raise Wrong("money is set aside before a payment is sent", sent.key)
            self._out.setdefault(sent.key, sent)
        if fresh:
            self._check()

    def _check(self) -> None:
        settled = {each.key for each in self._journal.settlements}
        total: Counter[str] = Counter()
        for job, sent in self._out.items():
            gone = self._lapses and job not in settled and self._unix() >= sent.valid_before
            for key in () if gone else self._sums[job]:
                total[key] += sent.value
        for key, value in total.items():
            if value > self._bounds[key]:
                raise Wrong("no more than a limit is out", f"{key}: {value} of {self._bounds[key]}")

    async def check_end(self, database: Database) -> None:
        """Once all runs have ended: each sum has what was spent in it, and nothing of a run that is alive.

        It may have more: what a late worker left behind is swept away only when it is in the way.

        Raises:
            Wrong: a sum has too little, or is above its limit.
        """
        books = RunStore(database)
        spent: Counter[str] = Counter()
        for document in await database.collection("runs").find({}, [("_id", 1)], _MOST):
            for job in await books.jobs(Run.model_validate(document)):
                for key in self._sums.get(str(job.id), ()):
                    spent[key] += job.actual_cost or 0
        sums = {each.key: each for each in map(Allowance.model_validate, await self._all(database))}
        for key, value in spent.items():
            there = sums.get(key, Allowance(key=key))
            kept = there.committed - sum(each.amount for each in there.open.values())
            if kept < value:
                raise Wrong("what was spent is counted", f"{key}: {kept}, {value} were spent")
            if there.committed > self._bounds[key]:
                raise Wrong("no sum is above its limit", f"{key}: {there.committed} of {self._bounds[key]}")

    async def _all(self, database: Database) -> list[dict[str, Any]]:
        return await database.collection("allowances").find({}, [("_id", 1)], _MOST)
