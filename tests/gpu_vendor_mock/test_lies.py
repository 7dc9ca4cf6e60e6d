"""The faults that lie about money: what a client is told, and what the journal says really happened."""

from __future__ import annotations

from collections.abc import Mapping

import httpx
import pytest

from gpu_vendor_mock.catalog import GPU_VENDOR_1_PAY_TO, WRONG_PAYEE
from gpu_vendor_mock.dropping import ConnectionDropped
from gpu_vendor_mock.shop import LATE_SECONDS
from tests.gpu_vendor_mock.conftest import OpenShop
from tests.gpu_vendor_mock.support import NOW, Buyer, Clock, Vendor, decoded, dig, text
from x402.errors import SettlementUnknown
from x402.selling.facilitator import Verdict
from x402.selling.offline import MemoryLedger, OfflineFacilitator
from x402.wire import Offer, Payment, Receipt

EXPIRES = NOW + 300
"""`validBefore` of what a buyer signs."""


async def _counts(vendor: Vendor) -> tuple[int, int]:
    """How many settlements, how many jobs."""
    return len(await vendor.journal("settlements")), len(await vendor.journal("jobs"))


async def _paid(vendor: Vendor, buyer: Buyer) -> tuple[str, Mapping[str, str], httpx.Response]:
    """Template, payment header, and the answer to the paid order `k`."""
    template = await vendor.template()
    payment = buyer.pay(await vendor.submit(template, "k"))
    return template, payment, await vendor.submit(template, "k", payment)


def _asked(answer: httpx.Response) -> tuple[str, str]:
    """Amount and payee of a 402, the same in both versions of the protocol."""
    second, first = (
        dig(decoded(answer.headers["payment-required"]), "accepts", 0),
        dig(answer.json(), "accepts", 0),
    )
    assert (text(first, "maxAmountRequired"), text(first, "payTo")) == (
        text(second, "amount"),
        text(second, "payTo"),
    )
    return text(second, "amount"), text(second, "payTo")


async def test_cash_late(open_shop: OpenShop, buyer: Buyer, clock: Clock) -> None:
    """Refused at once and for ever, and cashed 10 s before it expires, once, with no job."""
    vendor = open_shop(faults="cash_late*1")
    template, payment, rejected = await _paid(vendor, buyer)
    assert (rejected.status_code, text(rejected.json(), "error")) == (402, "payment rejected by the vendor")
    clock.now = EXPIRES - LATE_SECONDS - 0.1
    assert await _counts(vendor) == (0, 0)
    clock.now = EXPIRES - LATE_SECONDS
    assert await _counts(vendor) == (1, 0)
    assert (await vendor.submit(template, "k", payment)).content == rejected.content
    assert await _counts(vendor) == (1, 0)


@pytest.mark.parametrize("look", ["journal", "quote"])
async def test_cash_late_however_late_anybody_looks(
    open_shop: OpenShop, buyer: Buyer, clock: Clock, look: str
) -> None:
    """An hour after the expiry the journal says what was done in time, when it was."""
    vendor = open_shop(faults="cash_late")
    await _paid(vendor, buyer)
    clock.now = EXPIRES + 3_600
    if look == "quote":
        await vendor.quote()
    (settled,) = await vendor.journal("settlements")
    assert (dig(settled, "at"), dig(settled, "amount")) == (EXPIRES - LATE_SECONDS, 1_400_000)


async def test_cash_late_cannot_cash_what_came_too_late(open_shop: OpenShop, buyer: Buyer, clock: Clock) -> None:
    """What was on its way until it had expired could not have been cashed in time (make sim, seed 5537)."""
    vendor = open_shop(faults="cash_late")
    template = await vendor.template()
    payment = buyer.pay(await vendor.submit(template, "k"))
    clock.now = EXPIRES + 1
    await vendor.submit(template, "k", payment)
    clock.now = EXPIRES + 3_600
    assert await _counts(vendor) == (0, 0)


async def test_cash_late_cannot_cash_what_is_worth_nothing(
    open_shop: OpenShop, buyer: Buyer, clock: Clock
) -> None:
    """A payment for another amount is kept too, and turns out to be no good."""
    vendor = open_shop(faults="cash_late")
    template = await vendor.template()
    await vendor.submit(template, "k", buyer.pay(await vendor.submit(template, "k"), value=1))
    clock.now = EXPIRES
    assert await _counts(vendor) == (0, 0)


async def test_cash_late_takes_an_authorization_once(open_shop: OpenShop, buyer: Buyer, clock: Clock) -> None:
    """Presented for two orders and called rejected twice, it is cashed for one of them."""
    vendor = open_shop(faults="cash_late")
    template, payment, _ = await _paid(vendor, buyer)
    await vendor.submit(template, "k2")
    await vendor.submit(template, "k2", payment)
    clock.now = EXPIRES
    assert await _counts(vendor) == (1, 0)


async def test_cash_late_at_a_facilitator_that_lives_in_the_present(
    open_shop: OpenShop, buyer: Buyer, clock: Clock
) -> None:
    """Only an offline ledger can be taken back: elsewhere an expired payment stays expired."""

    class Elsewhere:
        """A facilitator that is not ours, on the same clock."""

        def __init__(self) -> None:
            self._inner = OfflineFacilitator(MemoryLedger(), clock)

        async def verify(self, payment: Payment, offer: Offer) -> Verdict:
            return await self._inner.verify(payment, offer)

        async def settle(self, payment: Payment, offer: Offer) -> Receipt:
            raise SettlementUnknown("no answer")

        async def supported(self) -> tuple[()]:
            return ()

    vendor = open_shop(Elsewhere(), faults="cash_late")
    await _paid(vendor, buyer)
    clock.now = EXPIRES - LATE_SECONDS
    assert await _counts(vendor) == (0, 0)


