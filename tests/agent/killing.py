"""Processes that die: every effect of a tick is numbered, and the n-th can be the last thing that happens.

An effect is whatever crosses from the process to the world: a read or a write of the store, a request to a vendor
with its answer, a question to the planner or to a chain, a signature asked of the wallet. Killed before it, it
never happens. Killed after it, it has happened, and nobody in the process knows: a request's answer is lost with
the process. (Killed once the answer is seen is killed before the next effect, so that has no number of its own.)
What lives on is the database, the vendors, the chain and the clock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import httpx

from agent.kinds.rental.planner import Plan, Planner
from agent.kinds.rental.planner.context import PlanContext
from agent.store.collections import Bson, Collection, Database, Keys
from agent.wallet.wallet import Wallet
from x402.chain.ports import Block, ChainReader, Fate
from x402.eip3009 import TypedAuthorization
from x402.networks import Asset
from x402.wallets.signers import Signer
from x402.wire import PAYMENT_HEADERS, Authorization

__all__ = [
    "Killed",
    "Reaper",
    "WatchedChain",
    "WatchedDatabase",
    "WatchedPlanner",
    "WatchedTransport",
    "Watcher",
    "watched_wallet",
]

T = TypeVar("T")


class Killed(BaseException):
    """The process is gone. Not an `Exception`: nothing in the process may catch it."""


class Watcher(Protocol):
    """Decides what becomes of each effect: it may delay it, let it fail, lose its answer, or end the process."""

    async def watch(self, name: str, effect: Callable[[], Awaitable[T]]) -> T:
        """Let the effect happen, or not. Names read like `update runs`, `POST /submit-job`, `plan`, `sign`."""
        ...


class Reaper:
    """Counts effects and kills at one of them."""

    def __init__(self) -> None:
        """Kills nobody until told to."""
        self.count = 0
        self.log: list[str] = []
        self.at: int | str | None = None
        self.after = False
        self.struck: str | None = None
        """Where it has killed since `kill_at`: number and name of the effect."""

    def kill_at(self, which: int | str | None, *, after: bool) -> None:
        """From now on count anew and kill at that effect, before or after it: the n-th, or each of that name."""
        self.count, self.at, self.after, self.struck = 0, which, after, None

    async def watch(self, name: str, effect: Callable[[], Awaitable[T]]) -> T:
        """Let the effect happen, or not."""
        self.count += 1
        self.log.append(name)
        mine = self.at in (self.count, name)
        if mine:
            self.struck = f"{'after' if self.after else 'before'} effect {self.count}, {name}"
        if mine and not self.after:
            raise Killed
        await asyncio.sleep(0)  # others get their turn, as they would on a real wire
        try:
            return await effect()
        finally:
            if mine:
                raise Killed  # whatever came of it, nobody is there to see


class WatchedDatabase:
    """A database whose reads and writes are effects."""

    embedded = True

    @property
    def crowded(self) -> bool:
        """As the inner one."""
        return self._inner.crowded

    def __init__(self, inner: Database, watcher: Watcher) -> None:
        """Everything goes on to `inner`."""
        self._inner = inner
        self._watcher = watcher

    def collection(self, name: str) -> Collection:
        """The collection, watched."""
        return _Watched(self._inner.collection(name), name, self._watcher)

    async def origins(self) -> dict[str, str]:
        """As the inner one."""
        return await self._inner.origins()

    async def ping(self) -> None:
        """As the inner one."""
        await self._inner.ping()

    async def close(self) -> None:
        """As the inner one."""
        await self._inner.close()


class _Watched:
    def __init__(self, inner: Collection, name: str, watcher: Watcher) -> None:
        self._inner = inner
        self._name = name
        self._watcher = watcher

    async def find_one(self, where: Mapping[str, Any]) -> Bson | None:
        return await self._watcher.watch(f"find_one {self._name}", lambda: self._inner.find_one(where))

    async def find(
        self, where: Mapping[str, Any], sort: Keys, limit: int, fields: Sequence[str] | None = None
    ) -> list[Bson]:
        return await self._watcher.watch(
            f"find {self._name}", lambda: self._inner.find(where, sort, limit, fields)
        )

    async def count(self, where: Mapping[str, Any], limit: int | None = None) -> int:
        return await self._watcher.watch(f"count {self._name}", lambda: self._inner.count(where, limit))

    async def insert(self, document: Bson) -> None:
        await self._watcher.watch(f"insert {self._name}", lambda: self._inner.insert(document))

    async def insert_new(self, documents: Sequence[Bson]) -> None:
        await self._watcher.watch(f"insert_new {self._name}", lambda: self._inner.insert_new(documents))

    async def update(self, where: Mapping[str, Any], change: Mapping[str, Any]) -> Bson | None:
        return await self._watcher.watch(f"update {self._name}", lambda: self._inner.update(where, change))

    async def replace(self, where: Mapping[str, Any], document: Bson, *, upsert: bool) -> bool:
        return await self._watcher.watch(
            f"replace {self._name}", lambda: self._inner.replace(where, document, upsert=upsert)
        )

    async def delete(self, where: Mapping[str, Any]) -> bool:
        return await self._watcher.watch(f"delete {self._name}", lambda: self._inner.delete(where))

    async def ensure_index(self, keys: Keys) -> None:
        await self._inner.ensure_index(keys)


class WatchedTransport(httpx.AsyncBaseTransport):
    """A transport whose requests, each with its answer, are effects."""

    def __init__(self, inner: httpx.AsyncBaseTransport, watcher: Watcher) -> None:
        """Everything goes on to `inner`."""
        self._inner = inner
        self._watcher = watcher

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send it, or die. One that carries a payment is named so."""
        paid = any(name in request.headers for name in PAYMENT_HEADERS.values())
        name = f"{request.method} {request.url.path}{' paid' if paid else ''}"
        return await self._watcher.watch(name, lambda: self._inner.handle_async_request(request))


