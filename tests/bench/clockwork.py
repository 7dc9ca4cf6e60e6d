"""A worker's side: one command per line of stdin, one list of figures per line of stdout."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Mapping
from time import perf_counter
from typing import TypeAlias

__all__ = ["Task", "serve", "timed"]

Task: TypeAlias = Callable[[int, str], Awaitable[list[float]]]
"""Does a thing so many times, at a URL if it needs one, and says what each time took, in seconds."""


async def timed(times: int, once: Callable[[], Awaitable[object]]) -> list[float]:
    """How many seconds each of so many calls takes."""
    seconds = []
    for _ in range(times):
        start = perf_counter()
        await once()
        seconds.append(perf_counter() - start)
    return seconds


def serve(tasks: Mapping[str, Task]) -> None:
    """Carry out `[task, times, url]` after `[task, times, url]`, in one event loop, until stdin ends."""
    asyncio.run(_serve(tasks))


async def _serve(tasks: Mapping[str, Task]) -> None:
    for line in sys.stdin:
        name, times, url = json.loads(line)
        sys.stdout.write(json.dumps(await tasks[name](times, url)) + "\n")
        sys.stdout.flush()
