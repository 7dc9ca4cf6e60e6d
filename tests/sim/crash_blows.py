"""What may befall an effect besides a clean death: a failure that is survived, a late arrival, a cancel."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, TypeVar

import httpx

from agent.book.errors import StoreUnavailable
from tests.agent.killing import Killed, Reaper, Watcher
from x402.errors import ChainUnavailable

__all__ = ["Breaker", "Cancelling", "Straggler", "changes"]

T = TypeVar("T")

_CHANGING: Final = ("insert", "insert_new", "update", "replace", "delete", "POST")


def changes(name: str) -> bool:
    """An effect of this name would change something in the world."""
    return name.partition(" ")[0] in _CHANGING


class Breaker(Reaper):
    """Lets the n-th effect fail once, before it happens or after, as its kind does. The process lives on."""

    async def watch(self, name: str, effect: Callable[[], Awaitable[T]]) -> T:
        """Let the effect happen, or fail."""
        try:
            return await super().watch(name, effect)
        except Killed:
            self.at = None
            raise _failure(name, after=self.after) from None


def _failure(name: str, *, after: bool) -> Exception:
    if "/" in name:
        return httpx.ReadError("the answer was lost") if after else httpx.ConnectError("nobody there")
    if name.startswith("chain"):
        return ChainUnavailable("the node is away")
    if name in ("plan", "sign"):
        return RuntimeError(f"nobody there to {name}")
    return StoreUnavailable("the database is away")


class Straggler(Reaper):
    """Kills before an effect, which happens all the same: after the effect of the second blow, before that kills
    too. So may a packet in the network arrive, or a write that the server had queued."""

    def __init__(self) -> None:
        """Nothing is kept back yet."""
        super().__init__()
        self._late: Callable[[], Awaitable[object]] | None = None

    async def watch(self, name: str, effect: Callable[[], Awaitable[T]]) -> T:
        """Let the effect happen, keep it back, or let the one that was kept back happen after it."""
        now = self.count + 1 == self.at
        if now and not self.after:
            self._late = effect
        if now and self.after:
            return await super().watch(name, lambda: self._with_the_late_one(effect))
        return await super().watch(name, effect)

    async def _with_the_late_one(self, effect: Callable[[], Awaitable[T]]) -> T:
        try:
            return await effect()
        finally:
            if self._late is not None:
                with suppress(Exception):  # nobody is there to hear of it
                    await self._late()


class Cancelling:
    """A user who cancels while the first payment is under way."""

    def __init__(self, inner: Watcher) -> None:
        """Everything goes on to `inner`."""
        self._inner = inner
        self.cancel: Callable[[], Awaitable[object]] | None = None

    async def watch(self, name: str, effect: Callable[[], Awaitable[T]]) -> T:
        """Let the effect happen; `cancel` comes just before a payment arrives."""

        async def cancelled() -> T:
            if name.endswith(" paid") and self.cancel is not None:
                await self.cancel()
            return await effect()

        return await self._inner.watch(name, cancelled)
