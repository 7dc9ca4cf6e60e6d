"""Whoever stops a run, or corrects the registry, has the last word: it is heard right before money moves."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

import httpx
import pytest

from agent.book.models import Run
from agent.intake import runs
from agent.process.settings import Settings
from tests.agent.chain import LedgerChain
from tests.agent.killing import Killed, Reaper
from tests.agent.stage import START, Stage, a_stage
from x402.chain.ports import Block

OTHER = "0x90F79bf6EB2c4f870365E785982E1f101E93b906"
Order = Callable[[Stage, Run], Awaitable[object]]


async def cancelled(stage: Stage, run: Run) -> object:
    return await runs.cancel(stage.services, run.id)


async def removed(stage: Stage, _: Run) -> object:
    await stage.services.vendors.remove("gpu_vendor_1")
    return "removed"


async def paid_elsewhere(stage: Stage, _: Run) -> object:
    return await stage.services.vendors.change("gpu_vendor_1", lambda each: replace(each, pay_to=OTHER))


async def moved(stage: Stage, _: Run) -> object:
    return await stage.services.vendors.change(
        "gpu_vendor_1", lambda each: replace(each, endpoint="https://elsewhere.example")
    )


async def too_late(stage: Stage, _: Run) -> object:
    stage.clock.pass_(130)
    return stage.clock.now


ORDERS = {
    "cancelled": cancelled,
    "removed": removed,
    "paid elsewhere": paid_elsewhere,
    "moved": moved,
    "deadline": too_late,
}


def soon_over(name: str) -> dict[str, object]:
    """Constraints of a run that has little time, where that is what stops it."""
    return {"deadline": START + timedelta(minutes=2), "max_hours": 0.01} if name == "deadline" else {}


def between_the_402_and_the_signature(stage: Stage, run: Run, order: Order) -> None:
    """Give the order while the vendor is being asked."""
    given: list[object] = []
    inner = stage.transport.handle_async_request

    async def held(request: httpx.Request) -> httpx.Response:
        answer = await inner(request)
        if answer.status_code == 402 and not given:
            given.append(await order(stage, run))
        return answer

    stage.transport.handle_async_request = held  # type: ignore[method-assign]  # a vendor that takes its time


@pytest.mark.parametrize("name", ORDERS)
async def test_nothing_is_signed_after_an_order_to_stop(name: str) -> None:
    """Though the vendor asked for its payment before; the money is free again and nobody is blamed."""
    stage = await a_stage()
    run = await stage.start(constraints=soon_over(name))
    between_the_402_and_the_signature(stage, run, ORDERS[name])

    after = (await stage.tick(run)).run

    assert (stage.record.payments, after.reservations, after.budget_spent) == ([], {}, 0)
    assert [each.record.failed for each in await stage.services.vendors.list()] in ([0, 0], [0])


@pytest.mark.parametrize("name", ORDERS)
async def test_what_is_signed_is_not_sent_again_after_an_order_to_stop(name: str) -> None:
    """The money stays reserved until the authorization can no longer be cashed, and the trail says why."""
    stage = await a_stage("gpu_vendor_1:drop_before_payment*1")
    run = await stage.start(constraints=soon_over(name))
    await stage.tick(run)
    assert len(stage.record.payments) == 1

    await ORDERS[name](stage, run)
    if name != "cancelled":  # which ticks by itself
        await stage.tick(run)
    (reservation,) = (await stage.stored(run)).reservations.values()

    assert len(stage.record.payments) == 1
    assert reservation.held is not None
    assert reservation.held in [each.data.get("reason") for each in await stage.trail(run)]


@pytest.mark.parametrize(
    ("setting", "value", "why"),
    [
        ("max_per_payment", "1", "above the limit"),
        ("allowed_payees", OTHER, "ALLOWED_PAYEES"),
        ("allowed_hosts", "gpu.example", "ALLOWED_HOSTS"),
        ("allowed_assets", OTHER, "asset"),
        ("x402_networks", "eip155:8453", "network"),
    ],
)
async def test_what_is_signed_is_not_sent_again_beyond_the_limits_of_now(
    setting: str, value: str, why: str
) -> None:
    """The process starts again with settings that would not let it sign this: `purser pay` does the same."""
    stage = await a_stage("gpu_vendor_1:drop_before_payment*1")
    run = await stage.start()
    await stage.tick(run)

    stage.services = replace(stage.services, settings=Settings.model_validate({setting: value}))
    stage.clock.pass_(30)
    await stage.tick(run)
    (reservation,) = (await stage.stored(run)).reservations.values()

    assert (len(stage.record.payments), reservation.held is not None) == (1, True)
    assert why in str(reservation.held)


async def test_what_was_stopped_counts_as_spent_in_the_end_and_blames_nobody() -> None:
    stage = await a_stage("gpu_vendor_1:drop_before_payment*1")
    run = await stage.start()
    await stage.tick(run)
    await runs.cancel(stage.services, run.id)

    ended = await stage.finish(run)

    assert (ended.status, ended.budget_spent, stage.record.settlements) == ("cancelled", 1_400_000, [])
    assert [each.status for each in await stage.payments(run)] == ["unresolved"]
    assert [each.record.failed for each in await stage.services.vendors.list()] == [0, 0]


async def test_nothing_is_paid_after_the_deadline_by_whoever_finds_the_reservation() -> None:
    """A process dies after it has set money aside; the next one comes when the run's time is over."""
    reaper = Reaper()
    stage = await a_stage(watcher=reaper)
    run = await stage.start(constraints={"max_hours": 0.01, "deadline": START + timedelta(seconds=50)})
    reaper.kill_at("POST /submit-job", after=False)
    with pytest.raises(Killed):
        await stage.tick(run)
    reaper.kill_at(None, after=False)
    stage.clock.pass_(60)

    ended = await stage.finish(run)

    assert ended.failure is not None
    assert (ended.failure.code, ended.budget_spent, stage.record.payments) == ("deadline_passed", 0, [])


async def test_an_order_given_while_the_chain_is_asked_about_its_time_is_heard() -> None:
    """Nothing is awaited between the last look and the signature."""
    stage = await a_stage()
    chain = LedgerChain(stage.chain, stage.clock.unix)
    stage.services = replace(stage.services, chains={"eip155:84532": chain})
    run = await stage.start()
    inner = chain.head

    async def slow() -> Block:
        await cancelled(stage, run)
        return await inner()

    chain.head = slow  # type: ignore[method-assign]  # a node that takes its time
    await stage.tick(run)

    assert stage.record.payments == []


async def test_the_case_of_an_address_and_a_slash_are_no_change() -> None:
    """The same payee at the same place, spelt otherwise, is paid as before."""
    stage = await a_stage()
    run = await stage.start()

    async def respelt(stage: Stage, _: Run) -> object:
        return await stage.services.vendors.change(
            "gpu_vendor_1",
            lambda each: replace(each, pay_to=str(each.pay_to).lower(), endpoint=f"{each.endpoint}/"),
        )

    between_the_402_and_the_signature(stage, run, respelt)
    assert (await stage.tick(run)).message == "Job started"


async def test_a_payee_that_the_operator_names_for_a_vendor_without_one_is_the_only_one() -> None:
    """Also when the vendor has named another meanwhile."""
    stage = await a_stage(pinned=False)
    run = await stage.start()
    between_the_402_and_the_signature(stage, run, paid_elsewhere)

    await stage.tick(run)

    assert stage.record.payments == []
