"""The seller: terms in both versions, payments held against them, money collected once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import httpx
import pytest

from net.strict_json import Json, JsonObject
from tests.x402.samples import KEY, NETWORK, NONCE, NOW, PAYEE, PAYER, USDC, header_for
from tests.x402.server import Reply, Seen, serving
from x402.client import PaymentAuth
from x402.decode import decode_payment
from x402.errors import FacilitatorError, FacilitatorUnavailable, SettlementUnknown, X402Error
from x402.failures import Failure
from x402.negotiation import build_payment, read_challenge, read_receipt, rejection_reason, window
from x402.policy import Policy, choose
from x402.selling import settlements as settlements_module
from x402.selling.facilitator import Kind, Verdict
from x402.selling.idempotency import declaration
from x402.selling.offline import MemoryLedger, OfflineFacilitator
from x402.selling.seller import PaymentRefused, Seller, Terms, read_payment, receipt_headers
from x402.selling.settlements import MemorySettlements
from x402.wallets.signers import LocalSigner, sign_payment
from x402.wire import Challenge, Offer, Payment, PaymentHeader, Receipt

URL = "http://127.0.0.1:1/submit-job"
PRICE = 1_400_000


def offline(ledger: MemoryLedger | None = None) -> OfflineFacilitator:
    return OfflineFacilitator(ledger or MemoryLedger(), lambda: NOW)


def shop(ledger: MemoryLedger | None = None, network: str = NETWORK) -> Seller:
    return Seller(offline(ledger), PAYEE, network)


async def paid(offer: Offer, nonce: str = NONCE) -> Payment:
    header = await header_for(offer, nonce=nonce)
    return decode_payment(header.name, header.value)


class Unreliable:
    """A facilitator that fails as told, once per entry, and then works."""

    def __init__(
        self, ledger: MemoryLedger, *, verify: list[X402Error], settle: list[X402Error | Receipt]
    ) -> None:
        self.inner = offline(ledger)
        self.failing_verify = verify
        self.failing_settle = settle
        self.calls: list[str] = []

    async def verify(self, payment: Payment, offer: Offer) -> Verdict:
        self.calls.append("verify")
        if self.failing_verify:
            raise self.failing_verify.pop(0)
        return await self.inner.verify(payment, offer)

    async def settle(self, payment: Payment, offer: Offer) -> Receipt:
        """The worst case: the money moves before the failure."""
        self.calls.append("settle")
        if not self.failing_settle:
            return await self.inner.settle(payment, offer)
        outcome = self.failing_settle.pop(0)
        if not isinstance(outcome, FacilitatorUnavailable):
            await self.inner.settle(payment, offer)
        if isinstance(outcome, Receipt):
            return outcome
        raise outcome

    async def supported(self) -> tuple[Kind, ...]:
        return await self.inner.supported()


def test_one_challenge_speaks_both_versions() -> None:
    """Version 2 in the header, version 1 in the body, the reason in both; never cached."""
    headers, body = shop().terms(PRICE, URL, "1x H100").challenge("payment\nrequired")
    second, first = read_challenge(headers, body), read_challenge({}, body)
    assert (second.version, first.version) == (2, 1)
    assert second.skipped == first.skipped == ()
    assert [offer.amount for offer in (*second.offers, *first.offers)] == [PRICE, PRICE]
    assert {offer.pay_to for offer in (*second.offers, *first.offers)} == {PAYEE}
    assert second.error == first.error == "payment required"
    assert second.resource == {"url": URL, "description": "1x H100", "mimeType": "application/json"}
    assert first.offers[0].raw["resource"] == URL
    assert headers["Cache-Control"] == "no-store"
    assert second.extensions is None


def test_a_chain_without_a_version_1_name_is_sold_in_version_2() -> None:
    """Arbitrum is younger than the names."""
    terms = shop(network="eip155:42161").terms(PRICE, URL)
    headers, body = terms.challenge("pay")
    assert body == b"{}"
    assert [offer.network for offer in read_challenge(headers, body).offers] == ["eip155:42161"]


def test_our_own_terms_pass_our_own_policy() -> None:
    """Both sides of this package agree with each other, in either version."""
    headers, body = shop().terms(PRICE, URL).challenge("pay")
    policy = Policy(PRICE, frozenset({NETWORK}), payee=PAYEE, origin=URL)
    assert choose(read_challenge(headers, body), policy).version == 2
    assert choose(read_challenge({}, body), policy).version == 1


@pytest.mark.parametrize(
    ("build", "why"),
    [
        (lambda: shop(network="eip155:80002"), "no token is known"),
        (lambda: shop().terms(0, URL), "price"),
        (lambda: shop().terms(-1, URL), "price"),
        (lambda: shop().terms(1, URL, "x" * 501), "description"),
        (lambda: Seller(offline(), "me", NETWORK).terms(1, URL), "payTo"),
        (lambda: Seller(offline(), PAYEE, NETWORK, max_timeout_seconds=0).terms(1, URL), "maxTimeoutSeconds"),
    ],
)
def test_terms_that_nobody_could_pay_are_not_made(build: Callable[[], object], why: str) -> None:
    """The seller's mistake is found before a payer sees it."""
    with pytest.raises(ValueError, match=why):
        build()


