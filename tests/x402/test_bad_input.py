"""Whatever a stranger sends, nothing but an X402Error comes out, and it is not kept in memory.

Seeds are real messages; they are damaged as JSON, as text, as bytes and as base64, in the header and in the body.
"""

from __future__ import annotations

import base64
import json
import tracemalloc
from collections.abc import AsyncIterator, Callable
from typing import TypeAlias

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from net.strict_json import MAX_BYTES, Json, to_json
from tests.x402.samples import NETWORK, NOW, PAYER, URL, entry, header_for, offer, payment_for, v1_entry
from x402.client import BoundedTransport, PaymentAuth
from x402.codec import encode_header
from x402.errors import FacilitatorError, MalformedHeader, NotX402, ResponseTooLarge, X402Error
from x402.negotiation import build_payment, read_challenge, read_receipt, rejection_reason
from x402.policy import Policy, choose
from x402.selling.desk import FacilitatorDesk
from x402.selling.offline import MemoryLedger, OfflineFacilitator
from x402.selling.remote import RemoteFacilitator
from x402.selling.seller import read_payment
from x402.wire import Challenge, PaymentHeader

CHALLENGE: dict[str, Json] = {
    "x402Version": 2,
    "error": "pay",
    "resource": {"url": URL, "description": "", "tags": ["a"]},
    "accepts": [entry(), entry(amount="5"), entry(network="solana:mainnet")],
    "extensions": {"payment-identifier": {"info": {"required": True}, "schema": {}}},
}
V1_CHALLENGE: dict[str, Json] = {"x402Version": 1, "error": "pay", "accepts": [v1_entry()]}
RECEIPT: dict[str, Json] = {
    "success": True,
    "transaction": "0x1",
    "network": NETWORK,
    "payer": PAYER,
    "amount": "1",
}
VERDICT: dict[str, Json] = {"isValid": False, "invalidReason": "invalid_payload", "payer": PAYER}
SUPPORTED: dict[str, Json] = {"kinds": [{"x402Version": 2, "scheme": "exact", "network": NETWORK}], "signers": {}}
PAYMENT: dict[str, Json] = {
    "x402Version": 2,
    "payload": {
        "signature": "0x" + "11" * 65,
        "authorization": {
            "from": PAYER,
            "to": PAYER,
            "value": "1",
            "validAfter": "0",
            "validBefore": str(NOW),
            "nonce": "0x" + "ab" * 32,
        },
    },
    "accepted": entry(),
}
SEEDS = (CHALLENGE, V1_CHALLENGE, RECEIPT, VERDICT, SUPPORTED, PAYMENT)
POLICY = Policy(10_000, frozenset({NETWORK}), origin=URL)

Bytes: TypeAlias = "st.SearchStrategy[bytes]"

_ODD = (
    *(b"null", b"true", b"-0", b"1e400", b"1E5", b"NaN", b"2", b"9" * 400),
    *(b'""', b'"0x"', b'"-1"', b'"\\ud800"', b'"\\u0000"', b'"\xc3\xa9"', b'"' + b"9" * 78 + b'"'),
    *(b"[]", b"{}", b"[[[[]]]]", b'{"a":1,"a":2}', b"\xff"),
)


@st.composite
def _text(draw: st.DrawFn) -> bytes:
    """A real message whose JSON text was damaged: values replaced, pieces cut, doubled, put elsewhere."""
    text = bytearray(to_json(draw(st.sampled_from(SEEDS))))
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 12)))
        how = draw(st.sampled_from(["cut", "double", "bytes", "value"]))
        if how == "value":  # behind a colon, so that it stands where a value stood
            start = text.find(b":", start) + 1
            end = next((at for at in range(start, len(text)) if text[at : at + 1] in b",]}"), len(text))
        piece = {
            "cut": b"",
            "double": bytes(text[start:end]) * 2,
            "bytes": draw(st.binary(max_size=6)),
            "value": draw(st.sampled_from(_ODD)),
        }[how]
        text[start:end] = piece
    return bytes(text)