class WatchedPlanner:
    """A planner that is an effect to ask."""

    def __init__(self, inner: Planner, watcher: Watcher) -> None:
        """Every question goes on to `inner`."""
        self._inner = inner
        self._watcher = watcher

    async def plan(self, context: PlanContext, timeout: float) -> Plan:  # noqa: ASYNC109 (the Planner's face)
        """Ask, or die."""
        return await self._watcher.watch("plan", lambda: self._inner.plan(context, timeout))


class WatchedChain:
    """A chain that is an effect to ask."""

    def __init__(self, inner: ChainReader, watcher: Watcher) -> None:
        """Every question goes on to `inner`."""
        self._inner = inner
        self._watcher = watcher

    async def head(self) -> Block:
        """Ask, or die."""
        return await self._watcher.watch("chain head", self._inner.head)

    async def balance(self, token: Asset, owner: str) -> int:
        """Ask, or die."""
        return await self._watcher.watch("chain balance", lambda: self._inner.balance(token, owner))

    async def code(self, owner: str) -> bytes:
        """Ask, or die."""
        return await self._watcher.watch("chain code", lambda: self._inner.code(owner))

    async def fate(self, token: Asset, authorization: Authorization, named: str | None = None) -> Fate:
        """Ask, or die."""
        return await self._watcher.watch("chain fate", lambda: self._inner.fate(token, authorization, named))


def watched_wallet(wallet: Wallet, watcher: Watcher) -> Wallet:
    """The same wallet, elsewhere: a signature of it is an effect to ask for."""
    return Wallet(_WatchedSigner(wallet._signer, watcher), wallet._nonce_key)


class _WatchedSigner:
    def __init__(self, inner: Signer, watcher: Watcher) -> None:
        self._inner = inner
        self._watcher = watcher

    @property
    def address(self) -> str:
        return self._inner.address

    async def sign_typed_data(self, data: TypedAuthorization) -> str:
        return await self._watcher.watch("sign", lambda: self._inner.sign_typed_data(data))