@pytest.mark.parametrize("version", [1, 2])
async def test_a_payment_is_collected_and_its_receipt_can_be_read(version: int) -> None:
    """In both versions, each with its own header and its own name of the chain."""
    ledger = MemoryLedger()
    terms = shop(ledger).terms(PRICE, URL)
    payment = await paid(terms.offers[version])
    receipt = await shop(ledger).collect(payment, terms)
    assert receipt.success
    headers = receipt_headers(version, receipt)
    assert read_receipt(headers) == receipt
    assert next(iter(headers)) == ("X-PAYMENT-RESPONSE" if version == 1 else "PAYMENT-RESPONSE")
    assert [(transfer.payer, transfer.value) for transfer in ledger.journal] == [(PAYER, PRICE)]


async def test_a_payment_of_a_version_that_is_not_sold_is_refused() -> None:
    """Not verified against something else."""
    payment = await paid(shop().terms(PRICE, URL).offers[1])
    seller = shop(network="eip155:42161")
    with pytest.raises(PaymentRefused, match="sold in version 2 only") as caught:
        await seller.collect(payment, seller.terms(PRICE, URL))
    assert caught.value.failure is Failure.UNSUPPORTED


@pytest.mark.parametrize(
    "change",
    [
        {"scheme": "Exact"},
        {"network": "eip155:084532"},
        {"amount": "1400000.0"},
        {"asset": "0x036cbd53842c5426634e7929541ec2318f3dcf7e"},
        {"payTo": PAYEE.lower()},
        {"maxTimeoutSeconds": 301},
        {"maxTimeoutSeconds": "300"},
        {"maxTimeoutSeconds": 300.0},
        {"maxTimeoutSeconds": None},
        {"extra": {}},
        {"extra": None},
        {"extra": {"name": "USDC", "version": 2}},
        {"extra": {"name": "USDC"}},
    ],
)
async def test_terms_that_do_not_come_back_as_sent_are_refused(change: dict[str, Json]) -> None:
    """Section 4: strings and numbers exactly, address case included; every `extra` key that was advertised."""
    ledger = MemoryLedger()
    terms = shop(ledger).terms(PRICE, URL)
    payment = await paid(terms.offers[2])
    assert payment.accepted is not None
    with pytest.raises(PaymentRefused) as caught:
        await shop(ledger).collect(replace(payment, accepted={**payment.accepted, **change}), terms)
    assert caught.value.failure is Failure.NOT_ECHOED
    assert ledger.journal == []


