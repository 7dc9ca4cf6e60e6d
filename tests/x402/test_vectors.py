"""Every golden vector: what the official SDK signs we sign, what it accepts we accept, what is wrong we refuse."""

from __future__ import annotations

from collections.abc import Mapping

import httpx
import pytest

from tests.x402.samples import KEY
from tests.x402.vectors import (
    VECTORS,
    Checked,
    Client,
    Invalid,
    Permit2,
    Valid,
    challenge_of,
    payment_id_of,
    row_id,
)
from x402.client import PaymentAuth
from x402.decode import decode_payment, decode_receipt, offer_from
from x402.eip3009 import domain_separator
from x402.errors import MalformedHeader, NotX402, PolicyRefused, UnsupportedVersion, X402Error
from x402.failures import Failure
from x402.negotiation import build_payment, read_challenge, window
from x402.networks import asset, to_caip2
from x402.policy import Policy, choose
from x402.selling.facilitator import Facilitator
from x402.selling.offline import MemoryLedger, OfflineFacilitator
from x402.selling.seller import PaymentRefused, Seller, Terms, read_payment
from x402.wallets.signers import LocalSigner, sign_payment
from x402.wire import Challenge, Offer, Payment, PaymentHeader, Receipt


def at(clock: int, ledger: MemoryLedger | None = None) -> OfflineFacilitator:
    return OfflineFacilitator(ledger or MemoryLedger(), lambda: clock)


def seller(facilitator: Facilitator, offer: Offer) -> Seller:
    return Seller(facilitator, offer.pay_to, offer.network)


@pytest.mark.parametrize("row", VECTORS["valid"], ids=row_id)
async def test_we_sign_what_the_official_client_signs(row: Valid) -> None:
    """Payload, digest, signature and header are equal, byte for byte."""
    headers, body = challenge_of(row)
    terms = read_challenge(headers, body)
    offer = next(offer for offer in terms.offers if offer.raw == row["selectedRequirement"])
    wallet = LocalSigner(row["payerPrivateKey"])
    unsigned = build_payment(
        terms,
        offer,
        payer=wallet.address,
        nonce=row["nonce"],
        valid_after=int(row["validAfter"]),
        valid_before=int(row["validBefore"]),
        payment_id=payment_id_of(row["payload"]),
    )
    assert wallet.address == row["payer"]
    assert "0x" + domain_separator(unsigned.typed.domain).hex() == row["eip712"]["domainSeparator"]
    assert "0x" + unsigned.typed.struct_hash.hex() == row["eip712"]["structHash"]
    assert "0x" + unsigned.typed.digest.hex() == row["eip712"]["digest"]
    header = await sign_payment(unsigned, wallet)
    payment = decode_payment(header.name, header.value)
    assert payment.signature == row["signature"]
    assert payment.as_json() == row["payload"]
    assert (header.name, header.value) == (row["headerName"], row["headerValue"])


@pytest.mark.parametrize("row", VECTORS["valid"], ids=row_id)
async def test_we_settle_what_the_official_client_signed(row: Valid) -> None:
    """The header as it came is verified, settled once, and its receipt says what the official one says."""
    payment = decode_payment(row["headerName"], row["headerValue"])
    offer = offer_from(row["selectedRequirement"], row["x402Version"])
    ledger = MemoryLedger()
    facilitator = at(row["clock"], ledger)
    assert (await facilitator.verify(payment, offer)).valid
    receipt = await facilitator.settle(payment, offer)
    wanted = row["expect"]["settleAtClock"]
    assert receipt.success is wanted["success"]
    assert receipt.payer == wanted["payer"]
    assert receipt.network == to_caip2(wanted["network"], row["x402Version"])
    assert [transfer.transaction for transfer in ledger.journal] == [receipt.transaction]


