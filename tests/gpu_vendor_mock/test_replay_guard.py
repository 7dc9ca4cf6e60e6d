"""The replay guard when requests come all at once.

Books are judged by this vendor's journal, so whatever arrives in whatever order, one key buys one job, one nonce
is paid once, and no job runs without its settlement. The facilitator here gives way to the other requests in the
middle of each call, a number of times drawn from a seed, so each seed is another interleaving.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Mapping

import httpx
import pytest

from tests.gpu_vendor_mock.conftest import OpenShop
from tests.gpu_vendor_mock.support import (
    Buyer,
    Clock,
    Vendor,
    as_version_1,
    dig,
    low_v,
    respelled,
    text,
)
from x402.selling.facilitator import Kind, Verdict
from x402.selling.offline import MemoryLedger, OfflineFacilitator
from x402.wire import Offer, Payment, Receipt

_SEEDS = range(12)


class _GivingWay:
    """An honest facilitator that takes its time: others run before and after each step."""

    def __init__(self, clock: Clock, seed: int) -> None:
        self.ledger = MemoryLedger()
        self._real = OfflineFacilitator(self.ledger, clock)
        self._random = random.Random(seed)

    async def verify(self, payment: Payment, offer: Offer) -> Verdict:
        await self._give_way()
        verdict = await self._real.verify(payment, offer)
        await self._give_way()
        return verdict

    async def settle(self, payment: Payment, offer: Offer) -> Receipt:
        await self._give_way()
        receipt = await self._real.settle(payment, offer)
        await self._give_way()
        return receipt

    async def supported(self) -> tuple[Kind, ...]:
        return await self._real.supported()

    async def _give_way(self) -> None:
        for _ in range(self._random.randrange(6)):
            await asyncio.sleep(0)


async def _check_books(vendor: Vendor, facilitator: _GivingWay) -> None:
    """What must hold whatever happened: the journal is the ledger, and money and jobs go together."""
    settlements, jobs = await vendor.journal("settlements"), await vendor.journal("jobs")
    moved = [(transfer.transaction, transfer.nonce, transfer.value) for transfer in facilitator.ledger.journal]
    assert sorted(moved) == sorted(
        (text(settled, "transaction"), text(settled, "nonce").lower(), dig(settled, "amount"))
        for settled in settlements
    )
    keys_paid = Counter((dig(settled, "vendorId"), dig(settled, "key")) for settled in settlements)
    keys_run = Counter((dig(job, "vendorId"), dig(job, "key")) for job in jobs)
    assert keys_paid == keys_run
    assert set(keys_paid.values()) <= {1}
    nonces = Counter((text(settled, "payer").lower(), text(settled, "nonce").lower()) for settled in settlements)
    assert set(nonces.values()) <= {1}


def _statuses(responses: list[httpx.Response]) -> dict[int, int]:
    return dict(Counter(response.status_code for response in responses))


@pytest.mark.parametrize("seed", _SEEDS)
async def test_the_same_paid_request_many_times_at_once(
    open_shop: OpenShop, clock: Clock, buyer: Buyer, seed: int
) -> None:
    """One settlement, one job, and everybody gets the one answer with its receipt."""
    facilitator = _GivingWay(clock, seed)
    vendor = open_shop(facilitator)
    template = await vendor.template()
    payment = buyer.pay(await vendor.submit(template, "k"))
    responses = await asyncio.gather(*(vendor.submit(template, "k", payment) for _ in range(8)))
    assert _statuses(responses) == {200: 8}
    assert len({(response.content, response.headers["payment-response"]) for response in responses}) == 1
    assert len(await vendor.journal("settlements")) == 1
    await _check_books(vendor, facilitator)


@pytest.mark.parametrize("seed", _SEEDS)
async def test_many_payments_for_one_key_at_once(
    open_shop: OpenShop, clock: Clock, buyer: Buyer, seed: int
) -> None:
    """A buyer that signs anew for each retry is charged once all the same."""
    facilitator = _GivingWay(clock, seed)
    vendor = open_shop(facilitator)
    template = await vendor.template()
    unpaid = await vendor.submit(template, "k")
    responses = await asyncio.gather(*(vendor.submit(template, "k", buyer.pay(unpaid)) for _ in range(8)))
    assert _statuses(responses) == {200: 8}
    assert len({response.content for response in responses}) == 1
    assert len(await vendor.journal("settlements")) == 1
    await _check_books(vendor, facilitator)


@pytest.mark.parametrize("seed", _SEEDS)
async def test_one_payment_for_many_keys_at_once(
    open_shop: OpenShop, clock: Clock, buyer: Buyer, seed: int
) -> None:
    """It buys one of them, and the others are told that the nonce is used."""
    facilitator = _GivingWay(clock, seed)
    vendor = open_shop(facilitator)
    template = await vendor.template()
    payment = buyer.pay(await vendor.submit(template, "k0"))
    responses = await asyncio.gather(*(vendor.submit(template, f"k{n}", payment) for n in range(8)))
    assert _statuses(responses) == {200: 1, 402: 7}
    for response in responses:
        if response.status_code == 402:
            assert "nonce" in text(response.json(), "error")
    assert len(await vendor.journal("refusals")) == 7
    await _check_books(vendor, facilitator)


@pytest.mark.parametrize("seed", _SEEDS)
async def test_one_nonce_however_it_is_spelled_at_once(
    open_shop: OpenShop, clock: Clock, buyer: Buyer, seed: int
) -> None:
    """Capitals, another recovery byte, the other version: the token sees one nonce, and so does the vendor."""
    facilitator = _GivingWay(clock, seed)
    vendor = open_shop(facilitator)
    template = await vendor.template()
    payment = buyer.pay(await vendor.submit(template, "k0"), nonce="0x" + "ab" * 32)
    spellings = [payment, respelled(payment), low_v(payment), as_version_1(payment)]
    random.Random(seed).shuffle(spellings)
    responses = await asyncio.gather(
        *(vendor.submit(template, f"k{n}", spelling) for n, spelling in enumerate(spellings))
    )
    assert _statuses(responses) == {200: 1, 402: 3}
    assert len(await vendor.journal("settlements")) == 1
    await _check_books(vendor, facilitator)


@pytest.mark.parametrize("spell", [respelled, low_v, as_version_1])
async def test_each_spelling_would_be_paid_if_it_came_first(
    vendor: Vendor, buyer: Buyer, spell: Callable[[Mapping[str, str]], dict[str, str]]
) -> None:
    """So the test above refuses them for their nonce, and for nothing else."""
    template = await vendor.template()
    payment = buyer.pay(await vendor.submit(template, "k"), nonce="0x" + "ab" * 32)
    assert (await vendor.submit(template, "k", spell(payment))).status_code == 200


@pytest.mark.parametrize("seed", _SEEDS)
async def test_one_nonce_signed_for_two_vendors_at_once(
    open_shop: OpenShop, clock: Clock, buyer: Buyer, seed: int
) -> None:
    """Two good authorizations with one nonce: the token takes one of them, so only one vendor delivers."""
    facilitator = _GivingWay(clock, seed)
    one = open_shop(facilitator)
    two = Vendor(one.http, "gpu_vendor_2")
    orders = []
    for vendor in (one, two):
        template = await vendor.template()
        payment = buyer.pay(await vendor.submit(template, "k"), nonce="0x" + "cd" * 32)
        orders.append(vendor.submit(template, "k", payment))
    responses = await asyncio.gather(*orders)
    assert _statuses(responses) == {200: 1, 402: 1}
    await _check_books(one, facilitator)


@pytest.mark.parametrize("seed", _SEEDS)
async def test_a_bad_payment_does_not_stand_in_the_way_of_a_good_one(
    open_shop: OpenShop, clock: Clock, buyer: Buyer, seed: int
) -> None:
    """Whatever a refused twin was doing at the time, the good payment for the key is taken exactly once."""
    facilitator = _GivingWay(clock, seed)
    vendor = open_shop(facilitator)
    template = await vendor.template()
    unpaid = await vendor.submit(template, "k")
    good = buyer.pay(unpaid)
    payments = [buyer.pay(unpaid, value=1), good, buyer.pay(unpaid, nonce=f"0x{1:064x}", value=1), good]
    random.Random(seed).shuffle(payments)
    responses = await asyncio.gather(*(vendor.submit(template, "k", payment) for payment in payments))
    assert 200 in _statuses(responses)
    assert len(await vendor.journal("settlements")) == 1
    await _check_books(vendor, facilitator)


@pytest.mark.parametrize("seed", _SEEDS)
async def test_dropped_answers_and_retries_all_at_once(
    open_shop: OpenShop, clock: Clock, buyer: Buyer, seed: int
) -> None:
    """The worst of both: connections lost before and after payment, while the client tries again and again."""
    facilitator = _GivingWay(clock, seed)
    vendor = open_shop(facilitator, faults="drop_before_payment*2,drop_after_payment*3,reject_payment*1")
    template = await vendor.template()
    payment = buyer.pay(await vendor.submit(template, "k"))
    results = await asyncio.gather(
        *(vendor.submit(template, "k", payment) for _ in range(10)), return_exceptions=True
    )
    answered = [result for result in results if isinstance(result, httpx.Response)]
    assert _statuses(answered) == {402: 1, 200: 4}
    assert len(await vendor.journal("settlements")) == 1
    await _check_books(vendor, facilitator)


@pytest.mark.parametrize("seed", _SEEDS)
async def test_different_orders_do_not_wait_for_each_other(
    open_shop: OpenShop, clock: Clock, buyer: Buyer, seed: int
) -> None:
    """Eight orders, eight payments, eight jobs; and whoever looks meanwhile finds money and jobs in step."""
    facilitator = _GivingWay(clock, seed)
    vendor = open_shop(facilitator)
    template = await vendor.template()
    unpaid = await vendor.submit(template, "k")
    seen = set()

    async def look() -> None:
        while True:
            response = await vendor.http.get("/journal", headers=vendor.headers())
            settled, started = dig(response.json(), "settlements"), dig(response.json(), "jobs")
            assert isinstance(settled, list)
            assert isinstance(started, list)
            assert [dig(entry, "key") for entry in settled] == [dig(entry, "key") for entry in started]
            seen.add(len(settled))
            await asyncio.sleep(0)

    looking = asyncio.create_task(look())
    responses = await asyncio.gather(*(vendor.submit(template, f"k{n}", buyer.pay(unpaid)) for n in range(8)))
    assert not looking.done()
    looking.cancel()
    assert seen - {0, 8}, "nobody looked while it happened"
    assert _statuses(responses) == {200: 8}
    assert len({response.content for response in responses}) == 8
    await _check_books(vendor, facilitator)