@pytest.mark.parametrize(
    ("extensions", "fine"),
    [
        (None, True),
        ({}, True),
        ({"undeclared": 1}, True),
        ({"payment-identifier": {"info": {"required": False, "id": "pay_0123456789abcdef"}}}, True),
        ({"payment-identifier": {"info": {"id": "pay_0123456789abcdef"}}}, False),
        ({"payment-identifier": {"info": {"required": 0}}}, False),
        ({"payment-identifier": {"info": None}}, False),
        ({"payment-identifier": "x"}, False),
    ],
)
async def test_a_declared_extension_comes_back_whole_or_not_at_all(
    extensions: JsonObject | None, fine: bool
) -> None:
    """`extension_echo_mismatch` of the official server; more in `info` is fine."""
    seller = Seller(offline(), PAYEE, NETWORK, extensions={"payment-identifier": declaration(required=False)})
    terms = seller.terms(PRICE, URL)
    assert read_challenge(*terms.challenge("pay")).extensions == terms.extensions
    payment = replace(await paid(terms.offers[2]), extensions=extensions)
    if fine:
        assert (await seller.collect(payment, terms)).success
    else:
        with pytest.raises(PaymentRefused, match="extension_echo_mismatch"):
            await seller.collect(payment, terms)


async def test_one_payment_buys_once_however_often_it_comes() -> None:
    """x402#803, #1805: five copies at the same moment, and one later: one is taken, the others are refused."""
    ledger = MemoryLedger()
    slow = Unreliable(ledger, verify=[], settle=[])
    seller = Seller(slow, PAYEE, NETWORK)
    terms = seller.terms(PRICE, URL)
    payment = await paid(terms.offers[2])
    outcomes = await asyncio.gather(*(seller.collect(payment, terms) for _ in range(5)), return_exceptions=True)
    with pytest.raises(PaymentRefused) as later:
        await seller.collect(payment, terms)
    assert [type(outcome) for outcome in outcomes].count(Receipt) == 1
    refused = [outcome.failure for outcome in outcomes if isinstance(outcome, PaymentRefused)]
    assert [*refused, later.value.failure] == [Failure.NONCE_USED] * 5
    assert len(ledger.journal) == 1


async def test_a_payment_is_refused_while_it_is_being_settled() -> None:
    """Between verify and settle a facilitator reserves nothing, so the seller does."""
    gate, entered = asyncio.Event(), asyncio.Event()

    class Slow(OfflineFacilitator):
        async def settle(self, payment: Payment, offer: Offer) -> Receipt:
            entered.set()
            await gate.wait()
            return await super().settle(payment, offer)

    seller = Seller(Slow(MemoryLedger(), lambda: NOW), PAYEE, NETWORK)
    terms = seller.terms(PRICE, URL)
    payment = await paid(terms.offers[2])
    first = asyncio.create_task(seller.collect(payment, terms))
    await entered.wait()
    async with asyncio.timeout(5):
        with pytest.raises(PaymentRefused, match="being settled"):
            await seller.collect(payment, terms)
    gate.set()
    assert (await first).success


PENDING = Receipt(False, "0x" + "77" * 32, NETWORK, payer=PAYER, error_reason="settlement_pending")


@pytest.mark.parametrize("failure", [SettlementUnknown("no answer"), PENDING])
async def test_a_settlement_without_an_outcome_is_asked_for_again(failure: X402Error | Receipt) -> None:
    """Section 11: verifying again would say "nonce used", by ourselves; the payer would have paid for nothing."""
    ledger = MemoryLedger()
    facilitator = Unreliable(ledger, verify=[], settle=[failure])
    seller = Seller(facilitator, PAYEE, NETWORK)
    terms = seller.terms(PRICE, URL)
    payment = await paid(terms.offers[2])
    with pytest.raises((SettlementUnknown, PaymentRefused)):
        await seller.collect(payment, terms)
    receipt = await seller.collect(payment, terms)
    assert receipt.success
    assert facilitator.calls == ["verify", "settle", "settle"]
    assert len(ledger.journal) == 1
    with pytest.raises(PaymentRefused) as caught:
        await seller.collect(payment, terms)
    assert caught.value.failure is Failure.NONCE_USED


class Forgetful(OfflineFacilitator):
    """A facilitator that finds every payment good, again and again, and shows its old receipt."""

    def __init__(self) -> None:
        super().__init__(MemoryLedger(), lambda: NOW)
        self.settled = 0

    async def verify(self, payment: Payment, offer: Offer) -> Verdict:
        return Verdict(None, payment.authorization.payer)

    async def settle(self, payment: Payment, offer: Offer) -> Receipt:
        self.settled += 1
        return await super().settle(payment, offer)


