"""A round: runs that are due are ticked, many at a time, until none is due or the time is over.

There is one pool of ticks and no batches, so a slow tick holds up nobody. Any number of rounds may go on at once,
in any number of processes: the lease decides who ticks a run, each round begins at another place, and what others
are at is not due any more.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from bson import ObjectId

from agent.book.errors import LeaseLost, RunBusy, RunNotFound, RunUnreadable, StoreUnavailable
from agent.dispatch.turns import fair_page
from agent.engine.services import Services
from agent.engine.tick import LOOK_AGAIN, TickResult, tick
from agent.process.deadline import Deadline
from agent.store.due import Due

__all__ = ["CONCURRENT_TICKS", "Done", "Round", "tick_due"]

CONCURRENT_TICKS: Final = 500
"""Ticks that one process has under way at a time, at the most. Nearly all of a tick is waiting: for a planner or a
vendor. While it waits for the database, and others with it, no more are begun: a slow one makes a round slow."""

BURST: Final = 8
"""Ticks that are begun before a look at whether the database keeps up."""

PAGE: Final = 1_000
"""Due runs that are looked up at a time."""

LOOK_SECONDS: Final = 0.5
"""What is due is looked up anew this often, also while there is work left: other runs may have become due."""

NAMED: Final = 1_000
"""Ticks, and failures, that a round names one by one; beyond that it counts."""

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Done:
    """What a round did. `ticked` (run id and message) and `failed` (run ids) name the first 1,000 of each.

    `ticks` and `failures` count all of them, `busy` the runs that somebody else was at, `cut_off` the ticks that
    were under way when the time was over: their leases run out, then they are due again. `left`: there is more.
    """

    ticked: list[tuple[str, str]] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    ticks: int = 0
    failures: int = 0
    busy: int = 0
    cut_off: int = 0
    left: bool = False


async def tick_due(services: Services, seconds: float) -> Done:
    """Tick the due runs, the longest waiting first and each user's in turn, for `seconds` at the most.

    Raises:
        StoreUnavailable: the database is away.
    """
    return await Round(services, seconds).run()


class Round:
    """One round. A tick is begun only while its whole deadline fits in what is left of the time."""

    def __init__(self, services: Services, seconds: float) -> None:
        """The time runs from now. `seconds` may be infinite: then it ends when nothing is due, or with `leave`."""
        self.done = Done()
        self._services = services
        self._deadline = Deadline(services.world.monotonic, seconds)
        self._leaving = False
        self._queue: deque[Due] = deque()
        self._under_way: dict[asyncio.Task[None], ObjectId] = {}
        self._ended: list[asyncio.Task[None]] = []
        self._stirred = asyncio.Event()
        self._passed: dict[ObjectId, float] = {}
        """Runs that were busy or failed, and when (monotonic) they are worth another try."""
        self._seen: frozenset[str] = frozenset()
        self._more = True
        self._stale = False
        """Others have been where this round is now: what it has in its queue may be done."""
        self._looked = float("-inf")
        if seconds < services.settings.tick_deadline_seconds:
            _log.warning(
                "a round of %g s has no room for a tick of TICK_DEADLINE_SECONDS=%g: nothing is ticked",
                seconds,
                services.settings.tick_deadline_seconds,
            )

    def leave(self, seconds: float) -> None:
        """Begin no more ticks, and be done in so many seconds: what is under way then is cut off."""
        self._leaving = True
        self._deadline = Deadline(self._services.world.monotonic, min(seconds, self._deadline.remaining()))

    async def run(self) -> Done:
        """Go on until nothing is due or the time is over; once per round.

        Raises:
            StoreUnavailable: what is due cannot be looked up. The ticks that were under way have had their time.
        """
        trouble: StoreUnavailable | None = None
        try:
            while True:
                if self._worth_a_look():
                    try:
                        await self._look()
                    except StoreUnavailable as exc:  # who is under way may not need it any more
                        trouble = exc
                        self.leave(self._services.settings.tick_deadline_seconds)
                begun = 0
                while self._queue and self._may_begin():
                    self._begin(self._queue.popleft())
                    begun += 1
                    if begun % BURST == 0:  # what has begun asks for the database now, and is seen to wait for it
                        await asyncio.sleep(0)
                if not self._under_way or self._deadline.remaining() <= 0:
                    break
                await self._wait()
        finally:
            await self._cut_off()
        if trouble is not None:
            raise trouble
        self.done.left = bool(self._queue) or self._more or self.done.cut_off > 0
        return self.done

    def _may_begin(self) -> bool:
        in_time = self._deadline.remaining() >= self._services.settings.tick_deadline_seconds
        free = len(self._under_way) < CONCURRENT_TICKS and not self._services.runs.crowded
        return in_time and not self._leaving and free

    def _worth_a_look(self) -> bool:
        if not self._may_begin():
            return False
        if self._stale or self._services.world.monotonic() - self._looked >= LOOK_SECONDS:
            return True
        return not self._queue and (self._more or not self._under_way)

    async def _look(self) -> None:
        """Replace the queue by what is due now and not under way here."""
        world, due = self._services.world, self._services.due
        self._looked, self._stale, now = world.monotonic(), False, world.now()
        page = await fair_page(due, now, PAGE, world.below, self._seen)
        called = await due.called(now)
        self._passed = {run_id: until for run_id, until in self._passed.items() if until > self._looked}
        here = {*self._under_way.values(), *self._passed}
        wanted = {each.run_id: each for each in called}
        wanted |= {each.run_id: each for each in page.entries if each.run_id not in wanted}
        self._queue = deque(each for run_id, each in wanted.items() if run_id not in here)
        if self._queue:  # ticks that all wait for this would then ask for the database all at once
            await self._services.restored.mark()
        self._seen, self._more = page.seen, page.more and bool(self._queue)

    def _begin(self, due: Due) -> None:
        task = asyncio.create_task(self._tick(due.run_id, if_due=due.at is not None))
        self._under_way[task] = due.run_id
        task.add_done_callback(self._note_end)

    def _note_end(self, task: asyncio.Task[None]) -> None:
        self._ended.append(task)
        self._stirred.set()

    async def _wait(self) -> None:
        """Until a tick is done, or it is time for something else."""
        patience = min(LOOK_SECONDS, self._deadline.remaining())
        with suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await self._stirred.wait()
        self._stirred.clear()
        while self._ended:
            task = self._ended.pop()
            del self._under_way[task]
            task.result()

    async def _cut_off(self) -> None:
        """End what is under way. Nothing is lost: what a tick has not committed, the next one does again."""
        for task in self._under_way:
            task.cancel()
        ended = await asyncio.gather(*self._under_way, return_exceptions=True)
        self.done.cut_off = sum(isinstance(each, asyncio.CancelledError) for each in ended)
        self._under_way.clear()

    async def _tick(self, run_id: ObjectId, *, if_due: bool) -> None:
        try:
            result = await tick(self._services, run_id, if_due=if_due)
        except (RunBusy, LeaseLost):
            self.done.busy += 1
            self._pass_over(run_id)
            self._stale = True
        except RunNotFound:
            self._pass_over(run_id)
        except Exception as exc:  # one bad run must not stop the others
            _log.exception("tick of run %s failed", run_id)
            await self._failed(run_id, _code(exc))
        else:
            if result.run.ended_untold and result.run.status != "running":
                await self._failed(run_id, "untold")
            else:
                self._ticked(result)

    def _ticked(self, result: TickResult) -> None:
        self.done.ticks += 1
        if len(self.done.ticked) < NAMED:
            self.done.ticked.append((str(result.run.id), result.message))

    async def _failed(self, run_id: ObjectId, code: str) -> None:
        """Count it, here and on the run; where the database is away, that cannot be laid at the run's door."""
        self.done.failures += 1
        if len(self.done.failed) < NAMED:
            self.done.failed.append(str(run_id))
        self._pass_over(run_id)
        try:
            await self._services.due.stumbled(run_id, self._services.world.now(), code)
        except Exception as exc:
            _log.warning("that the tick of run %s failed could not be noted (%s)", run_id, type(exc).__name__)

    def _pass_over(self, run_id: ObjectId) -> None:
        self._passed[run_id] = self._services.world.monotonic() + LOOK_AGAIN


def _code(exc: Exception) -> str:
    if isinstance(exc, RunUnreadable):
        return "unreadable"
    return "store_unavailable" if isinstance(exc, StoreUnavailable) else "internal_error"
