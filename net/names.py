"""What vendors' names stand for, looked up so that one whose name server is silent holds up nobody else.

The loop's own look-ups share a handful of threads with all else that needs one (a database's connections among
them), and a look-up that was given up keeps its thread. So each has a thread of its own here, there is one under
way for a host, all of them are bounded, and a failure is remembered for some seconds.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final, TypeAlias

__all__ = ["Names", "look_up"]

_MOST_UNDER_WAY: Final = 256
"""Hosts that are looked up at a time."""

_MOST_REMEMBERED: Final = 1_000
_REMEMBERED_SECONDS: Final = 5.0

Found: TypeAlias = Sequence[tuple[Any, ...]]
"""As `socket.getaddrinfo` returns it."""


class Names:
    """The look-ups of one event loop. Raises `OSError` or `UnicodeError` where a name stands for nothing."""

    def __init__(self) -> None:
        """Nothing is under way."""
        self._under_way: dict[tuple[str, int], asyncio.Task[Found]] = {}
        self._failed: dict[tuple[str, int], tuple[float, str]] = {}

    async def find(self, host: str, port: int) -> Found:
        """What the machine's resolver says of a host."""
        place, now = (host, port), asyncio.get_running_loop().time()
        until, why = self._failed.get(place, (0.0, ""))
        if now < until:
            raise OSError(why)
        task = self._under_way.get(place)
        if task is None:
            if len(self._under_way) >= _MOST_UNDER_WAY:
                raise OSError("too many names are being looked up; try again later")
            task = self._under_way[place] = asyncio.create_task(look_up(host, port))
            task.add_done_callback(lambda done: self._ended(place, done))
        return await asyncio.shield(task)  # whoever gives up leaves it to others, who ask for the same name

    def _ended(self, place: tuple[str, int], done: asyncio.Task[Found]) -> None:
        del self._under_way[place]
        exc = None if done.cancelled() else done.exception()
        if exc is None:
            self._failed.pop(place, None)
            return
        while len(self._failed) >= _MOST_REMEMBERED:
            del self._failed[next(iter(self._failed))]
        self._failed[place] = done.get_loop().time() + _REMEMBERED_SECONDS, str(exc)


async def look_up(host: str, port: int) -> Found:
    """`socket.getaddrinfo` in a thread of its own, which may outlive the loop: nobody can stop it."""
    loop = asyncio.get_running_loop()
    found: asyncio.Future[Found] = loop.create_future()

    def tell(answer: Found | Exception) -> None:
        if not found.done():
            found.set_exception(answer) if isinstance(answer, Exception) else found.set_result(answer)

    def ask() -> None:
        answer: Found | Exception
        try:
            answer = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except Exception as exc:
            answer = exc
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(tell, answer)

    try:
        threading.Thread(target=ask, name=f"look-up of {host[:64]}", daemon=True).start()
    except RuntimeError as exc:
        raise OSError(f"no thread could be started for it: {exc}") from exc
    return await found
