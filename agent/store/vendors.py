"""The vendor registry: who may be rented from, whom to pay, and what their record is.

A vendor's document is replaced only where its `rev` is still the one that was read, so no outcome and no pinned
payee is lost to a write that came in between.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from agent.book.errors import StoreUnavailable, VendorExists, VendorNotFound
from agent.book.models import Outcome
from agent.store.collections import Bson, Collection, Database, DuplicateId
from vendors.errors import InvalidVendor
from vendors.models import Evidence, Record, UserShare, Vendor, Vote
from vendors.reliability import heard, learn, user_hash

__all__ = ["MAX_VENDORS", "VendorStore"]

MAX_VENDORS: Final = 100
"""Vendors that are listed, and shown to a planner, at the most."""

_log = logging.getLogger(__name__)

_TRIES: Final = 20
"""Writes in a row that may lose against others before the store counts as away."""

_LONGEST_PAUSE: Final = 2_048
"""Milliseconds, at the most, between two of them: a round may bring one vendor hundreds of outcomes at once."""


class VendorStore:
    """The vendors of one database."""

    def __init__(self, database: Database, below: Callable[[int], int] = secrets.randbelow) -> None:
        """Nothing is opened before the first operation. `below` as in `World`."""
        self._database = database
        self._below = below

    async def list(self) -> list[Vendor]:
        """All vendors that may be used, by id."""
        vendors = []
        for found in await self._vendors.find({}, [("_id", 1)], MAX_VENDORS):
            try:
                vendors.append(_vendor(found))
            except InvalidVendor as exc:  # one bad entry must not stop the rest
                _log.warning("vendor %s is not used: %s", found["_id"], exc)
        return vendors

    async def find(self, vendor_id: str) -> Vendor | None:
        """The vendor, if it is registered.

        Raises:
            InvalidVendor: it is, with something that we must not use.
        """
        found = await self._vendors.find_one({"_id": vendor_id})
        return None if found is None else _vendor(found)

    async def sealed_ids(self, after: str) -> Sequence[str]:
        """Ids of vendors with a sealed secret, those behind `after` in their order, `MAX_VENDORS` at the most."""
        where = {"_id": {"$gt": after}, "sealedSecret": {"$gt": ""}}
        return [found["_id"] for found in await self._vendors.find(where, [("_id", 1)], MAX_VENDORS)]

    async def add(self, vendor: Vendor) -> None:
        """Register a vendor.

        Raises:
            VendorExists: the id is taken.
        """
        try:
            await self._vendors.insert(_document(vendor))
        except DuplicateId:
            raise VendorExists(vendor.vendor_id) from None

    async def remove(self, vendor_id: str) -> None:
        """Strike a vendor off. Runs that owe it an answer keep what they know of it.

        Raises:
            VendorNotFound: there is none with that id.
        """
        if not await self._vendors.delete({"_id": vendor_id}):
            raise VendorNotFound(vendor_id)

    async def change(self, vendor_id: str, edit: Callable[[Vendor], Vendor]) -> Vendor:
        """Replace a vendor by `edit` of itself, again if it was written meanwhile; return what is stored then.

        Raises:
            VendorNotFound: there is none with that id.
        """
        for tried in range(_TRIES):
            before = await self.find(vendor_id)
            if before is None:
                raise VendorNotFound(vendor_id)
            after = edit(before)
            if after == before:
                return before
            after = replace(after, rev=before.rev + 1)
            where = {"_id": vendor_id, "rev": before.rev}
            if await self._vendors.replace(where, _document(after), upsert=False):
                return after
            await asyncio.sleep(self._below(min(2**tried, _LONGEST_PAUSE)) / 1_000)
        raise StoreUnavailable(f"vendor {vendor_id} is written to all the time; try again")

    async def pin_payee(self, vendor_id: str, pay_to: str) -> str:
        """Fix the payee of a vendor that has none yet; return the one that it has."""
        pinned = await self.change(vendor_id, lambda vendor: replace(vendor, pay_to=vendor.pay_to or pay_to))
        return pinned.pay_to or pay_to

    async def learn(self, outcome: Outcome) -> None:
        """Let one outcome move the vendor's score, once. A vendor that is gone, or unusable, learns nothing."""
        user = user_hash(outcome.user_id) if outcome.user_id else ""
        evidence = Evidence(
            job_id=str(outcome.job_id),
            run_id=str(outcome.run_id),
            outcome="completed" if outcome.completed else "failed",
            at=outcome.at,
        )
        try:
            await self.change(outcome.vendor_id, lambda vendor: learn(vendor, evidence, user))
        except (VendorNotFound, InvalidVendor):
            return

    async def hear(self, vendor_id: str, vote: Vote) -> Vendor:
        """Let a user's vote move the vendor's score.

        Raises:
            VendorNotFound: there is none with that id.
        """
        return await self.change(vendor_id, lambda vendor: heard(vendor, vote))

    @property
    def _vendors(self) -> Collection:
        return self._database.collection("vendors")


def _document(vendor: Vendor) -> Bson:
    return {
        "_id": vendor.vendor_id,
        "vendorId": vendor.vendor_id,
        "name": vendor.name,
        "endpoint": vendor.endpoint,
        "basePricePerHour": vendor.base_price_per_hour,
        "reliabilityScore": vendor.reliability_score,
        "reliabilityPrior": vendor.reliability_prior,
        "supportedGpuTypes": list(vendor.supported_gpu_types),
        "payTo": vendor.pay_to,
        "formerPayTo": vendor.former_pay_to,
        "secretRef": vendor.secret_ref,
        "sealedSecret": vendor.sealed_secret,
        "completed": vendor.record.completed,
        "failed": vendor.record.failed,
        "evidence": [
            {"jobId": each.job_id, "runId": each.run_id, "outcome": each.outcome, "at": each.at}
            for each in vendor.record.evidence
        ],
        "shares": [
            {"user": each.user, "completed": each.completed, "failed": each.failed}
            for each in vendor.record.shares
        ],
        "votes": [
            {"user": each.user, "runId": each.run_id, "score": each.score, "at": each.at}
            for each in vendor.record.votes
        ],
        "allowTxId": vendor.allow_tx_id,
        "createdAt": vendor.created_at,
        "rev": vendor.rev,
    }


def _vendor(found: Bson) -> Vendor:
    return Vendor(
        vendor_id=found["vendorId"],
        name=found["name"],
        endpoint=found["endpoint"],
        base_price_per_hour=found["basePricePerHour"],
        reliability_score=found["reliabilityScore"],
        reliability_prior=found["reliabilityPrior"],
        supported_gpu_types=tuple(found["supportedGpuTypes"]),
        pay_to=found["payTo"],
        former_pay_to=found.get("formerPayTo"),  # older documents have none
        allow_tx_id=found.get("allowTxId", False),
        secret_ref=found["secretRef"],
        sealed_secret=found.get("sealedSecret"),  # older documents have none
        created_at=found["createdAt"],
        record=Record(
            completed=found["completed"],
            failed=found["failed"],
            evidence=tuple(
                Evidence(job_id=each["jobId"], run_id=each["runId"], outcome=each["outcome"], at=each["at"])
                for each in found["evidence"]
            ),
            shares=tuple(
                UserShare(each["user"], each["completed"], each["failed"]) for each in found.get("shares", ())
            ),
            votes=tuple(
                Vote(each["user"], each["runId"], each["score"], each["at"]) for each in found.get("votes", ())
            ),
        ),
        rev=found["rev"],
    )
