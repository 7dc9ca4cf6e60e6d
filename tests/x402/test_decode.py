"""Messages of strangers: read strictly, entry by entry, and never with an error that is not ours."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from net.strict_json import Json, JsonObject
from tests.x402.samples import NETWORK, PAYER, entry, offer, payment_for, v1_entry
from tests.x402.vectors import VECTORS
from x402.codec import decode_header, encode_header
from x402.decode import challenge_from, decode_payment, decode_receipt, header_in, offer_from
from x402.errors import MalformedHeader, UnsupportedVersion, X402Error
from x402.negotiation import read_challenge, read_receipt, rejection_reason
from x402.selling.seller import read_payment
from x402.wire import Receipt

_leaf: st.SearchStrategy[Json] = st.sampled_from(
    [None, True, False, 0, -1, 2, 10**30, 1.5, "", "0", "0x", "-1", "exact", NETWORK, "\x00", PAYER, [], {}, [[]]]
)
_PAYMENT: dict[str, Json] = VECTORS["valid"][1]["payload"]
_CHALLENGE: dict[str, Json] = {
    "x402Version": 2,
    "error": "pay",
    "resource": {"url": "https://gpu.example"},
    "accepts": [entry(), entry(amount="5")],
    "extensions": {"payment-identifier": {"info": {"required": True}, "schema": {}}},
}
_V1_CHALLENGE: dict[str, Json] = {"x402Version": 1, "error": "pay", "accepts": [v1_entry()]}
_RECEIPT: dict[str, Json] = {
    "success": True,
    "transaction": "0x1",
    "network": NETWORK,
    "payer": PAYER,
    "amount": "1",
}


def _paths(value: Json, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    found = [path] if path else []
    if isinstance(value, dict):
        for key, inner in value.items():
            found += _paths(inner, (*path, key))
    if isinstance(value, list):
        for index, inner in enumerate(value):
            found += _paths(inner, (*path, index))
    return found


def _mutated(message: dict[str, Json]) -> st.SearchStrategy[dict[str, Json]]:
    """The message with one to three of its parts replaced or taken out."""

    def apply(changes: list[tuple[tuple[str | int, ...], Json, bool]]) -> dict[str, Json]:
        result = copy.deepcopy(message)
        for path, value, drop in changes:
            _change(result, path, value, drop=drop)
        return result

    change = st.tuples(st.sampled_from(_paths(message)), _leaf, st.booleans())
    return st.lists(change, min_size=1, max_size=3).map(apply)


def _change(root: Json, path: tuple[str | int, ...], value: Json, *, drop: bool) -> None:
    first, *rest = path
    if isinstance(root, dict) and isinstance(first, str) and first in root:
        if rest:
            _change(root[first], tuple(rest), value, drop=drop)
        elif drop:
            del root[first]
        else:
            root[first] = value
    elif isinstance(root, list) and isinstance(first, int) and first < len(root):
        if rest:
            _change(root[first], tuple(rest), value, drop=drop)
        else:
            root[first] = value


@given(_mutated(_PAYMENT), st.sampled_from(["PAYMENT-SIGNATURE", "X-PAYMENT"]))
def test_a_damaged_payment_is_read_or_refused_in_our_own_words(message: dict[str, Json], name: str) -> None:
    """Only X402Error leaves the decoder; what is read can be written again."""
    try:
        payment = read_payment({name: encode_header(message)})
    except X402Error:
        return
    assert payment is not None
    assert decode_payment(name, payment.encode().value) == payment


@given(_mutated(_CHALLENGE))
def test_a_damaged_challenge_is_read_or_refused_in_our_own_words(message: dict[str, Json]) -> None:
    """Every entry is either an offer, whose raw form is untouched, or has a reason why it was skipped."""
    try:
        challenge = read_challenge({"payment-required": encode_header(message)}, b"")
    except X402Error:
        return
    accepts = message["accepts"]
    assert isinstance(accepts, list)
    assert len(challenge.offers) + len(challenge.skipped) == len(accepts)
    assert all(read.raw in accepts for read in challenge.offers)


@given(_mutated(_V1_CHALLENGE), st.booleans())
def test_a_damaged_body_is_read_or_refused_in_our_own_words(message: dict[str, Json], opted_in: bool) -> None:
    """The same for terms in a body."""
    body = encode_header(message)
    try:
        read_challenge({}, body.encode(), body_terms=opted_in)
    except X402Error:
        return


@given(_mutated(_RECEIPT))
def test_a_damaged_receipt_is_read_or_refused_in_our_own_words(message: dict[str, Json]) -> None:
    """A receipt is money's last word, so it is read as carefully as the first."""
    try:
        receipt = read_receipt({"PAYMENT-RESPONSE": encode_header(message)})
    except MalformedHeader:
        return
    assert receipt is not None
    assert isinstance(receipt.success, bool)


