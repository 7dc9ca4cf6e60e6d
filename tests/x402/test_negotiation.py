"""The exchange without I/O: which terms count, what goes back, what a receipt and a refusal say."""

from __future__ import annotations

import json

import httpx
import pytest

from net.strict_json import Json, to_json
from tests.x402.samples import (
    NETWORK,
    NONCE,
    NOW,
    OTHER,
    PAYEE,
    PAYER,
    URL,
    USDC,
    challenge,
    entry,
    offer,
    v1_entry,
)
from x402.codec import decode_header, encode_header
from x402.decode import offer_from
from x402.errors import MalformedHeader, NotX402, PolicyRefused, UnsupportedVersion
from x402.negotiation import UnsignedPayment, build_payment, read_challenge, read_receipt, rejection_reason, window
from x402.policy import Policy, choose
from x402.wire import Challenge, Offer

V2: dict[str, Json] = {"x402Version": 2, "accepts": [entry()], "resource": {"url": URL}}
V1: dict[str, Json] = {"x402Version": 1, "accepts": [v1_entry()]}
SIGNATURE = "0x" + "11" * 64 + "1b"
ID = "pay_7d5d747be160e280504c099d984bcfe0"


def header(message: dict[str, Json]) -> dict[str, str]:
    return {"PAYMENT-REQUIRED": encode_header(message)}


def body(message: dict[str, Json]) -> bytes:
    return json.dumps(message).encode()


def build(terms: Challenge, chosen: Offer, payment_id: str | None = None) -> UnsignedPayment:
    return build_payment(
        terms, chosen, payer=PAYER, nonce=NONCE, valid_after=0, valid_before=NOW, payment_id=payment_id
    )


def sent(unsigned: UnsignedPayment) -> dict[str, Json]:
    finished = unsigned.finish(SIGNATURE)
    return decode_header(finished.name, finished.value)


def test_the_header_wins_over_the_body() -> None:
    """A server that speaks both versions is paid in version 2 (section 4)."""
    assert read_challenge(header(V2), body(V1)).version == 2


def test_httpx_headers_are_read_like_dictionaries() -> None:
    """Names in any case."""
    assert read_challenge(httpx.Headers(header(V2)), b"").version == 2


def test_a_broken_header_does_not_fall_back_to_the_body() -> None:
    """Whoever can break a header must not choose the terms."""
    with pytest.raises(MalformedHeader):
        read_challenge({"PAYMENT-REQUIRED": "!"}, body(V1))
    with pytest.raises(MalformedHeader, match="accepts is not a list"):
        read_challenge(header({"x402Version": 2}), body(V1))


def test_two_headers_of_one_name_are_refused() -> None:
    """httpx joins them with a comma; that is no base64."""
    value = encode_header(V2)
    with pytest.raises(MalformedHeader):
        read_challenge(httpx.Headers([("PAYMENT-REQUIRED", value), ("PAYMENT-REQUIRED", value)]), b"")


def test_a_header_without_a_version_is_version_2() -> None:
    """As the official client reads it; a version of the wrong type is no version."""
    without = {key: value for key, value in V2.items() if key != "x402Version"}
    assert read_challenge(header(without), b"").version == 2
    for odd in ("2", 2.0, True, None):
        with pytest.raises(MalformedHeader, match="x402Version"):
            read_challenge(header(V2 | {"x402Version": odd}), b"")


def test_version_1_terms_may_come_in_the_header() -> None:
    """The official client accepts them there; they are paid as version 1."""
    read = read_challenge(header(V1), b"")
    assert read.version == 1
    assert build(read, read.offers[0]).finish(SIGNATURE).name == "X-PAYMENT"


def test_version_2_terms_in_the_body_need_an_opt_in() -> None:
    """x402#2207: common in the wild, against the spec."""
    with pytest.raises(NotX402, match="version 2 terms belong in PAYMENT-REQUIRED"):
        read_challenge({}, body(V2))
    assert read_challenge({}, body(V2), body_terms=True).version == 2


def test_an_unknown_version_is_refused_by_name() -> None:
    """Header or body, opted in or not; the official client pays version 3 as 2."""
    for headers, content in ((header(V2 | {"x402Version": 3}), b""), ({}, body(V2 | {"x402Version": 3}))):
        with pytest.raises(UnsupportedVersion, match="version 3"):
            read_challenge(headers, content)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>pay</html>",
        b"[]",
        b"{}",
        b'{"x402Version":"1"}',
        b'{"x402Version":1}',
        b'{"x402Version":1,"accepts":{}}',
    ],
)
def test_a_402_without_terms_is_not_x402(content: bytes) -> None:
    """Handed to the caller as its own error, never retried (x402#1840, #3249)."""
    with pytest.raises(NotX402, match="has no PAYMENT-REQUIRED header and its body holds no terms"):
        read_challenge({}, content, body_terms=True)


