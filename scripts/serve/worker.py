"""`purser worker`: ticks what is due, without a cron, until it is told to stop. For a server of one's own.

It works on the database directly, so that ticks go on while the API is restarted, and any number of workers and
crons may be at it at once (docs/decisions/0013-ticking.md).
"""

from __future__ import annotations

import asyncio
import logging
import math
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from agent.book.errors import ConfigurationError, StoreUnavailable
from agent.dispatch.rounds import Round
from agent.engine.services import Services
from agent.process.logs import configure
from agent.process.settings import Settings
from scripts.serve.complete import check_complete

__all__ = ["Worker", "run_worker"]

_log = logging.getLogger(__name__)

IDLE_SECONDS: Final = 2.0
"""Longest pause between two looks: a run that is started meanwhile waits no longer for its first tick."""

LEAST_SECONDS: Final = 0.05
"""Shortest pause: what is due and cannot be ticked now must not make the loop spin."""

LONGEST_PAUSE: Final = 30.0
"""While the database is away it is asked for more and more rarely, and after so many seconds at the latest."""

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


class Worker:
    """Rounds in a loop. `note` is told, a sentence each, what an operator wants to know.

    `pause` sleeps for so many seconds or until `stop` is called, whichever comes first.
    """

    def __init__(
        self,
        services: Services,
        note: Callable[[str], None],
        pause: Callable[[float], Awaitable[None]] | None = None,
    ) -> None:
        """Nothing is done before `work`."""
        self.ticks = 0
        self.failures = 0
        self.cut_off = 0
        self._services = services
        self._note = note
        self._stopping = asyncio.Event()
        self._pause = pause or self._sleep
        self._round: Round | None = None
        self._held: str | None = None

    def stop(self, grace: float) -> None:
        """Begin no more ticks; what is under way may take `grace` seconds, then it is left to others."""
        self._stopping.set()
        if self._round is not None:
            self._round.leave(grace)

    async def work(self) -> None:
        """Go on until `stop`."""
        misses = 0
        while not self._stopping.is_set():
            try:
                await self._say_if_restored()
                await self._one_round()
                pause = await self._until_next()
            except StoreUnavailable as exc:
                misses += 1
                pause = min(2.0**misses, LONGEST_PAUSE)
                if misses == 1:
                    self._note(f"{exc}; asking on")
            else:
                if misses:
                    self._note("the database answers again")
                misses = 0
            if not self._stopping.is_set():
                await self._pause(pause)

    async def _say_if_restored(self) -> None:
        held = await self._services.restored.held()
        before, self._held = self._held, None if held is None else held.why
        if self._held != before:
            self._note(self._held or "the restored database was answered for: runs buy again")

    async def _one_round(self) -> None:
        self._round = Round(self._services, math.inf)
        try:
            await self._round.run()
        finally:
            done, self._round = self._round.done, None
            self.ticks += done.ticks
            self.failures += done.failures
            self.cut_off += done.cut_off

    async def _until_next(self) -> float:
        """Seconds until a tick comes due, as far as one can know."""
        now = self._services.world.now()
        due = await self._services.due.next_at(now)
        left = IDLE_SECONDS if due is None else (due - now).total_seconds()
        return max(LEAST_SECONDS, min(left, IDLE_SECONDS))

    async def _sleep(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()


def run_worker(settings: Settings, grace: float, note: Callable[[str], None]) -> Worker:
    """Work until SIGTERM or SIGINT; a second one ends the process at once. The worker, for what it has done.

    Raises:
        ConfigurationError: a setting that ticks cannot do without is missing, MONGODB_URI first of all.
    """
    if settings.mongodb_uri is None:
        raise ConfigurationError(
            "MONGODB_URI is not set: a worker ticks the runs in a database, and the embedded store of an API "
            "process cannot be seen from here; set it to the database that the API works on"
        )
    check_complete(settings)
    configure(platform=False)
    if not settings.has_wallet:
        _log.warning("X402_PRIVATE_KEY is not set: paying with a throw-away key, which is not that of the API")
    return asyncio.run(_work(settings, grace, note))


async def _work(settings: Settings, grace: float, note: Callable[[str], None]) -> Worker:
    from agent.process.world import real_world
    from agent.store import open_database
    from agent.wiring import wire

    database = open_database(settings)
    services = wire(settings, real_world(), database)
    worker = Worker(services, note)
    loop = asyncio.get_running_loop()

    def stop() -> None:
        for number in SIGNALS:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)  # the next one is not asked what it would like
        note(f"stopping: no more ticks are begun, those under way have {grace:g} s")
        worker.stop(grace)

    for number in SIGNALS:
        loop.add_signal_handler(number, stop)
    note(f"ticking what is due in database {settings.mongodb_db_name}")
    try:
        await worker.work()
    finally:
        await services.close()
        await database.close()
    return worker
