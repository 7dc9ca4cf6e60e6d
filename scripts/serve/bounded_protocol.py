"""HTTP connections with bounds: the head of a request has an end in time, and connections one in number.

Without them whoever has no token holds this process up: a head that drips costs him a byte now and then, and a
process that is out of file descriptors serves nobody, its own monitors included.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import time
from collections.abc import Callable
from typing import Final

from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

__all__ = ["HEAD_SECONDS", "BoundedProtocol", "OncePerSecond", "most_connections"]

HEAD_SECONDS: Final = 10.0
"""How long the head of a request may take, from the connection's start or from its first byte."""

_RESERVED: Final = 96
"""File descriptors for all else: the database, vendors, files."""

_MOST: Final = 4_096

_log = logging.getLogger(__name__)


def most_connections() -> int:
    """How many connections this process can have, by its limit of file descriptors."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST if soft == resource.RLIM_INFINITY else max(8, min(_MOST, soft - _RESERVED))


class OncePerSecond(logging.Filter):
    """Lets one record a second pass of those that begin with `text`.

    A process without file descriptors has asyncio say so for each connection that waits, thousands at a time.
    """

    def __init__(self, text: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._text = text
        self._monotonic = monotonic
        self._next = float("-inf")

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is written."""
        if not str(record.msg).startswith(self._text):
            return True
        if (now := self._monotonic()) < self._next:
            return False
        self._next = now + 1
        return True


class BoundedProtocol(H11Protocol):
    """uvicorn's protocol, with these bounds. For the option `http` of `uvicorn.Config`."""

    most = _MOST
    refused = 0
    told_at = float("-inf")
    _head: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Take the connection, or close it where there are too many."""
        super().connection_made(transport)
        if len(self.connections) > self.most:
            self._tell_of_refusal()
            transport.abort()
            return
        self._wait_for_head()

    def data_received(self, data: bytes) -> None:
        """Read on; a head that is whole has no time-out any more."""
        before = self.cycle
        super().data_received(data)
        if self.cycle is not before:
            self._stop_waiting()
        elif self._head is None and not _under_way(before):
            self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait_for_head(self) -> None:
        self._head = self.loop.call_later(HEAD_SECONDS, self._too_slow)

    def _stop_waiting(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None

    def _too_slow(self) -> None:
        self._head = None
        if not self.transport.is_closing():
            self.transport.abort()

    def _tell_of_refusal(self) -> None:
        kind, now = type(self), self.loop.time()
        kind.refused += 1
        if now - kind.told_at >= 1:
            _log.warning("%d connections refused: %d are open, the most there may be", kind.refused, kind.most)
            kind.refused, kind.told_at = 0, now


def _under_way(cycle: RequestResponseCycle | None) -> bool:
    return cycle is not None and not cycle.response_complete