def test_what_goes_back_is_what_came() -> None:
    """Section 4: `accepted`, `resource` and `extensions` are copies, unknown keys and address case included."""
    note: dict[str, Json] = {"x-note": {"z": 1, "a": [None]}}
    odd = entry(payTo=PAYEE.lower(), **note)
    extensions: dict[str, Json] = {"bazaar": {"info": {"input": None}, "schema": {"type": "object"}}}
    resource: dict[str, Json] = {"url": URL, "description": "", "x": 1}
    terms = read_challenge(
        header({"x402Version": 2, "accepts": [odd], "resource": resource, "extensions": extensions}), b""
    )
    message = sent(build(terms, terms.offers[0]))
    assert json.dumps(message["accepted"]) == json.dumps(odd)
    assert message["resource"] == resource
    assert message["extensions"] == extensions


def test_version_1_sends_its_own_name_of_the_network() -> None:
    """Not the CAIP-2 id that is used inside."""
    read = read_challenge({}, body(V1))
    message = sent(build(read, read.offers[0]))
    assert message["network"] == "base-sepolia"
    assert "accepted" not in message


def test_the_domain_comes_from_our_own_table() -> None:
    """Whatever the terms say; a token that is not in it is not signed for."""
    liar = offer(extra={"name": "Evil", "version": "9"})
    assert build(challenge(liar), liar).typed.domain.name == "USDC"
    unknown = offer(asset=OTHER)
    with pytest.raises(PolicyRefused, match="not a token known here"):
        build(challenge(unknown), unknown)


def declared(*, required: Json) -> dict[str, Json]:
    return {
        "payment-identifier": {"info": {"required": required, "x": 1}, "schema": {"type": "object"}},
        "other": {},
    }


def test_a_declared_payment_id_is_added_and_nothing_else_changes() -> None:
    """Section 9: the entry whole, `info.id` added."""
    terms = challenge(extensions=declared(required=True))
    message = sent(build(terms, offer(), ID))
    expected = declared(required=True) | {
        "payment-identifier": {"info": {"required": True, "x": 1, "id": ID}, "schema": {"type": "object"}}
    }
    assert message["extensions"] == expected
    assert terms.extensions == declared(required=True)


def test_a_payment_id_is_sent_only_where_it_is_declared() -> None:
    """Servers may refuse what they did not declare."""
    assert "extensions" not in sent(build(challenge(), offer(), ID))
    odd: dict[str, Json] = {"payment-identifier": "x"}
    assert sent(build(challenge(extensions=odd), offer(), ID))["extensions"] == odd


def test_a_required_payment_id_must_be_given() -> None:
    """Without one the payment would be refused, so it is not made; an optional one may be left out."""
    with pytest.raises(PolicyRefused, match="requires a payment-identifier"):
        build(challenge(extensions=declared(required=True)), offer())
    optional = declared(required=False)
    assert sent(build(challenge(extensions=optional), offer()))["extensions"] == optional


def test_an_ill_formed_payment_id_is_the_callers_mistake() -> None:
    """Checked before anything is signed, declared or not."""
    with pytest.raises(ValueError, match="16 to 128"):
        build(challenge(), offer(), "short")


def test_an_unsigned_payment_does_not_show_its_extensions() -> None:
    """They may carry an id of ours; a repr shows what is signed."""
    shown = repr(build(challenge(extensions=declared(required=True)), offer(), ID))
    assert ID not in shown
    assert "10000" in shown


@pytest.mark.parametrize(("asked", "given"), [(60, 60), (900, 900), (901, 900), (315_360_000, 900)])
def test_a_window_is_as_short_as_both_sides_allow(asked: int, given: int) -> None:
    """Ten years are signed by the official client; ours are shortened, and start in the past for slow clocks."""
    assert window(offer(maxTimeoutSeconds=asked), NOW, 900) == (NOW - 600, NOW + given)


def test_a_window_never_starts_before_time() -> None:
    """validAfter is unsigned; test clocks start near zero."""
    assert window(offer(), 5, 900) == (0, 305)


def test_the_receipt_of_either_version_is_read() -> None:
    """PAYMENT-RESPONSE first, then X-PAYMENT-RESPONSE."""
    ours: dict[str, Json] = {"success": True, "transaction": "0x1", "network": "base-sepolia"}
    old = read_receipt({"X-Payment-Response": encode_header(ours)})
    assert old is not None
    assert old.network == "eip155:84532"
    both = {
        "X-PAYMENT-RESPONSE": encode_header(ours),
        "PAYMENT-RESPONSE": encode_header(ours | {"transaction": "0x2"}),
    }
    new = read_receipt(both)
    assert new is not None
    assert new.transaction == "0x2"
    assert read_receipt({}) is None
    with pytest.raises(MalformedHeader):
        read_receipt({"PAYMENT-RESPONSE": "junk"})


