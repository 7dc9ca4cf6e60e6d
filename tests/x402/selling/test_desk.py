"""A facilitator's HTTP face: verdicts and receipts in the official SDKs' words, and never an exception."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from net.strict_json import Json, to_json
from tests.x402.samples import NETWORK, NOW, PAYER, entry, offer, payment_for, v1_entry
from x402.decode import offer_from
from x402.errors import FacilitatorError, FacilitatorUnavailable, SettlementUnknown, X402Error
from x402.failures import Failure, classify, spoken
from x402.selling.desk import FacilitatorDesk
from x402.selling.facilitator import Kind, Verdict
from x402.selling.offline import MemoryLedger, OfflineFacilitator
from x402.wire import Offer, Payment, Receipt

DESK = FacilitatorDesk(OfflineFacilitator(MemoryLedger(), lambda: NOW))


class Failing:
    """A facilitator that fails as told."""

    def __init__(self, error: X402Error) -> None:
        self.error = error

    async def verify(self, payment: Payment, offer: Offer) -> Verdict:
        raise self.error

    async def settle(self, payment: Payment, offer: Offer) -> Receipt:
        raise self.error

    async def supported(self) -> tuple[Kind, ...]:
        raise self.error


async def order(version: int = 2) -> dict[str, Json]:
    """What a seller sends for a payment that is in order."""
    terms = offer() if version == 2 else offer_from(v1_entry(), 1)
    payment = await payment_for(terms)
    usual: dict[str, Json] = {"x402Version": version, "paymentPayload": payment.as_json()}
    return usual | {"paymentRequirements": terms.raw}


async def asked(path: str, message: Json, desk: FacilitatorDesk = DESK) -> tuple[int, dict[str, Json]]:
    status, body = await desk.answer("POST", path, json.dumps(message).encode())
    return status, json.loads(body)


@pytest.mark.parametrize(("version", "network"), [(2, NETWORK), (1, "base-sepolia")])
async def test_a_payment_is_verified_then_settled_once(version: int, network: str) -> None:
    """The receipt names the network as the order's version does; settling again gives the same receipt."""
    ledger = MemoryLedger()
    desk = FacilitatorDesk(OfflineFacilitator(ledger, lambda: NOW))
    message = await order(version)
    assert await asked("/verify", message, desk) == (200, {"isValid": True, "payer": PAYER})
    status, receipt = await asked("/settle", message, desk)
    assert (status, receipt["success"], receipt["network"]) == (200, True, network)
    assert await asked("/settle", message, desk) == (200, receipt)
    assert [transfer.transaction for transfer in ledger.journal] == [receipt["transaction"]]
    _, verdict = await asked("/verify", message, desk)
    assert verdict["invalidReason"] == "invalid_exact_evm_nonce_already_used"


async def test_a_refusal_is_an_answer_with_its_reason() -> None:
    """Status 200: the official clients lose the reason of any other."""
    message = await order() | {"paymentRequirements": entry(amount="10001")}
    status, verdict = await asked("/verify", message)
    assert (status, verdict["isValid"], verdict["payer"]) == (200, False, PAYER)
    assert verdict["invalidReason"] == "invalid_exact_evm_payload_authorization_value_mismatch"
    status, receipt = await asked("/settle", message)
    assert (status, receipt["success"], receipt["transaction"]) == (200, False, "")
    assert receipt["errorReason"] == verdict["invalidReason"]


@pytest.mark.parametrize(
    "change",
    [
        {"paymentPayload": {}},
        {"paymentPayload": None},
        {"paymentRequirements": {}},
        {"paymentRequirements": entry(network="solana:mainnet")},
        {"x402Version": 1},
        {"x402Version": "2"},
    ],
)
async def test_an_order_that_cannot_be_read_is_refused(change: dict[str, Json]) -> None:
    """The official facilitator raises here (section 8), and its caller learns nothing."""
    for path, verdict in (("/verify", "isValid"), ("/settle", "success")):
        status, answer = await asked(path, await order() | change)
        assert (status, answer[verdict]) == (200, False)
        assert "invalid_payload" in answer.values()


async def test_other_versions_are_refused_too() -> None:
    """Version 3 is nobody's yet."""
    message = await order()
    payload = message["paymentPayload"]
    assert isinstance(payload, dict)
    status, answer = await asked("/verify", message | {"paymentPayload": payload | {"x402Version": 3}})
    assert (status, answer["invalidReason"]) == (200, "invalid_payload")


async def test_what_is_supported_is_listed_in_both_versions() -> None:
    """In the shape that official servers read when they start."""
    status, body = await DESK.answer("GET", "/supported", b"")
    answer = json.loads(body)
    assert (status, answer["extensions"], answer["signers"]) == (200, [], {})
    for version, network in ((2, NETWORK), (1, "base-sepolia")):
        assert {"x402Version": version, "scheme": "exact", "network": network} in answer["kinds"]


@pytest.mark.parametrize(
    ("error", "status"),
    [(FacilitatorUnavailable("busy"), 503), (SettlementUnknown("lost"), 502), (FacilitatorError("odd"), 502)],
)
async def test_a_facilitator_that_fails_is_told_by_the_status(error: X402Error, status: int) -> None:
    """503: nothing happened. 502: settle the same payment again."""
    desk = FacilitatorDesk(Failing(error))
    for path in ("/verify", "/settle"):
        assert await asked(path, await order(), desk) == (status, {"error": str(error)})
    assert (await desk.answer("GET", "/supported", b""))[0] == status


async def test_a_settlement_under_way_is_told_with_its_transaction() -> None:
    """As others read it: they settle again, and do not call it failed."""
    desk = FacilitatorDesk(Failing(SettlementUnknown("not confirmed yet", "0x" + "cd" * 32)))
    status, answer = await asked("/settle", await order(), desk)
    assert (status, answer["success"], answer["errorReason"]) == (200, False, "settlement_pending")
    assert (answer["transaction"], answer["network"]) == ("0x" + "cd" * 32, NETWORK)


async def test_other_paths_and_methods_are_turned_away() -> None:
    """With the status that says so."""
    assert (await DESK.answer("GET", "/discovery/resources", b""))[0] == 404
    assert (await DESK.answer("GET", "/verify", b""))[0] == 405
    assert (await DESK.answer("POST", "/supported", b""))[0] == 405


@given(st.sampled_from(["/verify", "/settle"]), st.binary(max_size=300))
async def test_any_bytes_get_a_refusal(path: str, body: bytes) -> None:
    """No exception comes out of the desk."""
    status, answer = await DESK.answer("POST", path, body)
    assert status == 200
    assert json.loads(answer).get("success", json.loads(answer).get("isValid")) is False


async def test_ten_megabytes_are_refused_unread() -> None:
    """Whoever serves it bounds bodies; the desk does too."""
    status, answer = await DESK.answer("POST", "/settle", to_json({"x": "y" * 10_000_000}))
    assert (status, json.loads(answer)["errorMessage"]) == (200, "longer than 65536 bytes")


@pytest.mark.parametrize("failure", list(Failure))
def test_our_words_and_the_official_ones_mean_the_same(failure: Failure) -> None:
    """A reason goes out as the official SDKs say it, and is understood when it comes back."""
    assert classify(spoken(failure.value)) is failure
    assert spoken("reason of somebody else") == "reason of somebody else"
