"""What an operator changes while money is out, what may not be registered, and who orders twice at once."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from agent.book.models import Run
from gpu_vendor_mock.catalog import WRONG_PAYEE
from tests.hostile.arena import QUOTED, Arena
from tests.hostile.liar import At, Canary, Liar
from tests.hostile.opening import an_arena
from tests.hostile.scripts import hung, raw

PAID = QUOTED["gpu_vendor_1"]


async def _with_a_payment_out(arena: Arena) -> Run:
    """A run that has paid and was not answered."""
    run = await arena.tick(await arena.start())
    (reservation,) = run.reservations.values()
    assert reservation.authorization is not None
    arena.clock.now += timedelta(seconds=100)
    return run


async def test_a_payee_changed_while_a_payment_is_out_is_not_paid_as_well() -> None:
    """Nothing is sent to the old payee again, nor signed for the new one while the old bytes may be cashed."""
    async with an_arena(faults="gpu_vendor_1:drop_after_payment*1") as arena:
        run = await _with_a_payment_out(arena)
        await arena.services.vendors.change("gpu_vendor_1", lambda vendor: replace(vendor, pay_to=WRONG_PAYEE))
        ended = await arena.finish(run)
        assert (ended.status, ended.budget_spent) == ("completed", PAID + QUOTED["gpu_vendor_2"])
        assert arena.moved("gpu_vendor_1") == PAID
        assert WRONG_PAYEE not in {settled.pay_to for settled in arena.journal.settlements}
        assert len([each for each in arena.journal.payments if each.vendor_id == "gpu_vendor_1"]) == 1
        assert "the vendor's payee is another one now" in [
            each.data.get("reason") for each in await arena.trail(ended)
        ]


async def test_an_endpoint_changed_while_a_payment_is_out_gets_nothing() -> None:
    """Whoever is there now may be somebody else: the payment's end is waited for, then it is written off."""
    async with (
        an_arena({At.PAYMENT: raw(b"")}, pace=100) as arena,
        Liar(arena.honest, arena.canary.url, {}) as moved,
    ):
        run = await _with_a_payment_out(arena)
        arena.known.add(moved.url)
        await arena.services.vendors.change("gpu_vendor_1", lambda vendor: replace(vendor, endpoint=moved.url))
        ended = await arena.finish(run)
        assert moved.seen.payments == set()
        assert (ended.status, ended.budget_spent) == ("completed", PAID + QUOTED["gpu_vendor_2"])
        assert "the vendor is at another place now" in [
            each.data.get("reason") for each in await arena.trail(ended)
        ]


async def test_an_endpoint_that_speaks_no_tls_gets_nothing() -> None:
    """https to a port where plain text is spoken: neither token nor payment has left."""
    async with an_arena() as arena, Canary() as plain:
        tls = plain.url.replace("http:", "https:")
        arena.known.add(tls)
        await arena.services.vendors.change("gpu_vendor_1", lambda vendor: replace(vendor, endpoint=tls))
        ended = await arena.finish(await arena.start())
        assert plain.heard >= 1
        assert (ended.status, ended.budget_spent) == ("completed", QUOTED["gpu_vendor_2"])
        assert "could not be reached" in await arena.told(ended)


