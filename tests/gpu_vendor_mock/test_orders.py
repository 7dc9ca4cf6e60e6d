"""Paying for an order, one request after another: what is charged, what is refused, what is answered again."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Literal

import httpx
import pytest

from gpu_vendor_mock.catalog import GPU_VENDOR_1_PAY_TO, WRONG_PAYEE
from tests.gpu_vendor_mock.conftest import OpenShop
from tests.gpu_vendor_mock.support import (
    NOW,
    Buyer,
    Clock,
    Vendor,
    as_version_1,
    decoded,
    dig,
    encoded,
    low_v,
    respelled,
    text,
)
from x402.errors import FacilitatorUnavailable, SettlementUnknown
from x402.selling.facilitator import Kind, Verdict
from x402.wire import Offer, Payment, Receipt


async def _refused(vendor: Vendor, response: httpx.Response) -> None:
    """Nothing moved, nothing runs, and the answer is a 402 that says why in both versions."""
    assert response.status_code == 402
    reason = text(decoded(response.headers["payment-required"]), "error")
    assert reason == text(response.json(), "error")
    assert await vendor.journal("settlements") == []
    assert await vendor.journal("jobs") == []
    assert [dig(refusal, "reason") for refusal in await vendor.journal("refusals")] == [reason]


def _in_lower_case(header: dict[str, str]) -> dict[str, str]:
    """The same payment for terms whose payee is written differently than they were offered."""
    message = decoded(header["PAYMENT-SIGNATURE"])
    accepted = dig(message, "accepted")
    assert isinstance(accepted, dict)
    accepted["payTo"] = str(accepted["payTo"]).lower()
    return {"PAYMENT-SIGNATURE": encoded(message)}


@pytest.mark.parametrize(
    ("version", "receipt_header", "network"),
    [(2, "payment-response", "eip155:84532"), (1, "x-payment-response", "base-sepolia")],
)
async def test_a_payment_is_settled_and_starts_the_job(
    vendor: Vendor, buyer: Buyer, version: Literal[1, 2], receipt_header: str, network: str
) -> None:
    """In either version; the receipt is the settlement that the journal shows."""
    template = await vendor.template()
    payment = buyer.pay(await vendor.submit(template, "k"), version)
    response = await vendor.submit(template, "k", payment)
    assert response.status_code == 200
    assert response.json() == {"vendorJobId": text(response.json(), "vendorJobId"), "status": "queued"}
    (settled,) = await vendor.journal("settlements")
    transaction = text(settled, "transaction")
    assert len(bytes.fromhex(transaction.removeprefix("0x"))) == 32
    assert settled == {
        "at": NOW,
        "vendorId": "gpu_vendor_1",
        "key": "k",
        "templateId": template,
        "quoted": 1_400_000,
        "amount": 1_400_000,
        "network": "eip155:84532",
        "asset": "0x036CbD53842c5426634e7929541eC2318f3dCF7e",
        "payer": buyer.address,
        "payTo": GPU_VENDOR_1_PAY_TO,
        "nonce": f"0x{1:064x}",
        "transaction": transaction,
        "x402Version": version,
    }
    receipt = decoded(response.headers[receipt_header])
    assert dig(receipt, "success") is True
    assert dig(receipt, "transaction") == transaction
    assert dig(receipt, "network") == network
    assert text(receipt, "payer").lower() == buyer.address.lower()
    assert await vendor.journal("jobs") == [
        {
            "at": NOW,
            "vendorId": "gpu_vendor_1",
            "key": "k",
            "vendorJobId": text(response.json(), "vendorJobId"),
            "templateId": template,
            "price": 1_400_000,
            "paid": True,
            "forgotten": False,
        }
    ]


async def test_the_journal_notes_each_presentation_and_no_signature(vendor: Vendor, buyer: Buyer) -> None:
    """Re-sent bytes show as the same sha256; the journal holds nothing that could be cashed."""
    template = await vendor.template()
    unpaid = await vendor.submit(template, "k")
    payment = buyer.pay(unpaid)
    for _ in range(2):
        await vendor.submit(template, "k", payment)
    await vendor.submit(template, "k", buyer.pay(unpaid))
    first, again, other = await vendor.journal("payments")
    assert first == again
    assert dig(other, "sha256") != dig(first, "sha256")
    assert (dig(first, "nonce"), dig(first, "value")) == (f"0x{1:064x}", 1_400_000)
    assert (dig(first, "payer"), dig(first, "validBefore")) == (buyer.address, int(NOW) + 300)
    signature = text(decoded(payment["PAYMENT-SIGNATURE"]), "payload", "signature")
    journal = await vendor.http.get("/journal", headers=vendor.headers())
    assert signature[2:66] not in journal.text


async def test_a_payment_is_noted_whatever_comes_of_it(vendor: Vendor, buyer: Buyer, clock: Clock) -> None:
    """A buyer that signs twice for one purchase is found out, even where the vendor would not hear of it."""
    template = await vendor.template()
    unpaid = await vendor.submit(template, "k")
    payment = buyer.pay(unpaid)
    assert (await vendor.submit(template, "k", payment, goal="another goal")).status_code == 409
    assert (await vendor.quote(payment=payment)).status_code == 200
    clock.now += 600
    assert (await vendor.submit(template, "k", payment)).status_code == 410
    assert [dig(presented, "key") for presented in await vendor.journal("payments")] == [
        "k",
        f"payment-0x{1:064x}",
        "k",
    ]
    assert await vendor.journal("settlements") == []


async def test_the_same_request_gets_the_same_answer(vendor: Vendor, buyer: Buyer, clock: Clock) -> None:
    """Byte for byte and with its receipt, paid or not, even when quote and authorization have run out."""
    template = await vendor.template()
    payment = buyer.pay(await vendor.submit(template, "k"))
    first = await vendor.submit(template, "k", payment)
    clock.now += 100_000
    for again in (await vendor.submit(template, "k", payment), await vendor.submit(template, "k")):
        assert (again.status_code, again.content) == (200, first.content)
        assert again.headers["payment-response"] == first.headers["payment-response"]
    assert len(await vendor.journal("settlements")) == len(await vendor.journal("jobs")) == 1


async def test_a_second_payment_for_a_paid_order_is_not_taken(vendor: Vendor, buyer: Buyer) -> None:
    """The order is answered; the new authorization stays the buyer's."""
    template = await vendor.template()
    unpaid = await vendor.submit(template, "k")
    first = await vendor.submit(template, "k", buyer.pay(unpaid))
    again = await vendor.submit(template, "k", buyer.pay(unpaid))
    assert (again.status_code, again.content) == (200, first.content)
    assert len(await vendor.journal("settlements")) == len(await vendor.journal("jobs")) == 1


