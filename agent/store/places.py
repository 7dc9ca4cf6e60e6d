"""Places for running runs: a key has as many as it may have runs under way, and each run takes one before it is
stored.

One document for each key: `runs` has when each of its places was taken, by run, and `taken` how many there are.
Every change is one conditional write of the one document, so the bound holds whoever starts at the same time. A
place comes back when somebody finds none left: then the runs themselves say which of them have ended.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from bson import ObjectId
from pydantic import Field

from agent.book.errors import StoreUnavailable
from agent.book.models import Document
from agent.store.collections import Collection, Database, DuplicateId

__all__ = ["STORED_WITHIN", "PlaceStore"]

STORED_WITHIN: Final = timedelta(minutes=5)
"""After its place is taken a run is stored, or never will be: whoever was to do it has died. Far longer than any
write of the database may take."""

_TRIES: Final = 20
"""Writes in a row that may find the document changed under them before the store counts as away."""


class Places(Document):
    """The places of a key that are taken."""

    key_id: str = Field(alias="_id")
    taken: int = 0
    runs: dict[str, datetime] = Field(default_factory=dict)


class PlaceStore:
    """The places of one database."""

    def __init__(self, database: Database) -> None:
        """Nothing is opened before the first operation."""
        self._database = database

    async def take(self, key_id: str, most: int, run_id: ObjectId, now: datetime) -> bool:
        """Take one of the key's `most` places for a run that is about to be stored; whether there was one.

        A run that has a place keeps it, whatever `most` is by now. Where there is no other, places of runs that
        have ended, and of those that were never stored, are given back first.
        """
        place = f"runs.{run_id}"
        for _ in range(_TRIES):
            taken = await self._places.update(
                {"_id": key_id, "taken": {"$lt": most}, place: None}, {"$inc": {"taken": 1}, "$set": {place: now}}
            )
            if taken is not None:
                return True
            there = await self._read(key_id)
            if there is None:
                await self._begin(key_id)
            elif (at := there.runs.get(str(run_id))) is not None:
                # It is taken from now on: nobody is to think that the run was never stored.
                if await self._places.update({"_id": key_id, place: at}, {"$set": {place: now}}) is not None:
                    return True
            elif there.taken >= most and not await self._give_back(there, now):
                return False
        raise StoreUnavailable(f"the places of key {key_id} are written to all the time; try again")

    async def _give_back(self, there: Places, now: datetime) -> bool:
        """Give back the places that no running run of the key has; whether there was any.

        All at once, and only as they were read: none that somebody has taken again in the meantime.
        """
        ids = [ObjectId(each) for each in there.runs]
        found = await self._database.collection("runs").find(
            {"_id": {"$in": ids}}, (), len(ids), ("status", "keyId")
        )
        stored = {str(each["_id"]) for each in found}
        running = {
            str(each["_id"])
            for each in found
            if each.get("status") == "running" and each.get("keyId") == there.key_id
        }
        free = {
            f"runs.{run_id}": at
            for run_id, at in there.runs.items()
            if run_id not in running and (run_id in stored or abs(now - at) > STORED_WITHIN)
        }
        if not free:
            return False
        change = {"$inc": {"taken": -len(free)}, "$unset": dict.fromkeys(free, "")}
        await self._places.update({"_id": there.key_id, **free}, change)
        return True

    async def _read(self, key_id: str) -> Places | None:
        found = await self._places.find_one({"_id": key_id})
        return None if found is None else Places.model_validate(found)

    async def _begin(self, key_id: str) -> None:
        try:
            await self._places.insert(Places(key_id=key_id).to_document())
        except DuplicateId:
            return  # somebody else was first

    @property
    def _places(self) -> Collection:
        return self._database.collection("places")
