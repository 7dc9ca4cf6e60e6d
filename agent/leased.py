"""A run under the lease of one tick: what the tick changes in memory, and the commits that make it so."""

from __future__ import annotations

from datetime import datetime

from agent.access import Key
from agent.audit import observe
from agent.models import Json, Outbox, Run
from agent.store.runs import RunStore
from agent.world import World

__all__ = ["LeasedRun"]


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

    def set(self, **fields: object) -> None:
        """Change plain fields of the draft. Money moves through `agent.ledger` only."""
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
        self.set(lease=None, next_tick_at=next_tick_at, stumble=None)
        await self.commit()
        return self.draft