@pytest.mark.parametrize("row", VECTORS["valid"], ids=row_id)
def test_we_read_the_official_receipt(row: Valid) -> None:
    """With the blanks and escapes of the Python server."""
    expect = row["expect"]
    wanted = expect["settleAtClock"]
    assert decode_receipt(expect["settleHeaderName"], expect["settleHeaderValue"]) == Receipt(
        success=wanted["success"],
        transaction=wanted["transaction"],
        network=to_caip2(wanted["network"], row["x402Version"]) or "",
        payer=wanted["payer"],
    )


@pytest.mark.parametrize("row", VECTORS["tolerated"], ids=row_id)
async def test_we_accept_what_is_to_be_tolerated(row: Checked) -> None:
    """Facilitator and seller both."""
    payment = decode_payment(row["headerName"], row["headerValue"])
    offer = offer_from(row["paymentRequirements"], 2)
    assert (await at(row["clock"]).verify(payment, offer)).valid
    receipt = await seller(at(row["clock"]), offer).collect(payment, Terms({2: offer}, {}, {}))
    assert receipt.success


async def chain_of(row: Invalid, offer: Offer) -> MemoryLedger:
    """The ledger a row speaks of. A used nonce was used by the row's own base, so that one is settled first."""
    ledger = MemoryLedger()
    chain = row.get("chain")
    if chain is None:
        return ledger
    token = asset(offer.network, offer.asset)
    assert token is not None
    assert {"name": token.name, "version": token.version} == chain["tokenDomain"]
    if chain["nonceUsed"]:
        base = next(valid for valid in VECTORS["valid"] if valid["id"] == row["base"])
        used = decode_payment(base["headerName"], base["headerValue"])
        assert (await at(base["clock"], ledger).settle(used, offer)).success
    payer = next(valid["payer"] for valid in VECTORS["valid"] if valid["id"] == row["base"])
    ledger.balances[(offer.network, offer.asset.lower(), payer.lower())] = int(chain["payerBalance"])
    return ledger


def read(row: Invalid) -> Payment | Failure:
    """The payment, or the class of what is wrong with its header."""
    try:
        payment = read_payment({row["headerName"]: row["headerValue"]})
    except UnsupportedVersion:
        return Failure.UNSUPPORTED
    except MalformedHeader:
        return Failure.MALFORMED
    return payment or Failure.NO_PAYMENT


@pytest.mark.parametrize("row", VECTORS["invalid"], ids=row_id)
async def test_a_seller_refuses_every_invalid_payment(row: Invalid) -> None:
    """With one of the classes that the row allows, and nothing is settled."""
    offer = offer_from(row["paymentRequirements"], row["x402Version"])
    ledger = await chain_of(row, offer)
    settled = len(ledger.journal)
    payment = read(row)
    if isinstance(payment, Failure):
        assert payment.value in row["acceptClasses"]
        return
    terms = Terms({row["x402Version"]: offer}, {}, {})
    with pytest.raises(PaymentRefused) as caught:
        await seller(at(row["clock"], ledger), offer).collect(payment, terms)
    assert caught.value.failure.value in row["acceptClasses"]
    assert len(ledger.journal) == settled


@pytest.mark.parametrize(
    "row", [row for row in VECTORS["invalid"] if "facilitator" in row["refusedBy"]], ids=row_id
)
async def test_a_facilitator_refuses_every_invalid_payment(row: Invalid) -> None:
    """A verdict, never an exception (section 8); settling refuses for the same reason."""
    offer = offer_from(row["paymentRequirements"], row["x402Version"])
    payment = read(row)
    if isinstance(payment, Failure):
        assert payment.value in row["acceptClasses"]
        return
    ledger = await chain_of(row, offer)
    if row["chain"]["nonceUsed"]:
        assert (await at(row["clock"], ledger).settle(payment, offer)).success  # the very same one: idempotent
        settled = 1
    else:
        receipt = await at(row["clock"], ledger).settle(payment, offer)
        assert not receipt.success
        assert receipt.error_reason in row["acceptClasses"]
        settled = 0
    verdict = await at(row["clock"], ledger).verify(payment, offer)
    assert verdict.failure is not None
    assert verdict.failure.value in row["acceptClasses"]
    assert verdict.message
    assert len(ledger.journal) == settled


