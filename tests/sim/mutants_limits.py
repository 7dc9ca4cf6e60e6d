"""Faults in limits that span runs: what is not counted, counted too late, or given back although it was spent."""

from __future__ import annotations

from dataclasses import replace

from bson import ObjectId

from agent.book.models import Closing, Outbox, Run
from agent.engine import purchase, spending
from agent.engine.leased import LeasedRun
from agent.engine.services import Services
from agent.store.allowances import AllowanceStore
from agent.store.runs import RunStore
from tests.sim.mutants_hunt import Patch, mutant
from vendors.models import Vendor
from x402.wire import Challenge, PaymentHeader

_ANY = 10**15


async def _uncounted(*_: object) -> None:
    """In place of taking."""


@mutant(seeds=2000)
def no_condition(patch: Patch) -> None:
    """A sum is taken from whatever its limit is."""
    real = AllowanceStore.take

    async def take(self: AllowanceStore, key: str, limit: int, job_id: str, run_id: ObjectId, amount: int) -> bool:
        return await real(self, key, _ANY, job_id, run_id, amount)

    patch.setattr(AllowanceStore, "take", take)


@mutant(seeds=2000)
def compared_in_memory(patch: Patch) -> None:
    """A sum is read, compared in memory, and added to."""
    real = AllowanceStore.take

    async def take(self: AllowanceStore, key: str, limit: int, job_id: str, run_id: ObjectId, amount: int) -> bool:
        there = (await self.read([key])).get(key)
        if there is not None and job_id not in there.open and there.committed + amount > limit:
            return False
        return amount <= limit and await real(self, key, _ANY, job_id, run_id, amount)

    patch.setattr(AllowanceStore, "take", take)


@mutant(seeds=2000)
def never_taken(patch: Patch) -> None:
    """A purchase is planned within limits and counted nowhere."""
    patch.setattr(purchase, "take", _uncounted)


@mutant(seeds=2000)
def taken_after_signing(patch: Patch) -> None:
    """A purchase is counted once it is signed."""
    real = purchase._authorize

    async def authorize(
        desk: LeasedRun, services: Services, vendor: Vendor, job_id: str, challenge: Challenge
    ) -> PaymentHeader:
        header = await real(desk, services, vendor, job_id, challenge)
        at, limits = desk.draft.reservations[job_id].created_at, await spending.limits_of(desk, services)
        wanted = spending.scopes_of(services, limits, vendor.vendor_id, at)
        await spending.take(services, desk.draft, job_id, wanted)
        return header

    patch.setattr(purchase, "take", _uncounted)
    patch.setattr(purchase, "_authorize", authorize)


@mutant(seeds=2000)
def given_back_whole(patch: Patch) -> None:
    """What was spent is given back when the purchase is over."""
    real = AllowanceStore.close

    async def close(self: AllowanceStore, closing: Closing) -> None:
        await real(self, closing.model_copy(update={"spent": 0}))

    patch.setattr(AllowanceStore, "close", close)


@mutant(seeds=2000)
def swept_alive(patch: Patch) -> None:
    """What is open is swept away, alive or not."""

    async def sweep(services: Services, key: str) -> bool:
        taken = (await services.allowances.read([key])).get(key)
        for job_id, entry in taken.open.items() if taken else ():
            whole = Closing(job_id=ObjectId(job_id), scopes=(key,), amount=entry.amount, spent=0)
            await services.allowances.close(whole)
        return True

    patch.setattr(spending, "_sweep", sweep)


class _Forgetful(RunStore):
    """Runs as they are without what they have yet to tell."""

    async def get(self, run_id: ObjectId, user_id: str | None = None) -> Run:
        return (await super().get(run_id, user_id)).model_copy(update={"outbox": Outbox()})


@mutant(seeds=2000)
def swept_untold(patch: Patch) -> None:
    """What is over and not told yet is swept away as if nothing had been spent."""
    real = spending._sweep

    async def sweep(services: Services, key: str) -> bool:
        return await real(replace(services, runs=_Forgetful(services.runs._database)), key)

    patch.setattr(spending, "_sweep", sweep)