async def test_a_key_belongs_to_its_body(vendor: Vendor, buyer: Buyer) -> None:
    """Another body under the same key is a conflict, before and after payment, and charges nothing."""
    template = await vendor.template()
    unpaid = await vendor.submit(template, "k")
    for payment in (None, buyer.pay(unpaid)):
        conflict = await vendor.submit(template, "k", payment, goal="another goal")
        assert (conflict.status_code, text(conflict.json(), "error", "code")) == (409, "key_reused")
    assert await vendor.journal("settlements") == []
    assert (await vendor.submit(template, "k", buyer.pay(unpaid))).status_code == 200
    assert (await vendor.submit(template, "k", goal="another goal")).status_code == 409


async def test_the_same_body_may_be_written_differently(vendor: Vendor) -> None:
    """Order of keys and 1 against 1.0 do not make another body."""
    template = await vendor.template()
    await vendor.submit(template, "k")
    body = json.dumps({"jobParams": vendor.params | {"maxHours": 1.0}, "vendorJobTemplateId": template})
    headers = vendor.headers({"content-type": "application/json", "idempotency-key": "k"})
    assert (await vendor.http.post("/submit-job", content=body, headers=headers)).status_code == 402


async def test_vendors_do_not_share_keys(vendor: Vendor, buyer: Buyer) -> None:
    """The same key at another vendor is another order."""
    first = await vendor.buy(buyer, "k")
    vendor.vendor_id = "gpu_vendor_2"
    second = await vendor.buy(buyer, "k")
    assert first.json() != second.json()
    assert len(await vendor.journal("settlements")) == 2


async def test_one_payment_pays_one_order(vendor: Vendor, buyer: Buyer) -> None:
    """The same payment under another key buys nothing."""
    template = await vendor.template()
    payment = buyer.pay(await vendor.submit(template, "k1"))
    assert (await vendor.submit(template, "k1", payment)).status_code == 200
    reused = await vendor.submit(template, "k2", payment)
    assert reused.status_code == 402
    assert "nonce" in text(reused.json(), "error")
    assert len(await vendor.journal("settlements")) == len(await vendor.journal("jobs")) == 1


async def test_a_nonce_pays_once_whoever_is_paid(vendor: Vendor, buyer: Buyer) -> None:
    """A new authorization with a used nonce, signed for another vendor and price, is worth nothing."""
    await vendor.buy(buyer)
    vendor.vendor_id = "gpu_vendor_2"
    template = await vendor.template()
    reused = buyer.pay(await vendor.submit(template, "k"), nonce=f"0x{1:064x}")
    response = await vendor.submit(template, "k", reused)
    assert response.status_code == 402
    assert "nonce" in text(response.json(), "error")
    assert len(await vendor.journal("settlements")) == len(await vendor.journal("jobs")) == 1


