"""What the core relies on in the vendor registry."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from bson import ObjectId

from agent.book.errors import VendorExists, VendorNotFound
from agent.book.models import Outcome
from agent.store.collections import Database
from agent.store.vendors import VendorStore
from tests.agent.builders import NOW
from tests.agent.killing import Reaper, WatchedDatabase
from vendors.models import Vendor

VENDOR = Vendor(
    vendor_id="gpu_vendor_1",
    name="GPU Vendor One",
    endpoint="http://127.0.0.1:4001",
    base_price_per_hour=1_400_000,
    reliability_score=0.9,
    reliability_prior=0.9,
    supported_gpu_types=("A100", "H100"),
    pay_to=None,
    secret_ref="GPU_VENDOR_SECRET",
    created_at=NOW,
)


@pytest.fixture
async def store(database: Database) -> VendorStore:
    """A registry with one vendor."""
    store = VendorStore(database)
    await store.add(VENDOR)
    return store


def outcome(job: ObjectId, *, completed: bool) -> Outcome:
    return Outcome(vendor_id="gpu_vendor_1", run_id=ObjectId(), job_id=job, completed=completed, at=NOW)


async def test_a_vendor_comes_back_as_it_was_registered(store: VendorStore) -> None:
    """One by one and in the list, which is by id."""
    other = replace(VENDOR, vendor_id="a_vendor")
    await store.add(other)

    assert await store.find("gpu_vendor_1") == VENDOR
    assert await store.list() == [other, VENDOR]
    assert await store.find("nobody") is None


async def test_an_id_is_taken_once(store: VendorStore) -> None:
    """A second registration does not replace the first."""
    with pytest.raises(VendorExists):
        await store.add(replace(VENDOR, name="Impostor"))

    assert await store.list() == [VENDOR]


async def test_what_is_not_there_cannot_be_changed_or_removed(store: VendorStore) -> None:
    """By its own error; what is there is removed once."""
    await store.remove("gpu_vendor_1")

    with pytest.raises(VendorNotFound):
        await store.remove("gpu_vendor_1")
    with pytest.raises(VendorNotFound):
        await store.change("gpu_vendor_1", lambda vendor: vendor)


async def test_an_outcome_moves_the_score_once(store: VendorStore) -> None:
    """Told twice, counted once; the evidence names run and job."""
    job = ObjectId()
    await store.learn(outcome(job, completed=False))
    await store.learn(outcome(job, completed=False))

    vendor = await store.find("gpu_vendor_1")

    assert vendor is not None
    assert (vendor.record.completed, vendor.record.failed) == (0, 1)
    assert vendor.reliability_score < VENDOR.reliability_score
    assert [str(job)] == [each.job_id for each in vendor.record.evidence]


async def test_outcomes_of_a_whole_round_are_all_counted(database: Database, store: VendorStore) -> None:
    """A vendor that goes down ends the jobs of many runs in one moment: none of their ticks fails for that."""
    crowd = VendorStore(WatchedDatabase(database, Reaper()))

    await asyncio.gather(*(crowd.learn(outcome(ObjectId(), completed=False)) for _ in range(60)))

    found = await store.find("gpu_vendor_1")
    assert found is not None
    assert found.record.failed == 60


async def test_outcomes_told_at_once_are_all_counted(store: VendorStore) -> None:
    """A write that lost against another is made again on what is there by then."""
    await asyncio.gather(*(store.learn(outcome(ObjectId(), completed=True)) for _ in range(8)))

    vendor = await store.find("gpu_vendor_1")

    assert vendor is not None
    assert vendor.record.completed == 8


async def test_a_vendor_that_is_gone_learns_nothing(store: VendorStore) -> None:
    """Its last job may end after it was struck off."""
    await store.remove("gpu_vendor_1")

    await store.learn(outcome(ObjectId(), completed=True))

    assert await store.list() == []


async def test_the_first_payee_stays(store: VendorStore) -> None:
    """Pinned once, another one asking later gets the first one's address back."""
    first, second = "0x" + "11" * 20, "0x" + "22" * 20

    assert await store.pin_payee("gpu_vendor_1", first) == first
    assert await store.pin_payee("gpu_vendor_1", second) == first
