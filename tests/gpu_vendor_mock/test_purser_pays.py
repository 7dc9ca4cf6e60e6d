"""The vendor and Purser's own x402 client, over a real socket: both read the protocol the same way."""

from __future__ import annotations

import time

import pytest

from gpu_vendor_mock.catalog import GPU_VENDOR_1_PAY_TO
from tests.gpu_vendor_mock.conftest import Serve
from tests.gpu_vendor_mock.support import dig, text
from x402.client import PaymentAuth
from x402.errors import PolicyRefused
from x402.negotiation import build_payment, read_receipt, window
from x402.policy import Policy, choose
from x402.wallets.signers import LocalSigner, sign_payment
from x402.wire import Challenge, PaymentHeader

_SIGNER = LocalSigner("33" * 32)


def _wallet(policy: Policy) -> PaymentAuth:
    async def authorize(challenge: Challenge) -> PaymentHeader:
        offer = choose(challenge, policy)
        after, before = window(offer, int(time.time()), policy.max_validity_seconds)
        unsigned = build_payment(
            challenge,
            offer,
            payer=_SIGNER.address,
            nonce="0x" + "44" * 32,
            valid_after=after,
            valid_before=before,
        )
        return await sign_payment(unsigned, _SIGNER)

    return PaymentAuth(authorize)


def _policy(origin: str) -> Policy:
    """Exactly the quote, to the pinned payee, on the test network."""
    return Policy(1_400_000, frozenset({"eip155:84532"}), payee=GPU_VENDOR_1_PAY_TO, origin=origin)


async def test_purser_buys_a_job(serve: Serve) -> None:
    """Its policy finds nothing amiss with the terms, and the receipt it reads is the settlement in the journal."""
    vendor = serve(clock=time.time)
    url = str(vendor.http.base_url.join("/submit-job"))
    response = await vendor.http.post(
        url,
        json={"vendorJobTemplateId": await vendor.template(), "jobParams": vendor.params},
        headers=vendor.headers({"idempotency-key": "k"}),
        auth=_wallet(_policy(url)),
    )
    assert response.status_code == 200
    (settled,) = await vendor.journal("settlements")
    receipt = read_receipt(response.headers)
    assert receipt is not None
    assert (receipt.success, receipt.transaction) == (True, text(settled, "transaction"))
    assert (dig(settled, "payer"), dig(settled, "amount")) == (_SIGNER.address, 1_400_000)


@pytest.mark.parametrize("fault", ["price_above_quote=1", "wrong_payee", "wrong_network"])
async def test_purser_signs_nothing_for_terms_that_were_tampered_with(serve: Serve, fault: str) -> None:
    """What these faults are for: the policy refuses, and no authorization leaves."""
    vendor = serve(clock=time.time, faults=fault)
    url = str(vendor.http.base_url.join("/submit-job"))
    with pytest.raises(PolicyRefused):
        await vendor.http.post(
            url,
            json={"vendorJobTemplateId": await vendor.template(), "jobParams": vendor.params},
            headers=vendor.headers({"idempotency-key": "k"}),
            auth=_wallet(_policy(url)),
        )
    assert await vendor.journal("payments") == []