@given(st.text(max_size=100), st.binary(max_size=100))
def test_a_reason_can_always_be_had(value: str, body: bytes) -> None:
    """Asking why a payment was refused never fails, and the text fits a log line."""
    for name in ("PAYMENT-RESPONSE", "PAYMENT-REQUIRED", "X-PAYMENT-RESPONSE"):
        reason = rejection_reason({name: value}, body)
        assert reason
        assert reason.isprintable()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"scheme": None}, "scheme is not a string"),
        ({"network": 84532}, "network is not a string"),
        ({"network": "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp"}, "not an EVM chain"),
        ({"network": "base-sepolia"}, "not an EVM chain"),
        ({"amount": 10000}, "amount is not a string"),
        ({"amount": "0x2710"}, "amount is not a decimal"),
        ({"amount": "1e4"}, "amount is not a decimal"),
        ({"amount": str(2**256)}, "amount is not a decimal"),
        ({"asset": "USDC"}, "asset is not an address"),
        ({"payTo": ""}, "payTo is not an address"),
        ({"maxTimeoutSeconds": "300"}, "maxTimeoutSeconds is not an integer"),
        ({"maxTimeoutSeconds": True}, "maxTimeoutSeconds is not an integer"),
        ({"maxTimeoutSeconds": -5}, "maxTimeoutSeconds is not positive"),
        ({"extra": None}, "extra is not an object"),
        ({"extra": []}, "extra is not an object"),
    ],
)
def test_an_odd_entry_is_skipped_with_its_reason(change: dict[str, Json], why: str) -> None:
    """x402#1762: one odd entry must not cost the others."""
    challenge = challenge_from({"accepts": [entry(**change), entry()]}, 2)
    assert [read.raw for read in challenge.offers] == [entry()]
    assert len(challenge.skipped) == 1
    assert challenge.skipped[0].startswith("entry 0: ")
    assert why in challenge.skipped[0]


def test_an_entry_that_is_no_object_is_skipped() -> None:
    """Anything may stand in a list."""
    challenge = challenge_from({"accepts": ["x", None, entry()]}, 2)
    assert challenge.skipped == ("entry 0: not an object", "entry 1: not an object")
    assert len(challenge.offers) == 1


def test_a_v1_entry_may_have_a_null_extra_and_a_v2_entry_none() -> None:
    """The v1 schema allows null; both allow leaving it out."""
    assert offer_from(v1_entry(extra=None), 1).extra == {}
    without = entry()
    del without["extra"]
    assert offer_from(without, 2).extra == {}


def test_unknown_keys_of_an_entry_are_kept() -> None:
    """They are echoed; the official client loses them."""
    assert offer(**{"x-note": {"a": [1]}}).raw["x-note"] == {"a": [1]}


def test_terms_of_odd_types_around_the_entries_are_left_out() -> None:
    """`error`, `resource` and `extensions` are optional, so an odd one is as good as none."""
    challenge = challenge_from({"accepts": [], "error": 1, "resource": "x", "extensions": []}, 2)
    assert (challenge.error, challenge.resource, challenge.extensions) == (None, None, None)


@pytest.mark.parametrize("version", [0, 3, -1])
def test_other_versions_are_named(version: int) -> None:
    """The official middleware pays version 3 as if it were 2 (section 11)."""
    with pytest.raises(UnsupportedVersion, match=f"version {version} ") as caught:
        decode_payment("PAYMENT-SIGNATURE", encode_header(_PAYMENT | {"x402Version": version}))
    assert caught.value.version == version
    with pytest.raises(UnsupportedVersion):
        challenge_from({"accepts": []}, version)