_json: Bytes = st.one_of(_text(), st.sampled_from(SEEDS).map(to_json), st.binary(max_size=200))


@st.composite
def _header(draw: st.DrawFn) -> str:
    """Such a text as a header: base64 that is canonical, damaged, or none."""
    value = base64.b64encode(draw(_json)).decode()
    how = draw(st.sampled_from(["as it is", "as it is", "unpadded", "url-safe", "spaced", "any"]))
    return {
        "as it is": value,
        "unpadded": value.rstrip("="),
        "url-safe": value.replace("+", "-").replace("/", "_"),
        "spaced": value[:7] + " " + value[7:],
        "any": draw(st.text(max_size=60)),
    }[how]


@given(st.none() | _header(), _json, st.booleans())
def test_any_challenge_is_read_or_refused_and_what_is_chosen_is_within_the_policy(
    header: str | None, body: bytes, opted_in: bool
) -> None:
    """Through to the payment: terms, choice, and what would be signed."""
    headers = {} if header is None else {"PAYMENT-REQUIRED": header}
    try:
        challenge = read_challenge(headers, body, body_terms=opted_in)
        chosen = choose(challenge, POLICY)
        nonce, name = "0x" + "ab" * 32, "i" * 16
        unsigned = build_payment(
            challenge, chosen, payer=PAYER, nonce=nonce, valid_after=0, valid_before=NOW, payment_id=name
        )
        sent = unsigned.finish("0x" + "11" * 64 + "1b")
    except X402Error:
        return
    assert chosen in challenge.offers
    assert 0 < unsigned.typed.authorization.value <= POLICY.max_amount
    read = read_payment({sent.name: sent.value})
    assert read is not None
    assert read.authorization == unsigned.typed.authorization


@given(st.sampled_from(["PAYMENT-SIGNATURE", "X-PAYMENT"]), _header())
def test_any_payment_is_read_or_refused(name: str, value: str) -> None:
    """As a seller meets it."""
    try:
        payment = read_payment({name: value})
    except X402Error:
        return
    assert payment is not None
    assert read_payment({name: payment.encode().value}) == payment


@given(st.sampled_from(["PAYMENT-RESPONSE", "X-PAYMENT-RESPONSE"]), _header(), _json)
def test_any_receipt_is_read_or_refused_and_a_reason_can_be_had(name: str, value: str, body: bytes) -> None:
    """A receipt is money's last word."""
    assert rejection_reason({name: value}, body).isprintable()
    try:
        receipt = read_receipt({name: value})
    except X402Error:
        return
    assert receipt is not None


@given(_json, st.sampled_from([200, 400, 402, 500]))
async def test_any_answer_of_a_facilitator_is_read_or_refused(body: bytes, status: int) -> None:
    """Verdict, receipt and list of kinds."""
    http = httpx.AsyncClient(transport=httpx.MockTransport(lambda _request: httpx.Response(status, content=body)))
    async with http:
        far, payment = RemoteFacilitator(http, "https://facilitator.example"), await payment_for(offer())
        calls: list[Callable[[], object]] = [
            lambda: far.verify(payment, offer()),
            lambda: far.settle(payment, offer()),
            far.supported,
        ]
        for call in calls:
            try:
                await call()  # type: ignore[misc]
            except FacilitatorError:
                continue


@given(st.sampled_from(["/verify", "/settle"]), _json)
async def test_any_order_gets_an_answer_from_our_facilitator(path: str, body: bytes) -> None:
    """The desk raises nothing at all."""
    desk = FacilitatorDesk(OfflineFacilitator(MemoryLedger(), lambda: NOW))
    status, answer = await desk.answer("POST", path, body)
    assert (status, isinstance(json.loads(answer), dict)) == (200, True)