async def test_one_payment_is_one_delivery_whatever_the_facilitator_says() -> None:
    """The seller remembers for itself, and shows the receipt that it had; also after `validBefore` for a while."""
    facilitator, clock = Forgetful(), [float(NOW)]
    seller = Seller(facilitator, PAYEE, NETWORK, settlements=MemorySettlements(lambda: clock[0]))
    terms = seller.terms(PRICE, URL)
    payment = await paid(terms.offers[2])
    receipt = await seller.collect(payment, terms)
    for later in (0, 250, 600):
        clock[0] = NOW + later
        with pytest.raises(PaymentRefused) as caught:
            await seller.collect(payment, terms)
        assert (caught.value.failure, caught.value.receipt) == (Failure.NONCE_USED, receipt)
    assert facilitator.settled == 1


async def test_what_was_collected_is_forgotten_when_nobody_can_take_it_any_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Memory is bounded by what is valid still."""
    monkeypatch.setattr(settlements_module, "_FIRST_SWEEP", 2)
    clock = [float(NOW)]
    settlements = MemorySettlements(lambda: clock[0])
    seller = Seller(Forgetful(), PAYEE, NETWORK, settlements=settlements)
    terms = seller.terms(PRICE, URL)
    for number in range(4):
        await seller.collect(await paid(terms.offers[2], nonce=f"0x{number:064x}"), terms)
    assert len(settlements) == 4
    clock[0] += 5_000
    await seller.collect(await paid(terms.offers[2], nonce=f"0x{9:064x}"), terms)
    assert len(settlements) == 1


async def test_a_forged_twin_of_an_open_payment_is_verified() -> None:
    """The short cut is for the very same signature only."""
    facilitator = Unreliable(MemoryLedger(), verify=[], settle=[SettlementUnknown("no answer")])
    seller = Seller(facilitator, PAYEE, NETWORK)
    terms = seller.terms(PRICE, URL)
    payment = await paid(terms.offers[2])
    with pytest.raises(SettlementUnknown):
        await seller.collect(payment, terms)
    with pytest.raises(PaymentRefused) as caught:
        await seller.collect(replace(payment, signature="0x" + "11" * 64 + "1b"), terms)
    assert caught.value.failure is Failure.BAD_SIGNATURE
    assert facilitator.calls == ["verify", "settle", "verify"]


@pytest.mark.parametrize(
    ("verify", "settle", "error"),
    [
        ([FacilitatorUnavailable("down")], [], FacilitatorUnavailable),
        ([FacilitatorError("nonsense")], [], FacilitatorError),
        ([], [FacilitatorUnavailable("down")], FacilitatorUnavailable),
    ],
)
async def test_after_an_outage_without_effect_the_payment_is_taken_as_new(
    verify: list[X402Error], settle: list[X402Error | Receipt], error: type[X402Error]
) -> None:
    """Nothing happened, so the same payment is verified again when it comes back."""
    facilitator = Unreliable(MemoryLedger(), verify=verify, settle=settle)
    seller = Seller(facilitator, PAYEE, NETWORK)
    terms = seller.terms(PRICE, URL)
    payment = await paid(terms.offers[2])
    with pytest.raises(error):
        await seller.collect(payment, terms)
    assert (await seller.collect(payment, terms)).success
    assert facilitator.calls[-2:] == ["verify", "settle"]


async def test_a_failed_settlement_is_told_with_its_receipt() -> None:
    """The payer learns the reason and can tie it to its payment; the wording of others is understood."""
    failed = Receipt(False, "", NETWORK, payer=PAYER, error_reason="invalid_exact_evm_insufficient_balance")
    silent = Receipt(False, "", NETWORK)

    outcomes = [failed, silent]

    class Failing(OfflineFacilitator):
        async def settle(self, payment: Payment, offer: Offer) -> Receipt:
            return outcomes.pop(0)

    seller = Seller(Failing(MemoryLedger(), lambda: NOW), PAYEE, NETWORK)
    terms = seller.terms(PRICE, URL)
    payment = await paid(terms.offers[2])
    with pytest.raises(PaymentRefused) as caught:
        await seller.collect(payment, terms)
    assert caught.value.failure is Failure.INSUFFICIENT_FUNDS
    assert caught.value.receipt == failed
    with pytest.raises(PaymentRefused, match="no reason given") as caught:
        await seller.collect(payment, terms)
    assert caught.value.failure is Failure.REFUSED


async def test_open_settlements_are_remembered_up_to_a_limit() -> None:
    """A facilitator that never answers must not fill the memory; the newest are kept."""

    class Dead(OfflineFacilitator):
        async def settle(self, payment: Payment, offer: Offer) -> Receipt:
            raise SettlementUnknown("no answer")

    settlements = MemorySettlements()
    seller = Seller(Dead(MemoryLedger(), lambda: NOW), PAYEE, NETWORK, settlements=settlements)
    terms = seller.terms(PRICE, URL)
    template = await paid(terms.offers[2])
    wallet = LocalSigner(KEY)
    for number in range(1030):
        unsigned = build_payment(
            Challenge(2, (terms.offers[2],)),
            terms.offers[2],
            payer=PAYER,
            nonce="0x" + f"{number:064x}",
            valid_after=0,
            valid_before=NOW + 60,
        )
        payment = replace(
            template,
            authorization=unsigned.typed.authorization,
            signature=await wallet.sign_typed_data(unsigned.typed),
        )
        with pytest.raises(SettlementUnknown):
            await seller.collect(payment, terms)
    assert len(settlements) == 1024
    newest = f"{NETWORK}:{USDC}:{PAYER}:0x{1029:064x}".lower()
    assert await settlements.find(newest) is not None


class Counter:
    """A shop over HTTP: terms, payment, goods. Counts what it hands out."""

    def __init__(self, ledger: MemoryLedger) -> None:
        self.seller = shop(ledger)
        self.served = 0
        self.url = ""

    async def __call__(self, request: Seen) -> Reply:
        terms: Terms = self.seller.terms(PRICE, self.url)
        try:
            payment = read_payment(request.headers)
            if payment is None:
                return Reply(402, *terms.challenge("payment required"))
            receipt = await self.seller.collect(payment, terms)
        except PaymentRefused as exc:
            return Reply(402, *terms.challenge(str(exc)))
        self.served += 1
        return Reply(200, receipt_headers(payment.version, receipt), b"goods")


async def test_payer_and_seller_of_this_package_trade_over_a_socket() -> None:
    """The whole exchange: unpaid, challenged, paid, receipt. Sent again, the same bytes buy nothing more."""
    ledger = MemoryLedger()
    counter, wallet = Counter(ledger), LocalSigner(KEY)
    kept: list[PaymentHeader] = []

    async def authorize(terms: Challenge) -> PaymentHeader:
        offer = choose(terms, Policy(PRICE, frozenset({NETWORK}), payee=PAYEE, origin=counter.url))
        after, before = window(offer, NOW, 900)
        unsigned = build_payment(
            terms, offer, payer=wallet.address, nonce="0x" + "05" * 32, valid_after=after, valid_before=before
        )
        kept.append(await sign_payment(unsigned, wallet))
        return kept[-1]

    async with serving(counter) as url, httpx.AsyncClient() as http:
        counter.url = f"{url}/submit-job"
        answer = await http.post(counter.url, auth=PaymentAuth(authorize))
        again = await http.post(counter.url, auth=PaymentAuth(authorize, kept[0]))
    receipt = read_receipt(answer.headers)
    assert (answer.status_code, answer.content) == (200, b"goods")
    assert receipt is not None
    assert [transfer.transaction for transfer in ledger.journal] == [receipt.transaction]
    assert again.status_code == 402
    assert rejection_reason(again.headers, again.content) == "nonce_used: the authorization was used before"
    assert (counter.served, len(kept)) == (1, 1)