async def test_the_nonce_of_another_payer_is_another_nonce(vendor: Vendor) -> None:
    """Tokens keep nonces per payer."""
    alice, bob = Buyer(), Buyer("0x" + "22" * 32)
    assert (await vendor.buy(alice, "k1")).status_code == 200
    assert (await vendor.buy(bob, "k2")).status_code == 200
    nonces = [dig(settled, "nonce") for settled in await vendor.journal("settlements")]
    assert nonces == [f"0x{1:064x}"] * 2


async def test_the_same_nonce_on_another_chain_is_another_nonce(vendor: Vendor, buyer: Buyer) -> None:
    """Each token keeps its own."""
    template = await vendor.template()
    for key, fault in (("k1", ""), ("k2", "wrong_network")):
        payment = buyer.pay(await vendor.submit(template, key, fault=fault), nonce="0x" + "ab" * 32)
        assert (await vendor.submit(template, key, payment)).status_code == 200
    assert len({dig(settled, "network") for settled in await vendor.journal("settlements")}) == 2


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(
    "changes",
    [
        {"value": 1_399_999},
        {"value": 1_400_001},
        {"to": WRONG_PAYEE},
        {"validBefore": int(NOW) + 5},
        {"validAfter": int(NOW) + 60},
        {"from": GPU_VENDOR_1_PAY_TO},
    ],
)
async def test_a_payment_that_does_not_fit_is_refused(
    vendor: Vendor, buyer: Buyer, version: Literal[1, 2], changes: dict[str, str | int]
) -> None:
    """Too little, too much, to somebody else, too late, too early, signed by somebody else."""
    template = await vendor.template()
    payment = buyer.pay(await vendor.submit(template, "k"), version, **changes)
    await _refused(vendor, await vendor.submit(template, "k", payment))


async def test_a_refused_payment_does_not_spoil_the_order(vendor: Vendor, buyer: Buyer) -> None:
    """Neither the key nor the nonce is used up by it."""
    template = await vendor.template()
    unpaid = await vendor.submit(template, "k")
    nonce = buyer.next_nonce()
    await _refused(vendor, await vendor.submit(template, "k", buyer.pay(unpaid, nonce=nonce, value=1)))
    other_key = await vendor.submit(template, "k2", buyer.pay(unpaid, nonce=nonce))
    assert other_key.status_code == 200
    assert (await vendor.submit(template, "k", buyer.pay(unpaid))).status_code == 200


async def test_terms_that_were_not_offered_are_refused(vendor: Vendor, buyer: Buyer) -> None:
    """`accepted` must be the offer as it was made, character for character."""
    template = await vendor.template()
    payment = buyer.pay(await vendor.submit(template, "k"))
    await _refused(vendor, await vendor.submit(template, "k", _in_lower_case(payment)))


@pytest.mark.parametrize(
    "header",
    [
        {"PAYMENT-SIGNATURE": "not base64!"},
        {"PAYMENT-SIGNATURE": encoded({"x402Version": 2})},
        {"X-PAYMENT": encoded({"x402Version": 1, "payload": 7})},
    ],
)
async def test_an_unreadable_payment_is_a_bad_request(vendor: Vendor, header: dict[str, str]) -> None:
    """400: sending it again will not help."""
    response = await vendor.submit(await vendor.template(), "k", header)
    assert (response.status_code, text(response.json(), "error", "code")) == (400, "malformed_payment")
    assert await vendor.journal("payments") == []


class _Facilitator:
    """Finds every payment valid, and settles as it is told to."""

    def __init__(self, *outcomes: Receipt | Exception) -> None:
        self._outcomes = list(outcomes)

    async def verify(self, payment: Payment, offer: Offer) -> Verdict:
        return Verdict(None, payment.authorization.payer)

    async def settle(self, payment: Payment, offer: Offer) -> Receipt:
        outcome = self._outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def supported(self) -> tuple[Kind, ...]:
        return ()


_SETTLED = Receipt(success=True, transaction="0x" + "ee" * 32, network="eip155:84532")


@pytest.mark.parametrize("spell", [dict, respelled, low_v, as_version_1])
async def test_a_nonce_pays_once_even_if_the_facilitator_would_take_it_twice(
    open_shop: OpenShop, buyer: Buyer, spell: Callable[[dict[str, str]], dict[str, str]]
) -> None:
    """The guard is the vendor's own, so the journal is right even where x402 code is wrong."""
    vendor = open_shop(_Facilitator(_SETTLED, _SETTLED))
    template = await vendor.template()
    payment = buyer.pay(await vendor.submit(template, "k1"), nonce="0x" + "ab" * 32)
    assert (await vendor.submit(template, "k1", payment)).status_code == 200
    assert (await vendor.submit(template, "k2", spell(payment))).status_code == 402
    assert len(await vendor.journal("settlements")) == len(await vendor.journal("jobs")) == 1


