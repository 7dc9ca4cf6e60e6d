"""Follow a run to its end: show what is new, tick when a tick is due."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from typing import Final, Protocol

from scripts.client.api import PAGE, Reply
from scripts.client.errors import Busy, ClientError, Refused, TooMany, Unreachable
from scripts.client.shapes import Status, Ticked

__all__ = ["Server", "follow"]

LOOK_SECONDS: Final = 2.0
"""Longest pause between two looks: others may tick the run too, and what they did is shown."""

PATIENCE: Final = 5
"""Failures in a row that are borne; the pauses between them double from 1 s."""

_FAULT: Final = 500


class Server(Protocol):
    """What following needs of a `Client`."""

    def now(self) -> datetime: ...

    def status(self, run_id: str, *, limit: int, after: int | None) -> Reply[Status]: ...

    def tick(self, run_id: str) -> Reply[Ticked]: ...


def follow(
    server: Server,
    run_id: str,
    show: Callable[[Status], None],
    *,
    patience: int = PATIENCE,
    sleep: Callable[[float], None] = time.sleep,
) -> Reply[Status]:
    """The run's last status, after every page of its trail was given to `show`, in order.

    `patience`: failures in a row that are borne, once the server has answered.

    Raises:
        ClientError: the run is unknown, or the server was away for longer than patience lasts.
    """
    told, misses = 0, 0
    while True:
        try:
            reply = server.status(run_id, limit=PAGE, after=told)
            show(reply.value)
            told = reply.value.page.last_seq or told
            if reply.value.observations and told < reply.value.page.total:
                continue
            if reply.value.run.status != "running":
                return reply
            pause = _pause(server, reply.value)
            if pause <= 0:
                server.tick(run_id)
            misses = 0
        except Busy as exc:
            pause = min(exc.retry_after, LOOK_SECONDS)
        except TooMany as exc:
            pause = exc.retry_after
        except (Unreachable, Refused) as exc:
            if told == 0 or misses >= patience or _for_good(exc):
                raise
            pause = 2.0**misses
            misses += 1
        if pause > 0:
            sleep(pause)


def _for_good(exc: ClientError) -> bool:
    """Whether to ask again is in vain."""
    return isinstance(exc, Refused) and (exc.status < _FAULT or exc.code == "run_unreadable")


def _pause(server: Server, status: Status) -> float:
    """Seconds until the next look; 0 or less: a tick is due."""
    due = status.run.next_tick_at
    return 0 if due is None else min(LOOK_SECONDS, (due - server.now()).total_seconds())
