"""Lists of whom and with what may be paid: who is not on one gets neither money nor an order."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.process.settings import Settings
from gpu_vendor_mock.catalog import DEFAULT_CATALOG
from tests.agent.limited import SECOND, codes, paid, reserved_only
from tests.agent.stage import a_stage
from x402.networks import default_asset


async def test_who_is_not_on_a_list_is_not_asked_for_anything() -> None:
    """No quote, no order, no bearer token: the planner is told why, and the run ends saying so."""
    stage = await a_stage(settings={"allowed_hosts": "gpu.example"})
    run = await stage.start()

    ended = await stage.finish(run)

    assert ended.failure is not None
    assert "ALLOWED_HOSTS" in ended.failure.message
    assert await stage.jobs(run) == []


async def test_only_payees_on_the_list_are_paid() -> None:
    """The first vendor is not on it, the second is."""
    second = DEFAULT_CATALOG[1].pay_to
    assert second is not None
    stage = await a_stage(settings={"allowed_payees": second})

    ended = await stage.finish(await stage.start())

    assert (ended.status, paid(stage)) == ("completed", [SECOND])


async def test_a_payee_that_a_vendor_names_first_must_be_on_the_list_too() -> None:
    """Otherwise it is neither pinned nor paid."""
    stage = await a_stage(settings={"allowed_payees": "0x" + "11" * 20}, pinned=False)
    run = await stage.start()

    await stage.tick(run)

    assert await codes(stage, run) == ["offer_refused"]
    vendor = await stage.services.vendors.find("gpu_vendor_1")
    assert vendor is not None
    assert vendor.pay_to is None


async def test_a_vendor_without_a_payee_is_never_paid_where_that_is_the_rule() -> None:
    """FIRST_SEEN_PAYEE=refuse."""
    stage = await a_stage(settings={"first_seen_payee": "refuse"}, pinned=False)
    run = await stage.start()

    ended = await stage.finish(run)

    assert ended.failure is not None
    assert "FIRST_SEEN_PAYEE" in ended.failure.message
    assert stage.record.payments == []


@pytest.mark.parametrize("listed", [True, False])
async def test_only_tokens_on_the_list_are_paid_with(listed: bool) -> None:
    """By address, however it is spelled."""
    token = default_asset("eip155:84532")
    assert token is not None
    stage = await a_stage(settings={"allowed_assets": token.address.lower() if listed else "0x" + "22" * 20})
    run = await stage.start(constraints={"vendor_ids": ("gpu_vendor_1",)})

    await stage.tick(run)

    assert await codes(stage, run) == ([None] if listed else ["offer_refused"])
    assert len(stage.record.payments) == (1 if listed else 0)


async def test_a_vendor_that_is_barred_after_it_was_chosen_gets_nothing() -> None:
    """The money that was set aside is free again."""
    stage = await a_stage()
    run = await reserved_only(stage)
    stage.services = replace(stage.services, settings=Settings.model_validate({"allowed_hosts": "gpu.example"}))

    await stage.tick(run)

    assert await codes(stage, run) == ["vendor_barred"]
    assert (await stage.stored(run)).budget_reserved == 0
