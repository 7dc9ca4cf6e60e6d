"""The few operations that the store needs of a collection, and the two errors they may end in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

__all__ = ["Bson", "Collection", "Database", "DuplicateId", "Keys", "older", "projection"]

Bson = dict[str, Any]
Keys = Sequence[tuple[str, int]]


def projection(fields: Sequence[str] | None) -> dict[str, int] | None:
    """The driver's form of `fields`. `_id` always comes with them."""
    return None if fields is None else dict.fromkeys(("_id", *fields), 1)


def older(moment: datetime, its_id: object, since: Bson | None = None) -> Bson:
    """The condition for what comes after a document in a list by `createdAt` and `_id`, newest first.

    `since` is a bound that the list has below. The leading field is bounded by itself: no index serves the `$or`.
    """
    before = [{"createdAt": {"$lt": moment}}, {"_id": {"$lt": its_id}}]
    return {"createdAt": {**(since or {}), "$lte": moment}, "$or": before}


class DuplicateId(Exception):
    """A document with that `_id` is there already. Caught inside this package, never seen outside."""


class Collection(Protocol):
    """One collection. Every operation may raise `StoreUnavailable`."""

    async def find_one(self, where: Mapping[str, Any]) -> Bson | None: ...

    async def find(
        self, where: Mapping[str, Any], sort: Keys, limit: int, fields: Sequence[str] | None = None
    ) -> list[Bson]:
        """Those that match. No `sort`: in any order. `fields`: `_id` and these alone; None: whole documents."""
        ...

    async def count(self, where: Mapping[str, Any], limit: int | None = None) -> int:
        """How many match; counted to `limit` where one is given."""
        ...

    async def insert(self, document: Bson) -> None:
        """Raises `DuplicateId` where the id is taken."""
        ...

    async def insert_new(self, documents: Sequence[Bson]) -> None:
        """Insert those whose id is not there yet; the others are left as they are."""
        ...

    async def update(self, where: Mapping[str, Any], change: Mapping[str, Any]) -> Bson | None:
        """Change the one document that matches and return it as it is afterwards; None: nothing matched."""
        ...

    async def replace(self, where: Mapping[str, Any], document: Bson, *, upsert: bool) -> bool:
        """Replace the one that matches; with `upsert` insert it where none does (may raise `DuplicateId`)."""
        ...

    async def delete(self, where: Mapping[str, Any]) -> bool: ...

    async def ensure_index(self, keys: Keys) -> None: ...


class Database(Protocol):
    """Named collections of one database."""

    embedded: bool
    """Lives in this process's memory and dies with it."""

    @property
    def crowded(self) -> bool:
        """Whether operations wait for others to end: no time to begin more."""
        ...

    def collection(self, name: str) -> Collection: ...

    async def origins(self) -> dict[str, str]:
        """What holds the documents, as far as it can be told: the same until they are copied elsewhere."""
        ...

    async def ping(self) -> None: ...

    async def close(self) -> None: ...