@pytest.mark.parametrize("row", VECTORS["permit2"], ids=row_id)
def test_permit2_is_refused_in_plain_words(row: Permit2) -> None:
    """We neither pay nor take it: the offer is refused by policy, the payment cannot be read."""
    offer = offer_from(row["selectedRequirement"], 2)
    policy = Policy(max_amount=offer.amount, networks=frozenset({offer.network}))
    with pytest.raises(PolicyRefused, match="assetTransferMethod is not eip3009"):
        choose(Challenge(version=2, offers=(offer,)), policy)
    with pytest.raises(MalformedHeader, match="authorization is missing"):
        decode_payment(row["headerName"], row["headerValue"])


WANTED: Mapping[str, tuple[str, int] | type[X402Error]] = {
    "v2-header": ("PAYMENT-SIGNATURE", 10_000),
    "v1-body": ("X-PAYMENT", 10_000),
    "v2-header-and-v1-body": ("PAYMENT-SIGNATURE", 10_000),
    "v2-terms-in-body-only": NotX402,
    "one-accept-with-null-extra": ("PAYMENT-SIGNATURE", 10_000),
    "one-accept-of-unknown-shape": ("PAYMENT-SIGNATURE", 10_000),
    "version-3": UnsupportedVersion,
    "above-default-cap": PolicyRefused,
    "expensive-first": ("PAYMENT-SIGNATURE", 10_000),
    "ten-year-window": ("PAYMENT-SIGNATURE", 10_000),
    "resource-of-other-origin": PolicyRefused,
    "unknown-asset": PolicyRefused,
    "wrong-domain-name-advertised": PolicyRefused,
    "plain-402": NotX402,
}
"""The `wanted` column of the client vectors: the header and amount paid, or the error."""

NOW = 1_767_300_000


class Shop:
    """Answers unpaid requests as the row says, paid ones with 200."""

    def __init__(self, row: Client) -> None:
        self.answer = row["response"]
        self.paid: list[PaymentHeader] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        payments = [
            (name, request.headers[name]) for name in ("PAYMENT-SIGNATURE", "X-PAYMENT") if name in request.headers
        ]
        if not payments:
            return httpx.Response(self.answer["status"], headers=self.answer["headers"], text=self.answer["body"])
        assert request.headers["Cache-Control"] == "no-store"
        self.paid += [PaymentHeader(name, value) for name, value in payments]
        return httpx.Response(200)


@pytest.mark.parametrize("row", VECTORS["client"], ids=row_id)
async def test_we_answer_a_challenge_as_wanted(row: Client) -> None:
    """Pay once, the right offer in the right version, or refuse for the right reason and pay nothing."""
    wallet = LocalSigner(KEY)
    policy = Policy(1_000_000, frozenset({"eip155:84532"}), max_validity_seconds=900, origin=row["requestUrl"])

    async def authorize(terms: Challenge) -> PaymentHeader:
        offer = choose(terms, policy)
        after, before = window(offer, NOW, policy.max_validity_seconds)
        unsigned = build_payment(
            terms, offer, payer=wallet.address, nonce="0x" + "01" * 32, valid_after=after, valid_before=before
        )
        return await sign_payment(unsigned, wallet)

    shop, auth, wanted = Shop(row), PaymentAuth(authorize), WANTED[row["id"]]
    async with httpx.AsyncClient(transport=httpx.MockTransport(shop)) as http:
        if isinstance(wanted, tuple):
            assert (await http.get(row["requestUrl"], auth=auth)).status_code == 200
            [header] = shop.paid
            payment = decode_payment(header.name, header.value)
            assert (header.name, payment.authorization.value) == wanted
            assert payment.authorization.valid_before <= NOW + 900
            assert payment.accepted is None or payment.accepted["extra"] is not None
        else:
            with pytest.raises(wanted):
                await http.get(row["requestUrl"], auth=auth)
            assert shop.paid == []
    assert auth.paid is isinstance(wanted, tuple)
