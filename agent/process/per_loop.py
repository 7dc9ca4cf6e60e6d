"""What belongs to an event loop: made with its first use there, closed when that loop shuts down.

Database and HTTP clients bind to the loop of their first use, and platforms may bring a new loop with each
invocation. A loop that ends closes its asynchronous generators first (`loop.shutdown_asyncgens`, which
`asyncio.run` and every runner of ours call), so one generator per loop, waiting for that moment, closes the client
while its loop still can. See docs/decisions/0017-event-loops.md.
"""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from typing import Generic, TypeVar

__all__ = ["PerLoop"]

_T = TypeVar("_T")


class PerLoop(Generic[_T]):
    """One value for each running event loop. Loops may run in several threads at once."""

    def __init__(self, make: Callable[[], _T], close: Callable[[_T], Awaitable[None]]) -> None:
        """Both are called in the loop that the value is for. `close` must be bounded in time."""
        self._make = make
        self._close = close
        self._lock = threading.Lock()
        self._held: dict[asyncio.AbstractEventLoop, tuple[_T, AsyncGenerator[None]]] = {}

    def get(self) -> _T:
        """The value of the running loop. Raises what `make` raises."""
        loop = asyncio.get_running_loop()
        with self._lock:
            if loop not in self._held:
                self._forget_the_idle()
                value = self._make()
                keeper = self._keep(loop, value)
                with suppress(StopIteration):
                    keeper.__anext__().send(None)  # to its yield, where it has something to close
                self._held[loop] = value, keeper
            return self._held[loop][0]

    async def close(self) -> None:
        """Close the value of the running loop, if there is one."""
        held = self._held.get(asyncio.get_running_loop())
        if held is not None:
            await held[1].aclose()

    async def _keep(self, loop: asyncio.AbstractEventLoop, value: _T) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            with self._lock:
                held = self._held.get(loop)
                if held is not None and held[0] is value:  # a forgotten loop may be back, with another value
                    del self._held[loop]
            await self._close(value)

    def _forget_the_idle(self) -> None:
        """Let go of what loops left that ended without their shutdown, or were abandoned.

        Nothing can be awaited in such a loop any more. Its sockets are closed when they are collected, and
        cycles hold them, so that is done now and not some day.
        """
        idle = [loop for loop in self._held if not loop.is_running()]
        for loop in idle:
            del self._held[loop]
        if idle:
            gc.collect()