async def test_each_version_belongs_in_its_own_header() -> None:
    """A payment in the other version's header is refused; header names have no case."""
    header = (await payment_for(offer())).encode()
    assert decode_payment("payment-signature", header.value).version == 2
    with pytest.raises(MalformedHeader, match="belongs in PAYMENT-SIGNATURE"):
        decode_payment("X-PAYMENT", header.value)


async def test_a_malformed_payment_does_not_quote_the_signature() -> None:
    """The error of an unreadable payment goes to logs and to strangers."""
    message: JsonObject = (await payment_for(offer())).as_json()
    with pytest.raises(MalformedHeader, match="accepted is missing") as caught:
        decode_payment("PAYMENT-SIGNATURE", encode_header({k: v for k, v in message.items() if k != "accepted"}))
    payload = message["payload"]
    assert isinstance(payload, dict)
    assert str(payload["signature"])[2:20] not in f"{caught.value!r} {caught.value.__cause__!r}"


def test_a_payment_may_carry_null_for_what_it_leaves_out() -> None:
    """`resource` and `extensions` are optional; null counts as absent, another type does not."""
    read = decode_payment("PAYMENT-SIGNATURE", encode_header(_PAYMENT | {"resource": None, "extensions": None}))
    assert (read.resource, read.extensions) == (None, None)
    with pytest.raises(MalformedHeader, match="resource is not an object"):
        decode_payment("PAYMENT-SIGNATURE", encode_header(_PAYMENT | {"resource": "x"}))


@pytest.mark.parametrize(
    ("message", "receipt"),
    [
        ({"success": True, "transaction": "0x1", "network": "base-sepolia"}, Receipt(True, "0x1", NETWORK)),
        ({"success": False}, Receipt(False, "", "")),
        (
            {"success": False, "transaction": None, "network": NETWORK, "errorReason": "a\nb"},
            Receipt(False, "", NETWORK, error_reason="a b"),
        ),
        ({"success": False, "errorMessage": "why"}, Receipt(False, "", "", error_reason="why")),
        ({"success": True, "transaction": "0x1", "payer": "someone"}, Receipt(True, "0x1", "")),
        ({"success": True, "transaction": "0x1", "amount": "5"}, Receipt(True, "0x1", "", amount=5)),
    ],
)
def test_receipts_are_read_with_what_they_hold(message: dict[str, Json], receipt: Receipt) -> None:
    """Missing parts stay unknown; the network is a CAIP-2 id in both versions."""
    assert decode_receipt("PAYMENT-RESPONSE", encode_header(message)) == receipt


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"success": "true"},
        {"success": 1},
        {"success": True, "transaction": 5},
        {"success": True, "transaction": "0x1 0x2"},
        {"success": True, "network": []},
        {"success": True, "amount": 5},
        {"success": True, "amount": "-5"},
    ],
)
def test_an_unreadable_receipt_is_not_guessed_at(message: dict[str, Json]) -> None:
    """Whether money moved is never inferred from a value of the wrong type."""
    with pytest.raises(MalformedHeader, match="PAYMENT-RESPONSE"):
        decode_receipt("PAYMENT-RESPONSE", encode_header(message))


def test_headers_are_found_in_any_case() -> None:
    """HTTP header names have no case, dictionaries do."""
    assert header_in({"payment-required": "a"}, "PAYMENT-REQUIRED") == "a"
    assert header_in({"Payment-Required": "a"}, "PAYMENT-REQUIRED") == "a"
    assert header_in({"PAYMENT-REQUIRED": "a"}, "PAYMENT-REQUIRED") == "a"
    assert header_in({"other": "a"}, "PAYMENT-REQUIRED") is None


async def test_version_2_wins_when_a_request_carries_both() -> None:
    """One request, one payment."""
    header = (await payment_for(offer())).encode()
    payment = read_payment({"X-PAYMENT": "junk", "payment-signature": header.value})
    assert payment is not None
    assert payment.version == 2
    assert read_payment({"Accept": "*/*"}) is None
    assert decode_header(header.name, header.value) == payment.as_json()
