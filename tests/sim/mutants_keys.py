"""Faults in what an API key allows: its sums are not taken, or compared elsewhere, its revocation is not seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bson import ObjectId

from agent.book.limits import Limits, Scope
from agent.book.models import Run
from agent.engine import spending
from agent.engine.leased import LeasedRun
from agent.engine.services import Services
from agent.intake import runs
from agent.intake.runs import Order
from agent.process.world import World
from agent.store.allowances import AllowanceStore
from agent.store.runs import RunStore
from tests.sim.mutants_hunt import Patch, everywhere, mutant

_ANY = 10**15


def _of_a_key(scope: str) -> bool:
    return scope.startswith("key:")


@mutant(seeds=2000)
def key_not_taken(patch: Patch) -> None:
    """A key's sums are looked at and not taken from."""
    real = spending.take

    async def take(services: Services, run: Run, job_id: str, wanted: Sequence[Scope]) -> None:
        await real(services, run, job_id, [each for each in wanted if not _of_a_key(each.key)])

    everywhere(patch, real, "take", take)


@mutant(seeds=2000, first=1000)
def key_compared_in_memory(patch: Patch) -> None:
    """A key's sums are read, compared in memory, and added to."""
    real = AllowanceStore.take

    async def take(self: AllowanceStore, key: str, limit: int, job_id: str, run_id: ObjectId, amount: int) -> bool:
        there = (await self.read([key])).get(key) if _of_a_key(key) else None
        if there is not None and job_id not in there.open and there.committed + amount > limit:
            return False
        return amount <= limit and await real(self, key, _ANY if _of_a_key(key) else limit, job_id, run_id, amount)

    patch.setattr(AllowanceStore, "take", take)


@mutant(seeds=2000)
def key_forgotten(patch: Patch) -> None:
    """A run does not keep which key it was started with."""
    real = runs.start

    async def start(store: RunStore, world: World, order: Order, idempotency_key: str | None) -> Run:
        return await real(store, world, replace(order, key_id=None), idempotency_key)

    patch.setattr(runs, "start", start)


@mutant(seeds=2000)
def revoked_and_buying(patch: Patch) -> None:
    """A key that was revoked goes on to pay."""
    real = spending.limits_of

    async def limits_of(desk: LeasedRun, services: Services) -> Limits:
        key = await services.keys.find(desk.draft.key_id) if desk.draft.key_id else None
        return replace(services.settings.limits, key=key.limits) if key else await real(desk, services)

    everywhere(patch, real, "limits_of", limits_of)
