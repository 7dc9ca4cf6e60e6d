"""The seller's side: terms out, payment in, money collected, receipt out.

    terms = seller.terms(price, url)
    payment = read_payment(headers)               # None: answer 402 with terms.challenge("payment required")
    receipt = await seller.collect(payment, terms)     # PaymentRefused: 402 with terms.challenge(str(exc))
    ...                                           # 200 with receipt_headers(payment.version, receipt)

One challenge speaks both versions: version 2 in the header, version 1 in the body.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from net.strict_json import Json, JsonObject, to_json
from x402.codec import clean, encode_header
from x402.decode import decode_payment, header_in, offer_from
from x402.errors import FacilitatorUnavailable, SettlementsUnavailable, SettlementUnknown, X402Error
from x402.failures import Failure, classify
from x402.networks import default_asset, v1_name
from x402.selling.facilitator import Facilitator, check_terms
from x402.selling.settlements import MemorySettlements, Settlement, Settlements
from x402.wire import (
    CHALLENGE_HEADER,
    PAYMENT_HEADERS,
    RECEIPT_HEADERS,
    Offer,
    Payment,
    Receipt,
)

__all__ = ["PaymentRefused", "Seller", "Terms", "not_echoed", "read_payment", "receipt_headers"]

_MAX_DESCRIPTION: Final = 500  # Coinbase's facilitator refuses longer ones (x402#2785)
_CLOCKS_DIFFER: Final = 900
"""Seconds that a payment is remembered beyond its `validBefore`: facilitators' clocks are others."""
_NEVER: Final = 250_000_000_000
"""The year 9892: payers may write more into `validBefore` than a database's dates can hold."""
_PENDING: Final = "settlement_pending"


class PaymentRefused(X402Error):
    """A seller does not accept a payment. `receipt` is there when settling was tried and failed, or when it was
    collected before: then it is that receipt.
    """

    def __init__(self, failure: Failure, message: str, receipt: Receipt | None = None) -> None:
        super().__init__(f"{failure.value}: {message}")
        self.failure = failure
        self.message = message
        self.receipt = receipt


@dataclass(frozen=True, slots=True)
class Terms:
    """What one request costs. `offers` has one offer per version of the protocol; they differ only in spelling."""

    offers: Mapping[int, Offer]
    resource: JsonObject = field(repr=False)
    extensions: JsonObject = field(repr=False)

    def challenge(self, error: str) -> tuple[dict[str, str], bytes]:
        """Headers and body of the 402 that asks for this, with the reason in both."""
        reason = clean(error)
        message: dict[str, Json] = {"x402Version": 2, "error": reason, "resource": self.resource}
        message["accepts"] = [self.offers[2].raw]
        if self.extensions:
            message["extensions"] = self.extensions
        body: dict[str, Json] = {}
        if 1 in self.offers:
            body = {"x402Version": 1, "error": reason, "accepts": [self.offers[1].raw]}
        headers = {
            CHALLENGE_HEADER: encode_header(message),
            "Content-Type": "application/json",
            "Cache-Control": "no-store",
        }
        return headers, to_json(body)


