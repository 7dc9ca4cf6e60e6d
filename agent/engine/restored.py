"""Whether the database is a restored copy, and what an operator's word on it changes.

A copy has forgotten what was bought since it was made: its limits have room that was used, and its runs would buy
what they have. So nothing is signed on one, and nothing that was signed is sent, until its operator says what the
wallet has spent since the backup (`purser init --restored`). How a copy is told from its original, and when it
cannot be: docs/decisions/0022-restored-backups.md.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from agent.book.errors import RestoreRefused
from agent.book.limits import wallet_sums
from agent.book.models import Run
from agent.book.money import usd_text
from agent.process.per_loop import PerLoop
from agent.process.world import World
from agent.store.allowances import AllowanceStore
from agent.store.collections import Database
from agent.store.mark import Answered, Mark, MarkStore, Restored
from agent.store.runs import RunStore

__all__ = ["LOOK_SECONDS", "WHAT_TO_DO", "Held", "RestoreWatch", "answer_for", "notice_in_place"]

_log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 60.0
"""How long a process goes by what it has read of the mark."""

WHAT_TO_DO: Final = "nothing is bought until `purser init --restored --spent-usd USD` says what was spent since it"


@dataclass(frozen=True, slots=True)
class Held:
    """Why nothing is bought, and since when. `passing`: until the operator has said what was spent."""

    why: str
    since: datetime
    passing: bool


class RestoreWatch:
    """What one process knows of its database's mark. It looks once in `LOOK_SECONDS`, however many ask."""

    def __init__(self, database: Database, world: World) -> None:
        """Nothing is asked yet."""
        self._database = database
        self._marks = MarkStore(database)
        self._world = world
        self._turn = PerLoop(asyncio.Lock, _nothing)
        self._mark: Mark | None = None
        self._looked_at = float("-inf")

    async def mark(self) -> Mark:
        """The mark as it was about `LOOK_SECONDS` ago at the most: while one looks, others go by what is known.

        Raises:
            StoreUnavailable
        """
        turn, now = self._turn.get(), self._world.monotonic()
        if self._mark is not None and (now - self._looked_at <= LOOK_SECONDS or turn.locked()):
            return self._mark
        async with turn:
            if self._mark is None or self._world.monotonic() - self._looked_at > LOOK_SECONDS:
                self._mark, self._looked_at = await self._look(), now
            return self._mark

    async def held(self, run: Run | None = None) -> Held | None:
        """Why nothing is bought for this run (None: for any at all), or None.

        Raises:
            StoreUnavailable
        """
        mark = await self.mark()
        if mark.restored is not None:
            why = f"the database is a restored backup ({mark.restored.why}): {WHAT_TO_DO}"
            return Held(why, mark.restored.noticed_at, passing=True)
        if run is None or mark.closed_at is None or run.created_at > mark.closed_at:
            return None
        why = (
            "the database was restored from a backup, whose newest run was begun at "
            f"{mark.closed_at:%Y-%m-%d %H:%M:%S} UTC, this one not later: what it has bought since is not known, "
            "so it buys nothing more; start another one if its goal is still to be reached"
        )
        return Held(why, mark.closed_at, passing=False)

    async def _look(self) -> Mark:
        """Read the mark and hold it against what this process knows; a copy that is found out is marked as one."""
        known, origins = self._mark, {}
        if known is None or "runs" not in known.origins:
            origins = await self._database.origins()
        mark = await self._marks.look(_new_id(self._world), origins)
        if _moved(mark, origins):  # a server that names another origin each time that it is asked tells nothing
            again = await self._database.origins()
            origins = {name: origin for name, origin in origins.items() if again.get(name) == origin}
        if why := _why_a_copy(mark, known, origins):
            mark = await _noticed(self._database, self._world, mark, why, origins)
        for name in origins.keys() - mark.origins.keys():
            await self._marks.add_origin(name, origins[name])
        if mark.restored is not None and (known is None or known.restored is None):
            _log.warning("the database is a restored backup (%s): %s", mark.restored.why, WHAT_TO_DO)
        return mark


async def notice_in_place(database: Database, world: World) -> None:
    """Mark the database as a restored copy on its operator's word: one restored where it was cannot be told.

    Raises:
        StoreUnavailable
    """
    mark = await RestoreWatch(database, world).mark()
    if mark.restored is None:
        await _noticed(database, world, mark, "its operator says so", {})


async def answer_for(database: Database, world: World, spent: int, wallet: str) -> None:
    """Count what `wallet` has spent since the backup (micro-dollars), and let the copy be the database.

    Whatever dies on the way, asked again it goes on where it stopped, and counts once.

    Raises:
        RestoreRefused: the database is no restored copy, or something else was said of it.
        StoreUnavailable: ask again.
    """
    mark, marks = await RestoreWatch(database, world).mark(), MarkStore(database)
    if mark.restored is None:
        raise RestoreRefused(_not_restored(mark))
    mark = await marks.state(mark.restored, spent)
    if mark.restored is None or mark.restored.spent is None:
        raise RestoreRefused("another call was at it; look again with `purser init`")
    if mark.restored.spent != spent:
        raise RestoreRefused(
            f"{usd_text(mark.restored.spent)} USD were stated before, by a call that did not come to its end: end "
            f"it with --spent-usd {usd_text(mark.restored.spent)}"
        )
    if spent:
        for key in wallet_sums(wallet, mark.restored.noticed_at):
            await AllowanceStore(database).state(key, mark.restored.id, spent)
    answered = Answered(noticed_at=mark.restored.noticed_at, answered_at=world.now(), spent=spent)
    await marks.answer(mark, _new_id(world), answered)


def _not_restored(mark: Mark) -> str:
    last, said = mark.answered, ""
    if last is not None:
        said = f"; {usd_text(last.spent)} USD were stated at {last.answered_at:%Y-%m-%d %H:%M} UTC"
    return (
        f"the database is no restored backup, as far as can be told{said}; if it was restored where it was, from "
        "a snapshot of its files or of its cluster, say so with --in-place"
    )


def _why_a_copy(mark: Mark, known: Mark | None, origins: dict[str, str]) -> str | None:
    """Why this cannot be the database that the mark was made in, or that this process has seen."""
    if moved := _moved(mark, origins):
        return f"what holds its documents is another one: {', '.join(moved)}"
    if known is None or known.restored or mark.restored or known.store_id in mark.earlier:
        return None
    if known.store_id != mark.store_id or mark.looks <= known.looks:
        return "it knows less than a process that has used it"
    return None


def _moved(mark: Mark, origins: Mapping[str, str]) -> list[str]:
    return sorted(name for name, origin in origins.items() if mark.origins.get(name, origin) != origin)


async def _noticed(database: Database, world: World, mark: Mark, why: str, origins: Mapping[str, str]) -> Mark:
    """Mark the database as a restored copy. Which of its runs are old, their own times say: no clock of ours."""
    newest = await RunStore(database).newest_at()
    noticed = Restored(id=_new_id(world), why=why, noticed_at=world.now(), newest_run_at=newest)
    return await MarkStore(database).notice(mark, noticed, origins)


def _new_id(world: World) -> str:
    return world.random(8).hex()


async def _nothing(_: asyncio.Lock) -> None:
    """There is nothing to close."""
