"""API keys, and the requests that are made with them, counted over all instances.

A minute's requests are one number in the key's document. Whoever wants some adds them in one operation, which
reads the key too; what the number was before says how many of them are still within the key's rate. No two callers
get the same ones, so there is nothing to compare and nothing to lock.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from agent.book.api_key import Key, Token
from agent.book.errors import KeyNotFound, StoreUnavailable
from agent.store.collections import Collection, Database, DuplicateId, older

__all__ = ["KeyStore"]

_KEPT: Final = 30
"""Minutes that a key's document may hold before the old ones are cleared away."""

_OLD: Final = 10
"""Minutes after which nobody counts in a minute any more, however wrong a clock may be."""


class KeyStore:
    """The API keys of one database."""

    def __init__(self, database: Database) -> None:
        """Nothing is opened before the first operation."""
        self._database = database

    async def add(self, key: Key) -> None:
        """Keep a new key.

        Raises:
            StoreUnavailable: the database is away, or the random id is taken; try again.
        """
        try:
            await self._keys.insert(key.to_document())
        except DuplicateId:
            raise StoreUnavailable(f"the id {key.id} is taken; try again") from None

    async def find(self, key_id: str) -> Key | None:
        """The key as it is now, if there is one."""
        found = await self._keys.find_one({"_id": key_id})
        return None if found is None else Key.model_validate(found)

    async def page(self, limit: int, *, older_than: tuple[datetime, str] | None = None) -> list[Key]:
        """Keys, newest first."""
        where = {} if older_than is None else older(*older_than)
        found = await self._keys.find(where, [("createdAt", -1), ("_id", -1)], limit)
        return [Key.model_validate(each) for each in found]

    async def revoke(self, key_id: str, now: datetime) -> Key:
        """Let nobody in with this key from now on. One that was revoked before stays as it is.

        Raises:
            KeyNotFound: there is none with that id.
        """
        found = await self._keys.update({"_id": key_id, "revokedAt": None}, {"$set": {"revokedAt": now}})
        key = await self.find(key_id) if found is None else Key.model_validate(found)
        if key is None:
            raise KeyNotFound(key_id)
        return key

    async def take(self, token: Token, minute: int, wanted: int) -> tuple[Key, int] | None:
        """Take `wanted` requests of a minute; the key, and how many of them its rate allows.

        None: there is no such key. Whoever has the wrong secret takes nothing from whoever has the right one.
        """
        place = f"window.{minute}"
        found = await self._keys.update({"_id": token.key_id, "hash": token.digest}, {"$inc": {place: wanted}})
        if found is None:
            return None
        key = Key.model_validate(found)
        before = key.window[str(minute)] - wanted
        if len(key.window) > _KEPT:
            await self._clear(key, minute - _OLD)
        return key, max(0, min(wanted, key.requests_per_minute - before))

    async def _clear(self, key: Key, before: int) -> None:
        old = {f"window.{minute}": "" for minute in key.window if int(minute) < before}
        if old:
            await self._keys.update({"_id": key.id}, {"$unset": old})

    @property
    def _keys(self) -> Collection:
        return self._database.collection("keys")