class Seller:
    """Asks for money on one network and collects it through a facilitator.

    One payment is one delivery, whatever the facilitator says (x402#803): while it is being settled the same nonce
    is refused, and after that too, with the receipt that it had. One that was sent to the facilitator without an
    outcome is settled again when it comes back, never verified anew, because its nonce may be used by ourselves.
    What is remembered is in `settlements`: processes that sell the same share one that is stored.
    """

    def __init__(
        self,
        facilitator: Facilitator,
        pay_to: str,
        network: str,
        *,
        max_timeout_seconds: int = 300,
        extensions: JsonObject | None = None,
        settlements: Settlements | None = None,
    ) -> None:
        """`network` is a CAIP-2 id with a known token. `extensions` are declared in every challenge; who declares
        `payment-identifier` must keep to it, see `x402.selling.idempotency`. Without `settlements` this object
        alone remembers, and forgets when its process ends."""
        token = default_asset(network)
        if token is None:
            raise ValueError(f"no token is known on {network!r}; see x402.networks")
        self._facilitator = facilitator
        self._pay_to = pay_to
        self._token = token
        self._max_timeout_seconds = max_timeout_seconds
        self._extensions: JsonObject = extensions or {}
        self._settlements: Settlements = MemorySettlements() if settlements is None else settlements
        self._settling: set[str] = set()

    def terms(self, price: int, url: str, description: str = "") -> Terms:
        """The terms of one request: `price` in atomic units, `url` of what is sold.

        Raises:
            ValueError: the price is not above zero, the description too long, or the payee no address.
        """
        if price <= 0:
            raise ValueError("a price is above zero")
        if len(description) > _MAX_DESCRIPTION:
            raise ValueError(f"a description has at most {_MAX_DESCRIPTION} characters")
        about: dict[str, Json] = {"description": description, "mimeType": "application/json"}
        common: dict[str, Json] = {
            "payTo": self._pay_to,
            "maxTimeoutSeconds": self._max_timeout_seconds,
            "asset": self._token.address,
            "extra": {"name": self._token.name, "version": self._token.version},
        }
        second: dict[str, Json] = {"scheme": "exact", "network": self._token.network, "amount": str(price)}
        offers = {2: offer_from(second | common, 2)}
        name = v1_name(self._token.network)
        if name is not None:
            first: dict[str, Json] = {"scheme": "exact", "network": name, "maxAmountRequired": str(price)}
            offers[1] = offer_from(first | {"resource": url} | about | common, 1)
        return Terms(offers, {"url": url, **about}, self._extensions)

    async def collect(self, payment: Payment, terms: Terms) -> Receipt:
        """Check a payment against our own terms, and have the money moved. Who has the receipt may deliver.

        Raises:
            PaymentRefused: it is not what the terms ask for, or it did not settle, or it was collected before.
            FacilitatorUnavailable: nothing happened; the payer may send the same payment again.
            SettlementUnknown: the money may have moved; the payer must send the same payment again.
            FacilitatorError: the facilitator gave no verdict; nothing happened.
            SettlementsUnavailable: nothing was settled by this call; the payer must send the same payment again.
        """
        offer = terms.offers.get(payment.version)
        if offer is None:
            raise PaymentRefused(Failure.UNSUPPORTED, f"{self._token.network} is sold in version 2 only")
        difference = not_echoed(payment, offer, terms.extensions)
        if difference is not None:
            raise PaymentRefused(Failure.NOT_ECHOED, difference)
        verdict = check_terms(payment, offer)
        if verdict.failure is not None:
            raise PaymentRefused(verdict.failure, verdict.message)
        mine = _settlement(payment, offer)
        known = await self._settlements.find(mine.key)
        _refuse_if_collected(known, mine)
        if mine.key in self._settling:
            raise PaymentRefused(Failure.NONCE_USED, "the authorization is being settled for another request")
        self._settling.add(mine.key)
        try:
            if known is None or known.fingerprint != mine.fingerprint:
                await self._verify(mine, payment, offer)
            return await self._settle(mine, payment, offer)
        finally:
            self._settling.discard(mine.key)

    async def _verify(self, mine: Settlement, payment: Payment, offer: Offer) -> None:
        verdict = await self._facilitator.verify(payment, offer)
        if verdict.failure is None:
            return
        known = await self._settlements.find(mine.key)  # another process of ours may be who used it
        _refuse_if_collected(known, mine)
        if known is None or known.fingerprint != mine.fingerprint:
            raise PaymentRefused(verdict.failure, verdict.message)

    async def _settle(self, mine: Settlement, payment: Payment, offer: Offer) -> Receipt:
        known = await self._settlements.begin(mine)
        _refuse_if_collected(known, mine)
        if known.fingerprint != mine.fingerprint:
            raise PaymentRefused(Failure.NONCE_USED, "the authorization is open for another price or signature")
        try:
            receipt = await self._facilitator.settle(payment, offer)
        except FacilitatorUnavailable:
            await self._give_up(mine)
            raise
        if receipt.success:
            await self._record(mine, receipt)
            return receipt
        if receipt.error_reason != _PENDING:
            await self._give_up(mine)
        reason = receipt.error_reason or "no reason given"
        raise PaymentRefused(classify(reason), f"it did not settle: {reason}", receipt)

    async def _record(self, mine: Settlement, receipt: Receipt) -> None:
        """Keep what was collected, or learn that another call was first."""
        moved = receipt.transaction or None
        try:
            if await self._settlements.finish(replace(mine, receipt=receipt)):
                return
            _refuse_if_collected(await self._settlements.find(mine.key), mine)
        except SettlementsUnavailable as exc:
            raise SettlementUnknown(f"the money has moved, which is not recorded yet: {exc}", moved) from exc
        raise SettlementUnknown("the money has moved for another call, whose record is gone", moved)

    async def _give_up(self, mine: Settlement) -> None:
        """Take back an attempt that moved nothing. It has not failed while another one may have moved the money:
        that may be why this one did not.
        """
        try:
            left = await self._settlements.give_up(mine)
        except SettlementsUnavailable as exc:
            raise SettlementUnknown(f"whether the payment was settled before is not known: {exc}") from exc
        _refuse_if_collected(left, mine)
        if left is not None:
            raise SettlementUnknown("the payment was sent to the facilitator before, and the outcome is not known")


