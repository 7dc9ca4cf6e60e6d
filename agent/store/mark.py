"""The mark of a database: where its documents are, how often it was looked at, and whether it is a restored copy.

It is one document. A dump has it too, and that is the point: what it says of the place of its documents is not
true of a copy, and what it has counted is less than what a process remembers that has gone on beyond the backup.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Final

from pydantic import Field

from agent.book.errors import StoreUnavailable
from agent.book.models import Document
from agent.store.collections import Collection, Database, DuplicateId

__all__ = ["Answered", "Mark", "MarkStore", "Restored"]

_ID: Final = "store"


class Restored(Document):
    """The database was seen to be a restored copy: why, when, what the newest run in it was, and what its operator
    says was spent since the backup (micro-dollars; None: nothing is said yet)."""

    id: str
    why: str
    noticed_at: datetime
    newest_run_at: datetime | None = None
    spent: int | None = None


class Answered(Document):
    """The operator's word on a copy that was restored, once it counts."""

    noticed_at: datetime
    answered_at: datetime
    spent: int


class Mark(Document):
    """`store_id` is another one after each restore that was answered for, `earlier` are those before it. `looks`
    only rises. Runs begun at `closed_at` or before buy nothing more."""

    id: str = Field(alias="_id")
    store_id: str
    earlier: tuple[str, ...] = ()
    looks: int = 0
    origins: dict[str, str] = Field(default_factory=dict)
    restored: Restored | None = None
    closed_at: datetime | None = None
    answered: Answered | None = None


class MarkStore:
    """The mark of one database. Every operation may raise `StoreUnavailable`."""

    def __init__(self, database: Database) -> None:
        """Nothing is opened before the first operation."""
        self._database = database

    async def look(self, new_id: str, origins: Mapping[str, str]) -> Mark:
        """Count a look; the mark as it is after it. A database without one is given one, with `new_id`."""
        counted = {"$inc": {"looks": 1}}
        found = await self._marks.update({"_id": _ID}, counted)
        if found is None:
            with suppress(DuplicateId):  # somebody else was first
                await self._marks.insert(Mark(id=_ID, store_id=new_id, origins=dict(origins)).to_document())
            found = await self._marks.update({"_id": _ID}, counted)
        if found is None:
            raise StoreUnavailable("the mark of the database was deleted meanwhile; try again")
        return Mark.model_validate(found)

    async def add_origin(self, name: str, origin: str) -> None:
        """Note where something is that had no origin yet."""
        await self._marks.update({"_id": _ID, f"origins.{name}": None}, {"$set": {f"origins.{name}": origin}})

    async def notice(self, mark: Mark, restored: Restored, origins: Mapping[str, str]) -> Mark:
        """Lay down that the database is a restored copy, and where it is; the mark then.

        Whoever was first has done it: nothing changes if the mark is not as it was read. A copy of a copy that
        nobody has answered for is one of its own, which is why the origins are its own from now on.
        """
        where: dict[str, object] = {"_id": _ID, "storeId": mark.store_id, "restored": None}
        if mark.restored is not None:
            del where["restored"]
            where["restored.id"] = mark.restored.id
        change = {"restored": restored.to_document(), "origins": dict(origins or mark.origins)}
        await self._marks.update(where, {"$set": change})
        return await self._read()

    async def state(self, restored: Restored, spent: int) -> Mark:
        """Lay down what the operator says, unless something is said already; the mark then."""
        where = {"_id": _ID, "restored.id": restored.id, "restored.spent": None}
        await self._marks.update(where, {"$set": {"restored.spent": spent}})
        return await self._read()

    async def answer(self, mark: Mark, new_id: str, answered: Answered) -> None:
        """The copy counts as the database from now on. Where another call was first, nothing changes."""
        if mark.restored is None:
            raise AssertionError("unreachable: only a restored copy is answered for")
        change: dict[str, object] = {
            "restored": None,
            "storeId": new_id,
            "earlier": [*mark.earlier, mark.store_id],
            "answered": answered.to_document(),
        }
        if answered.spent and mark.restored.newest_run_at is not None:
            change["closedAt"] = mark.restored.newest_run_at
        await self._marks.update({"_id": _ID, "restored.id": mark.restored.id}, {"$set": change})

    async def last_payer(self) -> str | None:
        """The wallet that the newest payment came from; None: there is no payment."""
        found = await self._database.collection("payments").find({}, [("_id", -1)], 1, ("payer",))
        return str(found[0]["payer"]) if found else None

    async def _read(self) -> Mark:
        found = await self._marks.find_one({"_id": _ID})
        if found is None:
            raise StoreUnavailable("the mark of the database was deleted meanwhile; try again")
        return Mark.model_validate(found)

    @property
    def _marks(self) -> Collection:
        return self._database.collection("marks")
