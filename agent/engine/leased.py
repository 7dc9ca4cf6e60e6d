"""A run under the lease of one tick: what the tick changes in memory, and the commits that make it so."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from agent.book.api_key import Key
from agent.book.audit import observe
from agent.book.lifecycle import RunPhase
from agent.book.models import Json, Outbox, PhaseEntered, Run
from agent.process.world import World
from agent.store.runs import RunStore

__all__ = ["MAX_HISTORY", "LeasedRun"]

LONGEST_SLEEP: Final = timedelta(hours=24)
"""How far ahead the next tick can be: less than what counts as over (`agent.book.clocks.FURTHEST`)."""

MAX_HISTORY: Final = 50
"""Phases that a run's document keeps; the trail has all of them."""


class LeasedRun:
    """`draft` is the run as this tick would have it; `commit` makes it so.

    Nothing outside the process may happen on the strength of a draft: commit first.
    """

    def __init__(self, store: RunStore, world: World, run: Run) -> None:
        """`run` as the claim returned it, its outbox already told."""
        self._store = store
        self._world = world
        self._stored = run
        self.draft = run.model_copy(update={"outbox": Outbox()})
        self.key: Key | None = None
        """The key that the run was started with, as it was at `key_read_at` (monotonic s; None: not read yet)."""
        self.key_read_at: float | None = None

    def note(self, kind: str, content: str, data: dict[str, Json] | None = None) -> None:
        """Add an observation to the draft."""
        self.draft = observe(self.draft, self._world.now(), kind, content, data)

    def enter(self, phase: RunPhase) -> None:
        """Come into a phase, and say so in the trail. Nothing where the run is in it already."""
        before, now = self.draft.phase, self._world.now()
        if phase == before:
            return
        self.note("phase", f"{before} -> {phase}", {"from": before, "to": phase})
        entered = PhaseEntered(phase=phase, at=now, tick=self.draft.tick)
        self.set(phase=phase, history=(*self.draft.history, entered)[-MAX_HISTORY:])

    def set(self, **fields: object) -> None:
        """Change plain fields of the draft. Money moves through `agent.book.ledger` only."""
        self.draft = self.draft.model_copy(update=fields)

    def forget(self) -> None:
        """Drop what was not committed."""
        self.draft = self._stored

    async def commit(self) -> None:
        """Write the draft.

        Raises:
            LeaseLost: another tick holds the run. Nothing was written; stop at once.
            StoreUnavailable: nobody knows whether it was written; stop at once, the next tick finds out.
        """
        self.set(updated_at=self._world.now())
        self._stored = self.draft = await self._store.commit(self._stored, self.draft)

    async def release(self, next_tick_at: datetime | None) -> Run:
        """Commit for the last time, give the lease back, and return the run as stored."""
        if next_tick_at is not None:  # further ahead only a wrong clock says so
            next_tick_at = min(next_tick_at, self._world.now() + LONGEST_SLEEP)
        self.set(lease=None, next_tick_at=next_tick_at, stumble=None, finished_tick=self.draft.tick)
        await self.commit()
        return self.draft
