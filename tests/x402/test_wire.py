"""The values: none can be built invalid, none shows what can be cashed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import FrozenInstanceError, replace

import pytest

from net.strict_json import Json, JsonObject
from tests.x402.samples import NONCE, PAYEE, PAYER, entry, offer, payment_for
from x402.codec import UINT256_MAX, decode_header
from x402.wire import Authorization, Payment, PaymentHeader, Receipt, valid_payment_id

AUTHORIZATION = Authorization(PAYER, PAYEE, 10_000, 0, 2_000_000_000, NONCE)
SIGNATURE = "0x" + "5e" * 65


def payment(resource: JsonObject | None = None, extensions: JsonObject | None = None) -> Payment:
    return Payment(2, "exact", "eip155:84532", AUTHORIZATION, SIGNATURE, entry(), resource, extensions)


@pytest.mark.parametrize(
    ("build", "why"),
    [
        (lambda: replace(AUTHORIZATION, payer="0x12"), "from"),
        (lambda: replace(AUTHORIZATION, payee=PAYEE + "0"), "to"),
        (lambda: replace(AUTHORIZATION, value=-1), "value"),
        (lambda: replace(AUTHORIZATION, value=UINT256_MAX + 1), "value"),
        (lambda: replace(AUTHORIZATION, valid_after=-1), "validAfter"),
        (lambda: replace(AUTHORIZATION, valid_before=UINT256_MAX + 1), "validBefore"),
        (lambda: replace(AUTHORIZATION, nonce=NONCE[:-2]), "nonce"),
        (lambda: replace(AUTHORIZATION, nonce=NONCE[2:]), "nonce"),
        (lambda: replace(offer(), network="solana:1"), "network"),
        (lambda: replace(offer(), amount=-1), "amount"),
        (lambda: replace(offer(), amount=UINT256_MAX + 1), "amount"),
        (lambda: replace(offer(), asset="USDC"), "asset"),
        (lambda: replace(offer(), pay_to="0x"), "payTo"),
        (lambda: replace(offer(), max_timeout_seconds=0), "maxTimeoutSeconds"),
        (lambda: replace(payment(), version=3), "version"),
        (lambda: replace(payment(), accepted=None), "accepted"),
        (lambda: replace(payment(), version=1), "accepted"),
        (lambda: replace(payment(), signature="5e" * 65), "signature"),
        (lambda: replace(payment(), signature="0x5"), "signature"),
        (lambda: replace(payment(), signature="0x" + "5e" * 5000), "signature"),
        (lambda: PaymentHeader("Authorization", "x"), "X-PAYMENT"),
        (lambda: Receipt(True, "0x1\n0x2", "eip155:84532"), "transaction"),
        (lambda: Receipt(True, "x" * 257, "eip155:84532"), "transaction"),
    ],
)
def test_an_invalid_value_cannot_be_built(build: Callable[[], object], why: str) -> None:
    """A value that exists is well formed; the error names the field."""
    with pytest.raises(ValueError, match=why):
        build()


def test_values_do_not_change() -> None:
    """What was checked is what is signed."""
    with pytest.raises(FrozenInstanceError):
        AUTHORIZATION.value = 1  # type: ignore[misc]


def test_what_can_be_cashed_is_never_shown() -> None:
    """Neither the signature nor the header's value is in a repr or a str."""
    header = payment().encode()
    shown = f"{payment()!r} {payment()} {header!r} {header}"
    assert "5e5e5e" not in shown
    assert header.value not in shown
    assert "PAYMENT-SIGNATURE" in shown


def test_messages_have_the_key_order_of_the_official_client() -> None:
    """Section 2, so that headers can be compared byte for byte with the vectors."""
    second = payment(resource={"url": "u"}, extensions={"a": {}}).as_json()
    assert list(second) == ["x402Version", "payload", "accepted", "resource", "extensions"]
    first = Payment(1, "exact", "base-sepolia", AUTHORIZATION, SIGNATURE).as_json()
    assert list(first) == ["x402Version", "scheme", "network", "payload"]


async def test_a_header_is_of_its_version() -> None:
    """Version 2 travels in PAYMENT-SIGNATURE, version 1 in X-PAYMENT."""
    assert (await payment_for(offer())).encode().name == "PAYMENT-SIGNATURE"
    header = Payment(1, "exact", "base-sepolia", AUTHORIZATION, SIGNATURE).encode()
    assert header.name == "X-PAYMENT"
    assert decode_header(header.name, header.value)["x402Version"] == 1


def test_a_receipt_leaves_out_what_it_does_not_know() -> None:
    """`transaction` is always there, "" when there is none (section 3)."""
    assert Receipt(False, "", "eip155:84532").as_json() == {
        "success": False,
        "transaction": "",
        "network": "eip155:84532",
    }
    full = Receipt(True, "0x1", "eip155:84532", payer=PAYER, amount=7, error_reason="none")
    assert full.as_json() == {
        "success": True,
        "errorReason": "none",
        "payer": PAYER,
        "transaction": "0x1",
        "network": "eip155:84532",
        "amount": "7",
    }


def test_a_payment_id_is_16_to_128_plain_characters() -> None:
    """Section 9."""
    assert valid_payment_id("pay_" + "0" * 32)
    assert valid_payment_id("a" * 16)
    assert valid_payment_id("a-Z_9" * 25)
    for text in ("a" * 15, "a" * 129, "a" * 16 + "!", "a" * 16 + "\n", "é" * 16):
        assert not valid_payment_id(text)


@pytest.mark.parametrize(
    "extensions",
    [
        None,
        {},
        {"payment-identifier": "x"},
        {"payment-identifier": {}},
        {"payment-identifier": {"info": []}},
        {"payment-identifier": {"info": {"id": 1}}},
        {"payment-identifier": {"info": {"id": "too short"}}},
    ],
)
def test_an_odd_payment_id_is_none(extensions: dict[str, Json] | None) -> None:
    """A payer may send anything in an extension."""
    assert replace(payment(), extensions=extensions).payment_id is None
    told = replace(payment(), extensions={"payment-identifier": {"info": {"id": "pay_0123456789abcdef"}}})
    assert told.payment_id == "pay_0123456789abcdef"
