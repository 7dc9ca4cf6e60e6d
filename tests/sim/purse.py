"""All runs of a wallet together: what vendors have, or could still take, is never above a limit.

Whether a limit held is asked of the vendors' journal. From the run documents it takes only when, and for whom,
money was set aside, for that says which day a payment belongs to.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

from agent.limits import Allowance, Limits, scopes
from agent.models import Run
from agent.store.collections import Database
from agent.store.runs import RunStore
from gpu_vendor_mock.journal import Journal, Presented
from tests.sim.oracle import Wrong

__all__ = ["Purse"]

_MOST: Final = 10_000


class Purse:
    """One wallet's."""

    def __init__(
        self, journal: Journal, limits: Limits, wallet: str, unix: Callable[[], float], *, lapses: bool = False
    ) -> None:
        """`unix`: the true time; `lapses`: the chain can be read, so that what ran out unused may be freed."""
        self._journal = journal
        self._limits = limits
        self._wallet = wallet
        self._unix = unix
        self._lapses = lapses
        self._sums: dict[str, tuple[str, ...]] = {}
        self._bounds: dict[str, int] = {}
        self._out: dict[str, Presented] = {}
        self._seen = 0

    def written(self, document: Mapping[str, Any]) -> None:
        """A run as it was written: its reservations say what they count in."""
        for job, reservation in document["reservations"].items():
            if job not in self._sums:
                at = reservation["createdAt"]
                found = scopes(self._limits, self._wallet, reservation["vendorId"], at)
                self._sums[job] = tuple(each.key for each in found)
                self._bounds |= {each.key: each.limit for each in found}

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