def _deep(opening: bytes, closing: bytes, depth: int) -> bytes:
    return b'{"x402Version":2,"accepts":' + opening * depth + closing * depth + b"}"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (_deep(b"[", b"]", 20_000), "nested deeper than 32"),
        (_deep(b'{"a":', b"}", 33), "nested|not JSON"),
        (b'{"x402Version":2,"accepts":[],"accepts":[]}', "a key appears twice"),
        (b'{"x402Version":2,"accepts":[' + to_json(entry())[:-1] + b',"amount":"1"}]}', "a key appears twice"),
        (b'{"x402Version":2,"accepts":[' + b"9" * 40_000 + b"]}", "a number that is too long"),
        (b'{"x402Version":2,"accepts":"' + b"[" * 40_000 + b'"}', "accepts is not a list"),
        (b"{" + b" " * MAX_BYTES, "longer than 65536"),
    ],
)
def test_a_challenge_that_would_cost_too_much_is_refused_by_name(text: bytes, why: str) -> None:
    """In the header and in the body alike."""
    with pytest.raises(MalformedHeader, match=why):
        read_challenge({"PAYMENT-REQUIRED": base64.b64encode(text).decode()}, b"")
    with pytest.raises(NotX402, match=why):
        read_challenge({}, text, body_terms=True)


@pytest.mark.parametrize(
    "read",
    [
        lambda text, _data: read_challenge({"PAYMENT-REQUIRED": text}, b""),
        lambda _text, data: read_challenge({}, data),
        lambda text, _data: read_payment({"X-PAYMENT": text}),
        lambda text, _data: read_receipt({"PAYMENT-RESPONSE": text}),
    ],
    ids=["header", "body", "payment", "receipt"],
)
def test_ten_megabytes_are_refused_before_they_are_copied(read: Callable[[str, bytes], object]) -> None:
    """What arrives is there already; reading it must not double it."""
    text = "A" * 10_000_000
    data = text.encode()
    tracemalloc.start()
    try:
        with pytest.raises(X402Error, match="longer than 65536"):
            read(text, data)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("announced", [None, "5", "10000000000"])
async def test_a_body_that_lies_about_its_size_is_not_read_to_its_end(announced: str | None) -> None:
    """No length, too small a one, too large a one: reading stops at the limit and nothing is paid."""
    given_out: list[int] = []

    async def flood() -> AsyncIterator[bytes]:
        for _ in range(1000):
            given_out.append(10_000)
            yield b"x" * 10_000

    def shop(_request: httpx.Request) -> httpx.Response:
        headers = {} if announced is None else {"Content-Length": announced}
        return httpx.Response(402, headers=headers, content=flood())

    async def never(_challenge: Challenge) -> PaymentHeader:
        raise AssertionError

    auth = PaymentAuth(never)
    async with httpx.AsyncClient(transport=BoundedTransport(httpx.MockTransport(shop), 100_000)) as http:
        with pytest.raises(ResponseTooLarge):
            await http.get(URL, auth=auth)
    assert sum(given_out) <= 110_000
    assert not auth.paid


def test_more_entries_than_any_seller_has_are_refused() -> None:
    """15,000 empty ones fit into a header; the reasons why none is paid would fill half a megabyte."""
    for number, why in ((64, "entry 63: network is missing"), (65, "accepts has more than 64 entries")):
        text = to_json({"x402Version": 2, "accepts": [{}] * number})
        with pytest.raises(X402Error, match=why):
            choose(read_challenge({"PAYMENT-REQUIRED": base64.b64encode(text).decode()}, b""), POLICY)


async def test_no_error_quotes_a_payment() -> None:
    """A payment that is cut short is still a cheque in part."""
    header = await header_for(offer())
    for name in ("PAYMENT-SIGNATURE", "X-PAYMENT"):
        for value in (header.value[:-8], header.value + "=", encode_header({"a": header.value})):
            with pytest.raises(X402Error) as caught:
                read_payment({name: value})
            assert header.value[40:80] not in f"{caught.value!r}{caught.value.__cause__!r}"