@pytest.mark.parametrize(
    ("headers", "content", "reason"),
    [
        ({"PAYMENT-RESPONSE": encode_header({"success": False, "errorReason": "settle"})}, body(V1), "settle"),
        (header(V2 | {"error": "verify"}), body(V1 | {"error": "body"}), "verify"),
        ({"PAYMENT-RESPONSE": encode_header({"success": False})} | header(V2 | {"error": "x"}), b"", "x"),
        ({}, body(V1 | {"error": "body"}), "body"),
        ({}, body(V2 | {"error": "v2 body"}), "v2 body"),
        (header(V2), b"", "no reason given"),
        ({}, b"<html>", "no reason given"),
        (
            {},
            b'{"error": "Settlement failed", "details": "insufficient_funds"}',
            "Settlement failed: insufficient_funds",
        ),
        ({}, b'{"error": {"message": "no funds"}}', "no funds"),
        ({}, b'{"x402Version": 2, "error": "insufficient_funds"}', "insufficient_funds"),
        ({}, b'{"error": 7, "message": null, "reason": "\\u0000"}', "no reason given"),
        (
            {"PAYMENT-RESPONSE": encode_header({"success": False, "network": "", "errorReason": "no_funds"})},
            b"",
            "no_funds",
        ),
        ({"PAYMENT-RESPONSE": "junk"}, b"", "no reason given"),
    ],
)
def test_the_reason_of_a_refusal_is_found_where_it_is(
    headers: dict[str, str], content: bytes, reason: str
) -> None:
    """A failed settlement says it in the receipt, a failed verification in the new terms (section 11)."""
    assert rejection_reason(headers, content) == reason


def test_offers_of_both_versions_build_the_same_authorization() -> None:
    """The versions differ in spelling only."""
    first = offer_from(v1_entry(), 1)
    assert build(Challenge(1, (first,)), first).typed == build(challenge(), offer()).typed


def _both(header: list[Json], body: dict[str, Json] | bytes) -> list[tuple[int, int]]:
    """Version and amount of the offers of a challenge with terms in two places."""
    headers = {"PAYMENT-REQUIRED": encode_header({"x402Version": 2, "accepts": header, "resource": {"url": URL}})}
    read = read_challenge(headers, body if isinstance(body, bytes) else to_json(body))
    return [(offer.version, offer.amount) for offer in read.offers]


def test_a_lower_price_in_the_body_is_taken_over() -> None:
    """Never the higher of two: the body may only lower what the header asks for the same token."""
    first: dict[str, Json] = {"x402Version": 1, "accepts": [v1_entry(maxAmountRequired="4000")]}
    second: dict[str, Json] = {"x402Version": 2, "accepts": [entry(amount="4000", asset=USDC.lower())]}
    assert _both([entry()], first) == [(2, 10000), (1, 4000)]
    assert _both([entry()], second) == [(2, 10000), (2, 4000)]
    assert _both([entry(), entry(amount="3000")], first) == [(2, 10000), (2, 3000)]


@pytest.mark.parametrize(
    "body",
    [
        {"x402Version": 1, "accepts": [v1_entry()]},
        {"x402Version": 1, "accepts": [v1_entry(maxAmountRequired="20000")]},
        {"x402Version": 2, "accepts": [entry(amount="1", network="eip155:8453")]},
        {"x402Version": 3, "accepts": [entry(amount="1")]},
        {"x402Version": 2, "accepts": [entry(amount=1), None]},
        {"accepts": [entry(amount="1")]},
        {"error": "pay"},
        b"<html>",
        b"\xff",
    ],
)
def test_any_other_body_beside_a_header_is_not_looked_at(body: dict[str, Json] | bytes) -> None:
    """Equal or dearer, for another token, of another version, or no terms at all."""
    assert _both([entry()], body) == [(2, 10000)]


def test_a_version_1_offer_beside_a_header_is_paid_in_version_1() -> None:
    """Without the resource and the extensions of version 2, and for the place that was called."""
    message: dict[str, Json] = {"x402Version": 2, "accepts": [entry()], "resource": {"url": URL}}
    declared: dict[str, Json] = {"payment-identifier": {"info": {"required": True}}}
    headers = {"PAYMENT-REQUIRED": encode_header(message | {"extensions": declared})}
    cheaper = v1_entry(maxAmountRequired="4000")
    elsewhere = v1_entry(maxAmountRequired="3000", resource="https://elsewhere.example/")
    read = read_challenge(headers, to_json({"x402Version": 1, "accepts": [elsewhere, cheaper]}))
    chosen = choose(read, Policy(10_000, frozenset({NETWORK}), origin=URL))
    unsigned = build_payment(read, chosen, payer=PAYER, nonce=NONCE, valid_after=0, valid_before=1)
    assert (chosen.version, chosen.amount) == (1, 4000)
    assert (unsigned.resource, unsigned.extensions) == (None, None)
