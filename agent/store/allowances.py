"""Sums over many runs that a limit bounds: what a wallet, a vendor or a day has been promised.

One document for each sum: `committed` is all that was ever taken from it less what was given back, `open` are the
purchases among it that are not over yet, by job. Every change is one conditional write of the one document, so a
limit holds whoever takes at the same time; and each may be repeated, for a job counts once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bson import ObjectId

from agent.book.errors import StoreUnavailable
from agent.book.limits import Allowance
from agent.book.models import Closing
from agent.store.collections import Collection, Database, DuplicateId

__all__ = ["AllowanceStore"]

_TRIES: Final = 20
"""Writes in a row that may find the sum changed under them before the store counts as away."""


class AllowanceStore:
    """The sums of one database."""

    def __init__(self, database: Database) -> None:
        """Nothing is opened before the first operation."""
        self._database = database

    async def read(self, keys: Sequence[str]) -> dict[str, Allowance]:
        """These sums as they are now; one of which nothing was ever taken is not among them."""
        if not keys:
            return {}
        found = await self._sums.find({"_id": {"$in": [*keys]}}, [("_id", 1)], len(keys))
        return {each.key: each for each in map(Allowance.model_validate, found)}

    async def take(self, key: str, limit: int, job_id: str, run_id: ObjectId, amount: int) -> bool:
        """Count `amount` (micro-dollars) for a job that is about to be paid; whether the limit allows it.

        A job that is counted already is not counted again, whatever the limit is by now.
        """
        entry = f"open.{job_id}"
        for _ in range(_TRIES):
            taken = await self._sums.update(
                {"_id": key, "committed": {"$lte": limit - amount}, entry: None},
                {"$inc": {"committed": amount}, "$set": {entry: {"amount": amount, "runId": run_id}}},
            )
            if taken is not None:
                return True
            there = (await self.read([key])).get(key)
            if there is None:
                await self._begin(key)
            elif job_id in there.open:
                return True
            elif there.committed > limit - amount:
                return False
        raise StoreUnavailable(f"{key} is written to all the time; try again")

    async def spend(self, key: str, amount: int) -> None:
        """Count `amount` (micro-dollars) that is spent already, whatever the limit is."""
        if await self._sums.update({"_id": key}, {"$inc": {"committed": amount}}) is None:
            await self._begin(key)
            await self._sums.update({"_id": key}, {"$inc": {"committed": amount}})

    async def state(self, key: str, restore_id: str, amount: int) -> None:
        """Count `amount` (micro-dollars) that an operator says was spent before this restore, once for each."""
        entry = f"stated.{restore_id}"
        where, counted = {"_id": key, entry: None}, {"$inc": {"committed": amount}, "$set": {entry: amount}}
        if await self._sums.update(where, counted) is None:
            await self._begin(key)
            await self._sums.update(where, counted)

    async def close(self, closing: Closing) -> None:
        """A purchase is over: what it did not spend is given back. Where it is not counted nothing changes."""
        for key in closing.scopes:
            entry = f"open.{closing.job_id}"
            await self._sums.update(
                {"_id": key, f"{entry}.amount": closing.amount},
                {"$inc": {"committed": closing.spent - closing.amount}, "$unset": {entry: ""}},
            )

    async def _begin(self, key: str) -> None:
        try:
            await self._sums.insert(Allowance(key=key).to_document())
        except DuplicateId:
            return  # somebody else was first

    @property
    def _sums(self) -> Collection:
        return self._database.collection("allowances")