@pytest.mark.parametrize("silence", [FacilitatorUnavailable("busy"), SettlementUnknown("no answer")])
async def test_a_silent_facilitator_leaves_the_order_open(
    open_shop: OpenShop, buyer: Buyer, silence: Exception
) -> None:
    """503 and no job; the same payment again completes the order, and can complete no other."""
    vendor = open_shop(_Facilitator(silence, _SETTLED))
    template = await vendor.template()
    payment = buyer.pay(await vendor.submit(template, "k1"))
    unclear = await vendor.submit(template, "k1", payment)
    assert (unclear.status_code, text(unclear.json(), "error", "code")) == (503, "facilitator_unavailable")
    assert await vendor.journal("jobs") == []
    assert (await vendor.submit(template, "k2", payment)).status_code == 402
    assert (await vendor.submit(template, "k1", payment)).status_code == 200
    assert [dig(settled, "key") for settled in await vendor.journal("settlements")] == ["k1"]


async def test_a_failed_settlement_is_shown_and_starts_no_job(open_shop: OpenShop, buyer: Buyer) -> None:
    """402 with a receipt that says so; the nonce stays with its order, for the transfer may still happen."""
    failed = Receipt(success=False, transaction="", network="eip155:84532", error_reason="transaction_failed")
    vendor = open_shop(_Facilitator(failed, _SETTLED))
    template = await vendor.template()
    payment = buyer.pay(await vendor.submit(template, "k1"))
    response = await vendor.submit(template, "k1", payment)
    await _refused(vendor, response)
    receipt = decoded(response.headers["payment-response"])
    assert (dig(receipt, "success"), dig(receipt, "errorReason")) == (False, "transaction_failed")
    assert (await vendor.submit(template, "k1", _in_lower_case(payment))).status_code == 402
    assert (await vendor.submit(template, "k2", payment)).status_code == 402
    assert (await vendor.submit(template, "k1", payment)).status_code == 200


async def test_a_chain_without_a_version_1_name_is_asked_for_in_version_2(
    open_shop: OpenShop, buyer: Buyer
) -> None:
    """The body then holds no terms."""
    vendor = open_shop(x402_network="eip155:42161")
    template = await vendor.template()
    unpaid = await vendor.submit(template, "k")
    assert unpaid.json() == {}
    assert (await vendor.submit(template, "k", buyer.pay(unpaid))).status_code == 200


async def test_a_payment_to_a_free_vendor_is_not_taken(open_shop: OpenShop, buyer: Buyer) -> None:
    """It asked for none; the authorization is noted and left alone."""
    paid = open_shop()
    payment = buyer.pay(await paid.submit(await paid.template(), "k"))
    free = open_shop(
        mock_vendors='[{"vendorId":"gpu_vendor_1","name":"Free","basePricePerHour":1,"supportedGpuTypes":["A100"]}]'
    )
    assert (await free.submit(await free.template(), "k", payment)).status_code == 200
    assert len(await free.journal("payments")) == 1
    assert await free.journal("settlements") == []


async def test_without_a_key_the_payment_names_the_order(vendor: Vendor, buyer: Buyer) -> None:
    """A stranger's x402 client sends no Idempotency-Key: it pays once, has one job, and may ask again."""
    template = await vendor.template()
    payment = buyer.pay(await vendor.submit(template, None))

    first = await vendor.submit(template, None, payment)
    again = await vendor.submit(template, None, payment)
    other = await vendor.submit(template, None, buyer.pay(await vendor.submit(template, None)))

    assert (first.status_code, again.content) == (200, first.content)
    assert other.json()["vendorJobId"] != first.json()["vendorJobId"]
    settled = await vendor.journal("settlements")
    assert [text(each, "key") for each in settled] == [f"payment-0x{1:064x}", f"payment-0x{2:064x}"]


async def test_a_payment_under_a_key_cannot_name_another_order(vendor: Vendor, buyer: Buyer) -> None:
    template = await vendor.template()
    payment = buyer.pay(await vendor.submit(template, "k"))
    assert (await vendor.submit(template, "k", payment)).status_code == 200

    assert (await vendor.submit(template, None, payment)).status_code == 402
    assert len(await vendor.journal("settlements")) == 1


async def test_the_old_header_stands_beside_terms_and_receipt_and_pays_for_nothing(
    vendor: Vendor, buyer: Buyer
) -> None:
    """Whoever reads `x402-tx-id` finds it; whoever sends it alone gets the terms again."""
    template = await vendor.template()
    asked = await vendor.submit(template, "k")
    named = {"x402-tx-id": asked.headers["x402-tx-id"]}

    assert (await vendor.submit(template, "k", named)).status_code == 402
    paid = await vendor.submit(template, "k", buyer.pay(asked))
    (settled,) = await vendor.journal("settlements")
    assert paid.headers["x402-tx-id"] == text(settled, "transaction")
