"""What a change of the sealing keys does to the secrets in the registry, on memory and on a server."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.secrets.sealing import Seals
from agent.secrets.vendor_secrets import Resealed, reseal
from agent.store.collections import Database
from agent.store.vendors import MAX_VENDORS, VendorStore
from tests.agent.secrets.test_vendor_secrets import NEW, OLD, TOKEN, sealed
from tests.agent.store.test_vendors import VENDOR
from vendors.models import Vendor


@pytest.fixture
async def store(database: Database) -> VendorStore:
    """Three vendors: sealed with the old key, with the new one, and a variable."""
    store = VendorStore(database)
    await store.add(sealed(OLD, replace(VENDOR, vendor_id="a")))
    await store.add(sealed(NEW, replace(VENDOR, vendor_id="b")))
    await store.add(replace(VENDOR, vendor_id="c"))
    return store


async def test_a_rotation_seals_what_the_first_key_has_not_sealed(store: VendorStore) -> None:
    """Then the old key may go. Once more, and there is nothing left to do."""
    seals = Seals((NEW, OLD))
    assert await reseal(store, seals) == Resealed(1, 1, {})
    assert await reseal(store, seals) == Resealed(0, 2, {})
    for vendor_id in ("a", "b"):
        vendor = await store.find(vendor_id)
        assert vendor is not None
        assert Seals((NEW,)).open(vendor.sealed_secret or "", vendor.token_for) == TOKEN
    assert await store.find("c") == replace(VENDOR, vendor_id="c")


async def test_a_rotation_names_what_it_cannot_open(store: VendorStore) -> None:
    """And leaves it as it is; the others are sealed all the same."""
    await store.add(sealed(bytes(32), replace(VENDOR, vendor_id="_lost")))
    before = await store.find("_lost")
    done = await reseal(store, Seals((NEW, OLD)))
    assert (done.resealed, done.current, [*done.failed]) == (1, 1, ["_lost"])
    assert "does not hold" in done.failed["_lost"]
    assert await store.find("_lost") == before
    assert [*(await reseal(store, Seals(()))).failed] == ["_lost", "a", "b"]


async def test_a_rotation_reaches_every_vendor(database: Database) -> None:
    """Beyond those that a list shows."""
    store = VendorStore(database)
    for number in range(MAX_VENDORS + 3):
        await store.add(sealed(OLD, replace(VENDOR, vendor_id=f"v{number}")))
    assert await reseal(store, Seals((NEW, OLD))) == Resealed(MAX_VENDORS + 3, 0, {})


class Meddling(VendorStore):
    """A registry in which somebody writes to `a` between a read and the write that follows it, once."""

    def __init__(self, database: Database, to: Vendor | None) -> None:
        super().__init__(database)
        self._others, self._to = VendorStore(database), to
        self._done = False

    async def find(self, vendor_id: str) -> Vendor | None:
        found = await super().find(vendor_id)
        if vendor_id == "a" and not self._done:
            self._done = True
            if self._to is None:
                await self._others.remove("a")
            else:
                given = self._to
                await self._others.change("a", lambda vendor: replace(given, rev=vendor.rev))
        return found


@pytest.mark.parametrize("secret", ["another-token", None])
async def test_a_rotation_undoes_nothing_that_is_written_meanwhile(
    database: Database, store: VendorStore, secret: str | None
) -> None:
    """A new secret, or a variable in its place, stays what somebody else has just made it."""
    renamed = replace(VENDOR, vendor_id="a", name="Renamed")
    given = renamed if secret is None else sealed(OLD, renamed, secret)
    done = await reseal(Meddling(database, given), Seals((NEW, OLD)))
    assert done == (Resealed(0, 2, {}) if secret is None else Resealed(1, 1, {}))
    vendor = await store.find("a")
    assert vendor is not None
    assert vendor.name == "Renamed"
    if secret is None:
        assert (vendor.secret_ref, vendor.sealed_secret) == ("GPU_VENDOR_SECRET", None)
    else:
        assert Seals((NEW,)).open(vendor.sealed_secret or "", vendor.token_for) == secret


async def test_a_vendor_that_is_removed_meanwhile_stays_removed(database: Database, store: VendorStore) -> None:
    """And does not stop the others."""
    assert await reseal(Meddling(database, None), Seals((NEW, OLD))) == Resealed(0, 1, {})
    assert await store.find("a") is None
