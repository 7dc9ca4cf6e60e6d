"""Faults in what is stored first, by whom, and what is told of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import datetime
from itertools import count
from typing import Any

import pytest
from bson import ObjectId

import agent.book.audit
import agent.engine.tick
import agent.intake.runs
import agent.kinds.rental.polling
import agent.store.vendors
from agent.book.errors import LeaseLost
from agent.book.models import GENESIS, Job, Json, Lease, Outbox, Payment, Run
from agent.engine import purchase
from agent.engine.leased import LeasedRun
from agent.engine.services import Services
from agent.kinds.rental import buying
from agent.store.runs import RunStore
from tests.sim.mutants_hunt import Patch, everywhere, mutant
from vendors.models import Evidence, Vendor
from vendors.reliability import learn


async def _nothing() -> None:
    """In place of a commit."""


@mutant("happy path")
def sent_before_stored(patch: Patch) -> None:
    """The authorization is sent before it is stored."""
    real = purchase._authorize

    async def authorize(desk: LeasedRun, *rest: Any) -> object:
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(desk, "commit", _nothing)
            return await real(desk, *rest)

    patch.setattr(purchase, "_authorize", authorize)


@mutant("happy path")
def ordered_before_stored(patch: Patch) -> None:
    """The job is ordered before its money is set aside."""
    real = purchase.advance

    async def advance(desk: LeasedRun, *rest: Any) -> None:
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(desk, "commit", _nothing)
            await real(desk, *rest)

    async def buy(desk: LeasedRun, *rest: Any) -> object:
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(desk, "commit", _nothing)
            return await bought(desk, *rest)

    bought = buying.buy
    everywhere(patch, real, "advance", advance)
    everywhere(patch, bought, "buy", buy)


@mutant(seeds=2000)
def unfenced(patch: Patch) -> None:
    """A write asks neither for the lease nor for the revision."""

    async def commit(self: RunStore, before: Run, after: Run) -> Run:
        hidden = ("_id", "createdAt", "cancelRequested")
        fields = {key: value for key, value in after.to_document().items() if key not in hidden}
        found = await self._of("runs").update({"_id": before.id}, {"$set": {**fields, "rev": before.rev + 1}})
        return Run.model_validate(found)

    patch.setattr(RunStore, "commit", commit)


@mutant(seeds=2000)
def lease_loss_ignored(patch: Patch) -> None:
    """Who has lost its lease goes on."""
    real = LeasedRun.commit

    async def commit(self: LeasedRun) -> None:
        try:
            await real(self)
        except LeaseLost:
            return

    patch.setattr(LeasedRun, "commit", commit)


def _claim_where(
    free: Mapping[str, Any],
) -> Callable[..., Awaitable[Run | None]]:
    """`RunStore.claim` with another condition on the lease."""

    async def claim(
        self: RunStore,
        run_id: ObjectId,
        lease: Lease,
        now: datetime,
        user_id: str | None = None,
        *,
        if_due: bool = False,
    ) -> Run | None:
        due = {"nextTickAt": {"$lte": now}} if if_due else {}
        found = await self._of("runs").update(
            {"_id": run_id, "status": "running", **free, **due},
            {"$set": {"lease": lease.to_document(), "nextTickAt": lease.until}, "$inc": {"tick": 1, "rev": 1}},
        )
        return None if found is None else Run.model_validate(found)

    return claim


@mutant(seeds=2000)
def lease_ignored(patch: Patch) -> None:
    """A run is claimed although another tick holds it."""
    patch.setattr(RunStore, "claim", _claim_where({}))


@mutant("happy path")
def lease_for_ever(patch: Patch) -> None:
    """A lease is never seen to be over."""
    patch.setattr(RunStore, "claim", _claim_where({"lease": None}))


@mutant("happy path")
def never_due(patch: Patch) -> None:
    """A run whose job is under way is not due any more."""
    real = LeasedRun.release

    async def release(self: LeasedRun, next_tick_at: datetime | None) -> Run:
        return await real(self, None if self.draft.jobs else next_tick_at)

    patch.setattr(LeasedRun, "release", release)


@mutant("job stalls")
def never_overdue(patch: Patch) -> None:
    """A job may stall for as long as it likes."""
    patch.setattr(agent.kinds.rental.polling, "overdue", lambda *_: None)


@mutant("happy path")
def another_run(patch: Patch) -> None:
    """The same order under the same key is a new run."""
    drawn = count(10**6)
    patch.setattr(agent.intake.runs, "_keyed_id", lambda *_: ObjectId(f"{next(drawn):024x}"))


@mutant("happy path")
def numbers_in_memory(patch: Patch) -> None:
    """The number of an observation comes from a counter in memory."""
    real, numbers = agent.book.audit.observe, dict[ObjectId, int]()

    def observe(run: Run, now: datetime, kind: str, content: str, data: dict[str, Json] | None = None) -> Run:
        number = numbers.get(run.id, 0) if run.audit.seq else 0
        numbers[run.id] = number + 1
        head = run.audit.model_copy(update={"seq": number})
        return real(run.model_copy(update={"audit": head}), now, kind, content, data)

    everywhere(patch, real, "observe", observe)


@mutant("happy path")
def unchained(patch: Patch) -> None:
    """An observation does not bear the hash of the one before it."""
    real = agent.book.audit.observe

    def observe(run: Run, now: datetime, kind: str, content: str, data: dict[str, Json] | None = None) -> Run:
        head = run.audit.model_copy(update={"hash": GENESIS})
        return real(run.model_copy(update={"audit": head}), now, kind, content, data)

    everywhere(patch, real, "observe", observe)


@mutant("happy path")
def cleared_before_told(patch: Patch) -> None:
    """The outbox is cleared before it is told."""

    async def tell_all(services: Services, run: Run) -> Run:
        await services.runs.told(run)
        await agent.engine.tick._tell(services, run)
        return run.model_copy(update={"outbox": Outbox(), "ended_untold": False})

    patch.setattr(agent.engine.tick, "_tell_all", tell_all)


@mutant(late="happy path")
def told_whatever_came(patch: Patch) -> None:
    """The outbox is cleared although the run has been written again."""

    async def told(self: RunStore, run: Run) -> None:
        cleared = {"outbox": Outbox().to_document(), "endedUntold": False}
        await self._of("runs").update({"_id": run.id}, {"$set": cleared})

    patch.setattr(RunStore, "told", told)


@mutant(late="answer to payment lost")
def told_late(patch: Patch) -> None:
    """An old word replaces a newer one in the records."""

    async def replace_older(self: RunStore, name: str, record: Job | Payment) -> None:
        await self._of(name).replace({"_id": record.id}, record.to_document(), upsert=True)

    patch.setattr(RunStore, "_replace_older", replace_older)


@mutant("vendor fails")
def learnt_twice(patch: Patch) -> None:
    """An outcome that is told twice counts twice."""

    def twice(vendor: Vendor, evidence: Evidence) -> Vendor:
        blind = replace(vendor, record=replace(vendor.record, evidence=()))
        after = learn(blind, evidence)
        both = (*vendor.record.evidence, *after.record.evidence)
        return replace(after, record=replace(after.record, evidence=both))

    patch.setattr(agent.store.vendors, "learn", twice)
