"""Processes that die: every effect of a tick is numbered, and the n-th can be the last thing that happens.

An effect is a write to the store or a request to a vendor. Killed before it, it never happens; killed after it, it
has happened and nobody in the process knows. What lives on is the database, the vendors and the clock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

import httpx

from agent.store.collections import Bson, Collection, Database, Keys

T = TypeVar("T")


class Killed(BaseException):
    """The process is gone. Not an `Exception`: nothing in the process may catch it."""


class Reaper:
    """Counts effects and kills at one of them."""

    def __init__(self) -> None:
        """Kills nobody until told to."""
        self.count = 0
        self.log: list[str] = []
        self.at: int | None = None
        self.after = False

    def kill_at(self, number: int | None, *, after: bool) -> None:
        """From now on count anew and kill at that effect, before or after it."""
        self.count, self.at, self.after = 0, number, after

    async def watch(self, name: str, effect: Callable[[], Awaitable[T]]) -> T:
        """Let the effect happen, or not."""
        self.count += 1
        self.log.append(name)
        mine = self.count == self.at
        if mine and not self.after:
            raise Killed
        await asyncio.sleep(0)  # others get their turn, as they would on a real wire
        try:
            return await effect()
        finally:
            if mine:
                raise Killed  # whatever came of it, nobody is there to see


class WatchedDatabase:
    """A database whose writes are effects."""

    embedded = True

    def __init__(self, inner: Database, reaper: Reaper) -> None:
        """Everything goes on to `inner`."""
        self._inner = inner
        self._reaper = reaper

    def collection(self, name: str) -> Collection:
        """The collection, watched."""
        return _Watched(self._inner.collection(name), name, self._reaper)

    async def ping(self) -> None:
        """As the inner one."""
        await self._inner.ping()

    async def close(self) -> None:
        """As the inner one."""
        await self._inner.close()


class _Watched:
    def __init__(self, inner: Collection, name: str, reaper: Reaper) -> None:
        self._inner = inner
        self._name = name
        self._reaper = reaper

    async def find_one(self, where: Mapping[str, Any]) -> Bson | None:
        return await self._inner.find_one(where)

    async def find(self, where: Mapping[str, Any], sort: Keys, limit: int) -> list[Bson]:
        return await self._inner.find(where, sort, limit)

    async def count(self, where: Mapping[str, Any]) -> int:
        return await self._inner.count(where)

    async def insert(self, document: Bson) -> None:
        await self._reaper.watch(f"insert {self._name}", lambda: self._inner.insert(document))

    async def insert_new(self, documents: Sequence[Bson]) -> None:
        await self._reaper.watch(f"insert {self._name}", lambda: self._inner.insert_new(documents))

    async def update(self, where: Mapping[str, Any], change: Mapping[str, Any]) -> Bson | None:
        return await self._reaper.watch(f"update {self._name}", lambda: self._inner.update(where, change))

    async def replace(self, where: Mapping[str, Any], document: Bson, *, upsert: bool) -> bool:
        return await self._reaper.watch(
            f"replace {self._name}", lambda: self._inner.replace(where, document, upsert=upsert)
        )

    async def delete(self, where: Mapping[str, Any]) -> bool:
        return await self._reaper.watch(f"delete {self._name}", lambda: self._inner.delete(where))

    async def ensure_index(self, keys: Keys) -> None:
        await self._inner.ensure_index(keys)


class WatchedTransport(httpx.AsyncBaseTransport):
    """A transport whose requests are effects."""

    def __init__(self, inner: httpx.AsyncBaseTransport, reaper: Reaper) -> None:
        """Everything goes on to `inner`."""
        self._inner = inner
        self._reaper = reaper

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send it, or die."""
        name = f"{request.method} {request.url.path}"
        return await self._reaper.watch(name, lambda: self._inner.handle_async_request(request))
