"""Where vendors' tokens come from when they are called, and what becomes of a run where they do not."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from agent.book.errors import ConfigurationError
from agent.process.settings import Settings
from agent.secrets.sealing import Seals
from agent.secrets.vendor_secrets import token_of
from tests.agent.stage import Stage, a_stage
from tests.agent.store.test_vendors import VENDOR
from vendors.models import Vendor

OLD, NEW = bytes(range(32)), bytes(range(1, 33))
TOKEN = "mock-vendor-secret"


def sealed(key: bytes, vendor: Vendor, secret: str = TOKEN) -> Vendor:
    """The vendor with its token in the registry."""
    return replace(vendor, secret_ref=None, sealed_secret=Seals((key,)).seal(secret, vendor.token_for))


async def a_stage_with_a_sealed_secret(*keys: bytes, faults: str = "") -> Stage:
    """The first vendor's token is sealed with the old key; the process holds `keys`."""
    settings: dict[str, object] = {"sealing_keys": ",".join(key.hex() for key in keys)} if keys else {}
    stage = await a_stage(faults, settings=settings)
    await stage.services.vendors.change("gpu_vendor_1", partial(sealed, OLD))
    return stage


@pytest.mark.parametrize("keys", [(OLD,), (NEW, OLD)])
async def test_a_run_pays_a_vendor_whose_token_is_sealed(keys: tuple[bytes, ...]) -> None:
    """As any other; and the token is nowhere in what the run leaves behind."""
    stage = await a_stage_with_a_sealed_secret(*keys)
    run = await stage.finish(await stage.start())
    assert run.status == "completed"
    assert [job.vendor_id for job in await stage.jobs(run)] == ["gpu_vendor_1"]
    assert TOKEN not in str([entry.to_document() for entry in await stage.trail(run)])


@pytest.mark.parametrize("keys", [(), (NEW,)])
async def test_a_vendor_whose_secret_does_not_open_is_passed_over(keys: tuple[bytes, ...]) -> None:
    """The trail says why and what to do, another vendor is used, and its record stays clean."""
    stage = await a_stage_with_a_sealed_secret(*keys)
    run = await stage.finish(await stage.start())
    first, second = await stage.jobs(run)
    assert (run.status, second.vendor_id) == ("completed", "gpu_vendor_2")
    assert first.failure is not None
    assert first.failure.code == "quote_failed"
    assert "sealed secret of gpu_vendor_1 cannot be opened: it was sealed with key" in first.failure.message
    assert "SEALING_KEYS" in first.failure.message
    vendor = await stage.services.vendors.find("gpu_vendor_1")
    assert vendor is not None
    assert vendor.record.failed == 0


async def test_a_secret_that_stops_opening_while_money_is_out_loses_none() -> None:
    """The payment stays open and is sent again when the key is back: the same bytes, paid once."""
    stage = await a_stage_with_a_sealed_secret(OLD, faults="gpu_vendor_1:drop_after_payment*1")
    run = await stage.start()
    await stage.tick(run)
    for key, reserved in ((NEW, 1_400_000), (OLD, 0)):
        await stage.services.vendors.change("gpu_vendor_1", partial(sealed, key))
        stage.clock.pass_(20)
        assert (await stage.tick(run)).run.budget_reserved == reserved
    assert "cannot be opened" in str([entry.content for entry in await stage.trail(run)])
    assert len({each["sha256"] for each in (await stage.journal())["payments"]}) == 1
    assert (await stage.finish(run)).budget_spent == 1_400_000


@pytest.mark.parametrize(
    "change", [{"vendor_id": "evil"}, {"endpoint": "https://evil.example"}, {"endpoint": "http://127.0.0.1:4999"}]
)
def test_a_sealed_secret_of_another_vendor_is_refused(change: dict[str, Any]) -> None:
    """Whoever moves it in the database, or the vendor to an address of his own, gets it nowhere."""
    settings = Settings.model_validate({"sealing_keys": OLD.hex()})
    stolen = replace(sealed(OLD, VENDOR), **change)
    with pytest.raises(ConfigurationError, match="another vendor"):
        token_of(settings, stolen)


@pytest.mark.parametrize("vendor", [VENDOR, sealed(OLD, VENDOR)], ids=["variable", "sealed"])
def test_no_token_goes_to_a_host_that_is_not_allowed(vendor: Vendor) -> None:
    """Also not where only a job is asked after: whoever may change endpoints would have it sent to himself."""
    settings = Settings.model_validate({"sealing_keys": OLD.hex(), "allowed_hosts": "gamma.example"})
    with pytest.raises(ConfigurationError, match="ALLOWED_HOSTS"):
        token_of(settings, vendor)


def test_a_sealed_secret_does_not_show() -> None:
    """Not in the vendor's repr, sealed or open."""
    vendor = sealed(OLD, VENDOR)
    assert str(vendor.sealed_secret) not in repr(vendor)
    assert TOKEN not in repr(vendor)
