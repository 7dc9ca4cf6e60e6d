"""A worker's side: one command per line of stdin, `[figures, failures, why the last one]` per line of stdout."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from time import perf_counter
from typing import TypeAlias

__all__ = ["FAILED", "Task", "serve", "timed", "tried"]

FAILED: list[str] = []
"""Why tries failed since the last command: a benchmark goes on, counts them and tells."""

Task: TypeAlias = Callable[[int, str], Awaitable[list[float]]]
"""Does a thing so many times, at a URL if it needs one, and says what each time took, in seconds."""


async def timed(times: int, once: Callable[[], Awaitable[object]]) -> list[float]:
    """How many seconds each of so many calls takes; those that fail are left out, and noted."""
    seconds = []
    for _ in range(times):
        start = perf_counter()
        if await tried(once):
            seconds.append(perf_counter() - start)
    return seconds


async def tried(once: Callable[[], Awaitable[object]]) -> bool:
    """Do it; whether it went well. What went wrong is noted."""
    try:
        await once()
    except Exception as exc:
        FAILED.append(f"{type(exc).__name__}: {exc}"[:200])
        return False
    return True


def serve(tasks: Mapping[str, Task]) -> None:
    """Carry out `[task, times, url]` after `[task, times, url]`, in one event loop, until stdin ends."""
    asyncio.run(_serve(tasks))


async def _extended(figures: list[float], task: Task, times: int, url: str) -> None:
    figures += await task(times, url)


async def _serve(tasks: Mapping[str, Task]) -> None:
    for line in sys.stdin:
        name, times, url = json.loads(line)
        FAILED.clear()
        figures: list[float] = []
        await tried(partial(_extended, figures, tasks[name], times, url))
        sys.stdout.write(json.dumps([figures, len(FAILED), FAILED[-1] if FAILED else ""]) + "\n")
        sys.stdout.flush()