async def test_the_first_payee_of_a_vendor_without_one_is_its_last() -> None:
    """Pinned at the first payment; the switch after it buys the vendor nothing, in this run and the next."""
    async with an_arena(faults="gpu_vendor_1:switch_payee", pinned=False) as arena:
        for _ in range(2):
            ended = await arena.finish(await arena.start())
            assert ended.status == "completed"
        assert arena.moved("gpu_vendor_1") == 0
        assert WRONG_PAYEE not in {settled.pay_to for settled in arena.journal.settlements}


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://127.0.0.1@evil.example",
        "https://user:pass@gpu.example",
        "http://127.0.0.1:4001\\@evil.example",
        "http://127.0.0.1\\.evil.example",
        "http://127.0.0.1.evil.example",
        "http://localhost.evil.example",
        "http://localhost%2eevil.example",
        "http://127.0.0.1%00.evil.example",
        "http://127.0.0.1.",
        "http://localhost.",
        "https://gpu.example.",
        "http://2130706433",
        "https://2130706433",
        "https://0x7f000001",
        "https://0x7f.1",
        "https://127.0x1",
        "http://0177.0.0.1",
        "https://0177.0.0.1",
        "https://127.1",
        "http://[::ffff:10.0.0.1]",
        "http://[::ffff:169.254.169.254]",
        "http://[::]",
        "http://0.0.0.0",
        "http://[fe80::1%25lo]",
        "http://①②⑦.0.0.1",
        "http://127。0。0。1",
        "http://169.254.169.254",
        "file:///etc/passwd",
        "gopher://127.0.0.1",
        "//127.0.0.1",
        "http://127.0.0.1:4001?x=",
        "http://127.0.0.1:4001#",
        "http://127.0.0.1:4001/\r\nHost: evil.example",
        "http://127.0.0.1:0x1",
        "http://127.0.0.1:-1",
    ],
)
async def test_a_host_that_is_not_what_it_seems_is_not_registered(endpoint: str) -> None:
    """Each is read in two ways by two programs, or would carry the token in the clear: refused, by field."""
    async with an_arena() as arena:
        body = {
            "vendorId": "v3",
            "name": "V",
            "endpoint": endpoint,
            "basePricePerHour": 1,
            "supportedGpuTypes": ["A"],
        }
        answer = await arena.api.post("/api/vendors", json=body)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
        assert [error["field"] for error in answer.json()["errors"]] == ["endpoint"]
        assert await arena.services.vendors.find("v3") is None
        changed = await arena.api.patch("/api/vendors/gpu_vendor_1", json={"endpoint": endpoint})
        assert changed.status_code == 422


async def test_the_same_order_twice_at_once_is_one_run() -> None:
    """Eight requests with one Idempotency-Key meet in the store: one run, and ticking it eightfold buys once."""
    async with an_arena() as arena:
        body = {"userId": "u1", "goal": "Fine-tune tiny-llm", "budgetTotal": 5}
        answers = await asyncio.gather(
            *(arena.api.post("/api/agent-start", json=body, headers={"Idempotency-Key": "k"}) for _ in range(8))
        )
        assert {answer.status_code for answer in answers} == {201}
        (run_id,) = {answer.json()["_id"] for answer in answers}
        ticks = await asyncio.gather(
            *(arena.api.post("/api/agent-tick", json={"runId": run_id}) for _ in range(8))
        )
        assert sorted({tick.status_code for tick in ticks}) == [200, 409]
        assert len(arena.journal.settlements) == len(arena.journal.jobs) == 1


async def test_two_orders_at_once_under_one_key_are_one_run_and_one_refusal() -> None:
    """Whichever comes first is the run; the other one is told so and starts nothing."""
    async with an_arena() as arena:
        answers = await asyncio.gather(
            *(
                arena.api.post(
                    "/api/agent-start",
                    json={"userId": "u1", "goal": "Fine-tune tiny-llm", "budgetTotal": budget},
                    headers={"Idempotency-Key": "k"},
                )
                for budget in (5, 6)
            )
        )
        assert sorted(answer.status_code for answer in answers) == [201, 409]
        assert len((await arena.services.runs.page(10)).runs) == 1


async def test_a_vendor_that_is_silent_when_it_is_paid_does_not_stop_a_cancel() -> None:
    """The money that is out is waited for, then the run is cancelled; nothing else is bought."""
    async with an_arena({At.PAYMENT: hung()}, patience={At.PAYMENT: 1.0}, pace=400) as arena:
        run = await _with_a_payment_out(arena)
        await arena.services.runs.request_cancel(run.id)
        ended = await arena.finish(run)
        assert (ended.status, ended.budget_spent, arena.moved("gpu_vendor_2")) == ("cancelled", PAID, 0)
