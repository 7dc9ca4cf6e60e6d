"""Collections in this process's memory, for laptops and tests: mongomock behind the same face."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

import mongomock
from pymongo import ReturnDocument
from pymongo.errors import BulkWriteError, DuplicateKeyError

from agent.store.collections import Bson, DuplicateId, Keys, projection

__all__ = ["EmbeddedDatabase"]


class EmbeddedDatabase:
    """A database that lives and dies with this object."""

    embedded = True
    crowded = False

    def __init__(self) -> None:
        """Empty."""
        self._place = secrets.token_hex(8)
        self._database: Any = mongomock.MongoClient(tz_aware=True)["purser"]

    def collection(self, name: str) -> EmbeddedCollection:
        """The collection of that name, made on first use."""
        return EmbeddedCollection(self._database[name])

    async def origins(self) -> dict[str, str]:
        """This object holds all of it."""
        return {"runs": self._place}

    async def ping(self) -> None:
        """Always there."""

    async def close(self) -> None:
        """Nothing to close."""


class EmbeddedCollection:
    """`Collection` on mongomock. Its calls block, but for no longer than memory takes."""

    def __init__(self, collection: Any) -> None:
        """Wrap mongomock's collection."""
        self._mock = collection

    async def find_one(self, where: Mapping[str, Any]) -> Bson | None:
        found: Bson | None = self._mock.find_one(where)
        return found

    async def find(
        self, where: Mapping[str, Any], sort: Keys, limit: int, fields: Sequence[str] | None = None
    ) -> list[Bson]:
        return list(self._mock.find(where, projection(fields), sort=list(sort) or None, limit=limit))

    async def count(self, where: Mapping[str, Any], limit: int | None = None) -> int:
        return int(self._mock.count_documents(where, **({} if limit is None else {"limit": limit})))

    async def insert(self, document: Bson) -> None:
        try:
            self._mock.insert_one(document)
        except DuplicateKeyError as exc:
            raise DuplicateId from exc

    async def insert_new(self, documents: Sequence[Bson]) -> None:
        try:
            self._mock.insert_many(documents, ordered=False)
        except BulkWriteError as exc:
            if any(error["code"] != 11000 for error in exc.details["writeErrors"]):
                raise

    async def update(self, where: Mapping[str, Any], change: Mapping[str, Any]) -> Bson | None:
        found: Bson | None = self._mock.find_one_and_update(where, change, return_document=ReturnDocument.AFTER)
        return found

    async def replace(self, where: Mapping[str, Any], document: Bson, *, upsert: bool) -> bool:
        try:
            result = self._mock.replace_one(where, document, upsert=upsert)
        except DuplicateKeyError as exc:
            raise DuplicateId from exc
        return bool(result.matched_count) or result.upserted_id is not None

    async def delete(self, where: Mapping[str, Any]) -> bool:
        return bool(self._mock.delete_one(where).deleted_count)

    async def ensure_index(self, keys: Keys) -> None:
        self._mock.create_index(list(keys))
