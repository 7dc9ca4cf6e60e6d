"""Virtual time: an event loop whose clock moves only when somebody says so.

Whatever waits on it (`asyncio.sleep`, `asyncio.timeout`) waits in virtual time, so an hour of leases and time-outs
takes milliseconds, and happens the same way every time.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

__all__ = ["VirtualClock", "VirtualLoop"]

_MILLISECOND: Final = timedelta(milliseconds=1)


class VirtualClock:
    """The time of a simulated world, in whole milliseconds since its start."""

    def __init__(self, start: datetime) -> None:
        """Begins at `start` (UTC)."""
        self._start = start
        self._start_unix = start.timestamp()
        self.ms = 0

    def seconds(self) -> float:
        """Seconds since the start."""
        return self.ms / 1_000

    def unix(self) -> float:
        """Unix seconds."""
        return self._start_unix + self.ms / 1_000

    def now(self) -> datetime:
        """The moment, in UTC."""
        return self._start + self.ms * _MILLISECOND


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop on a virtual clock. `idle` is called when nobody in it can go on by himself.

    `idle` gets the seconds until the next timer (None: there is none) and must let something happen: release
    somebody who waits, or move the clock. What it raises comes out of `run_until_complete`.
    """

    def __init__(self, clock: VirtualClock, idle: Callable[[float | None], None]) -> None:
        """Nothing runs yet."""
        self._virtual = clock
        super().__init__(_NobodyReady(idle))

    def time(self) -> float:
        """Virtual seconds."""
        return self._virtual.seconds()


class _NobodyReady(selectors.SelectSelector):
    """No socket is ever waited for: the loop asks only how long it may sleep."""

    def __init__(self, idle: Callable[[float | None], None]) -> None:
        super().__init__()
        self._idle = idle

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout > 0:
            self._idle(timeout)
        return []