async def test_ask_for_ever(open_shop: OpenShop, buyer: Buyer) -> None:
    """Whatever is sent, the same 402 as if nothing had been sent; nothing is charged."""
    vendor = open_shop(faults="ask_for_ever")
    template, payment, first = await _paid(vendor, buyer)
    again = await vendor.submit(template, "k", payment)
    unpaid = await vendor.submit(template, "k")
    assert {first.status_code, again.status_code, unpaid.status_code} == {402}
    assert first.content == again.content == unpaid.content
    assert await _counts(vendor) == (0, 0)
    assert len(await vendor.journal("refusals")) == 2


async def test_raise_on_second(open_shop: OpenShop, buyer: Buyer) -> None:
    """The first terms are the quote's; the answer to their payment asks for more, and so does every later one."""
    vendor = open_shop(faults="raise_on_second=10")
    template = await vendor.template()
    unpaid = await vendor.submit(template, "k")
    payment = buyer.pay(unpaid)
    raised = await vendor.submit(template, "k", payment)
    assert (_asked(unpaid)[0], _asked(raised)[0]) == ("1400000", "1540000")
    assert _asked(await vendor.submit(template, "k"))[0] == "1540000"
    assert (await vendor.submit(template, "k", payment)).status_code == 402
    assert await _counts(vendor) == (0, 0)
    assert (await vendor.submit(template, "k", buyer.pay(raised))).status_code == 200
    (settled,) = await vendor.journal("settlements")
    assert (dig(settled, "quoted"), dig(settled, "amount")) == (1_400_000, 1_540_000)


async def test_switch_payee(open_shop: OpenShop, buyer: Buyer) -> None:
    """The first terms name the vendor; the answer to their payment names somebody else, for good."""
    vendor = open_shop(faults="switch_payee")
    template = await vendor.template()
    unpaid = await vendor.submit(template, "k")
    switched = await vendor.submit(template, "k", buyer.pay(unpaid))
    assert (_asked(unpaid)[1], _asked(switched)[1]) == (GPU_VENDOR_1_PAY_TO, WRONG_PAYEE)
    assert await _counts(vendor) == (0, 0)
    assert (await vendor.submit(template, "k", buyer.pay(switched))).status_code == 200
    assert [dig(settled, "payTo") for settled in await vendor.journal("settlements")] == [WRONG_PAYEE]


async def test_never_settle(open_shop: OpenShop, buyer: Buyer) -> None:
    """A job without a receipt, and no money has moved or will: asked again, the same."""
    vendor = open_shop(faults="never_settle")
    template, payment, bought = await _paid(vendor, buyer)
    assert bought.status_code == 200
    assert not [name for name in bought.headers if name.endswith("payment-response")]
    assert (await vendor.submit(template, "k", payment)).content == bought.content
    assert await _counts(vendor) == (0, 1)
    assert [dig(job, "paid") for job in await vendor.journal("jobs")] == [False]


@pytest.mark.parametrize("version", [1, 2])
async def test_forged_receipt(open_shop: OpenShop, buyer: Buyer, version: int) -> None:
    """The receipt fits the payment in every respect, and the money has not moved."""
    vendor = open_shop(faults="forged_receipt")
    template = await vendor.template()
    payment = buyer.pay(await vendor.submit(template, "k"), version=1 if version == 1 else 2)
    bought = await vendor.submit(template, "k", payment)
    receipt = decoded(bought.headers["x-payment-response" if version == 1 else "payment-response"])
    assert (receipt["success"], receipt["payer"], receipt["amount"]) == (True, buyer.address, "1400000")
    assert len(text(receipt, "transaction")) == 66
    assert await _counts(vendor) == (0, 1)


async def test_deny_payment(vendor: Vendor, buyer: Buyer) -> None:
    """Settled, with a receipt, and then the job has failed because it was never paid for."""
    bought = await vendor.buy(buyer, fault="deny_payment")
    assert "payment-response" in bought.headers
    report = (await vendor.status(text(bought.json(), "vendorJobId"))).json()
    assert (report["status"], report["errorMessage"]) == ("failed", "this job was never paid for")
    assert await _counts(vendor) == (1, 1)


async def test_other_job(vendor: Vendor, buyer: Buyer) -> None:
    """The id of the oldest other job of that vendor, whoever ordered it; where there is none, its own."""
    vendor.vendor_id = "gpu_vendor_2"
    await vendor.buy(buyer, "elsewhere")
    vendor.vendor_id = "gpu_vendor_1"
    alone = await vendor.buy(buyer, "k1", fault="other_job")
    confused = await vendor.buy(buyer, "k2", fault="other_job")
    own = [text(job, "vendorJobId") for job in await vendor.journal("jobs") if dig(job, "key") != "elsewhere"]
    assert (text(alone.json(), "vendorJobId"), text(confused.json(), "vendorJobId")) == (own[0], own[0])
    assert len(set(own)) == 2
    assert [dig(fired, "fault") for fired in await vendor.journal("faults")] == ["other_job"]


async def test_the_answer_is_lost_and_then_the_payment_denied(open_shop: OpenShop, buyer: Buyer) -> None:
    """Two faults make the worst of vendors: it takes the money, hangs up, and knows nothing of it afterwards."""
    vendor = open_shop(faults="reject_but_cash,drop_after_payment*1")
    template = await vendor.template()
    payment = buyer.pay(await vendor.submit(template, "k"))
    with pytest.raises(ConnectionDropped):
        await vendor.submit(template, "k", payment)
    assert (await vendor.submit(template, "k", payment)).status_code == 402
    assert await _counts(vendor) == (1, 0)