def _settlement(payment: Payment, offer: Offer) -> Settlement:
    """A payment as it is remembered: nothing in it can be cashed."""
    a = payment.authorization
    signed = hashlib.sha256(payment.signature.lower().encode()).hexdigest()
    return Settlement(
        key=f"{offer.network}:{offer.asset}:{a.payer}:{a.nonce}".lower(),
        fingerprint=f"{offer.amount} to {offer.pay_to}, signed {signed}".lower(),
        until=min(a.valid_before, _NEVER) + _CLOCKS_DIFFER,
    )


def _refuse_if_collected(known: Settlement | None, mine: Settlement) -> None:
    """A payment that was collected buys nothing more. Who sends it again for the same price gets its receipt."""
    if known is not None and known.receipt is not None:
        receipt = known.receipt if known.fingerprint == mine.fingerprint else None
        raise PaymentRefused(Failure.NONCE_USED, "the authorization was used before", receipt)


def read_payment(headers: Mapping[str, str]) -> Payment | None:
    """The payment a request carries; None when it carries none. Version 2 wins.

    Raises:
        MalformedHeader: it cannot be read, or is in the other version's header.
        UnsupportedVersion: it names a version that is not 1 or 2.
    """
    for version in (2, 1):
        value = header_in(headers, PAYMENT_HEADERS[version])
        if value is not None:
            return decode_payment(PAYMENT_HEADERS[version], value)
    return None


def receipt_headers(version: int, receipt: Receipt) -> dict[str, str]:
    """The headers that tell a payer of that version how its payment was settled."""
    named = v1_name(receipt.network) if version == 1 else None
    message = replace(receipt, network=named or receipt.network).as_json()
    return {RECEIPT_HEADERS[version]: encode_header(message), "Cache-Control": "no-store"}


def not_echoed(payment: Payment, offer: Offer, extensions: JsonObject) -> str | None:
    """How `accepted` differs from what was offered (x402 v2 section 5.2); None when it does not.

    Strings and numbers are compared exactly, address case included. `extra` may hold more than was offered, and so
    may the `info` of an extension; an extension or the resource may be left out.
    """
    if payment.accepted is None:
        return None
    for key in ("scheme", "network", "amount", "asset", "payTo", "maxTimeoutSeconds"):
        if not _same(payment.accepted.get(key), offer.raw[key]):
            return f"accepted.{key} is not what was offered"
    if not _contains(payment.accepted.get("extra"), offer.extra):
        return "accepted.extra lacks what was offered"
    for name, sent in (payment.extensions or {}).items():
        declared = _info(extensions.get(name))
        if declared is not None and not _contains(_info(sent), declared):
            return f"extensions.{clean(name, 40)}.info lacks what was declared (extension_echo_mismatch)"
    return None


def _info(extension: Json) -> JsonObject | None:
    info = extension.get("info") if isinstance(extension, Mapping) else None
    return info if isinstance(info, Mapping) else None


def _contains(sent: Json, offered: JsonObject) -> bool:
    return isinstance(sent, Mapping) and all(_same(sent.get(key), value) for key, value in offered.items())


def _same(sent: Json, offered: Json) -> bool:
    return type(sent) is type(offered) and sent == offered  # to Python, true equals 1
