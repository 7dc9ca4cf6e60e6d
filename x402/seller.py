"""The seller's side: terms out, payment in, money collected, receipt out.

    terms = seller.terms(price, url)
    payment = read_payment(headers)               # None: answer 402 with terms.challenge("payment required")
    receipt = await seller.collect(payment, terms)     # PaymentRefused: 402 with terms.challenge(str(exc))
    ...                                           # 200 with receipt_headers(payment.version, receipt)

One challenge speaks both versions: version 2 in the header, version 1 in the body.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from x402.codec import Json, JsonObject, clean, encode_header, to_json
from x402.decode import decode_payment, header_in, offer_from
from x402.errors import FacilitatorUnavailable, X402Error
from x402.facilitator import Facilitator
from x402.failures import Failure, classify
from x402.networks import default_asset, v1_name
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
_MOST_UNRESOLVED: Final = 1024
_FIRST_SWEEP: Final = 1024
_CLOCKS_DIFFER: Final = 900
"""Seconds that a payment is remembered beyond its `validBefore`: facilitators' clocks are others."""
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

    A payment is taken once, whatever the facilitator says: while it is being settled, and after, the same nonce
    is refused (x402#803), with the receipt that it had. One that was sent to the facilitator without an answer
    is settled again when it comes back, never verified anew, because its nonce may be used by ourselves. That
    memory is this object's; share one per process.
    """

    def __init__(
        self,
        facilitator: Facilitator,
        pay_to: str,
        network: str,
        *,
        max_timeout_seconds: int = 300,
        extensions: JsonObject | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`network` is a CAIP-2 id with a known token. `extensions` are declared in every challenge; who declares
        `payment-identifier` must keep to it, see `x402.idempotency`."""
        token = default_asset(network)
        if token is None:
            raise ValueError(f"no token is known on {network!r}; see x402.networks")
        self._facilitator = facilitator
        self._pay_to = pay_to
        self._token = token
        self._max_timeout_seconds = max_timeout_seconds
        self._extensions: JsonObject = extensions or {}
        self._settling: set[str] = set()
        self._unresolved: dict[str, str] = {}
        self._clock = clock
        self._swept = _FIRST_SWEEP
        self._collected: dict[str, tuple[int, Receipt]] = {}
        """By payer and nonce: until when (unix s) it could be settled again, and the receipt it had."""

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
        """Check a payment against our own terms, and have the money moved.

        Raises:
            PaymentRefused: it is not what the terms ask for, or it did not settle.
            FacilitatorUnavailable: nothing happened; the payer may send the same payment again.
            SettlementUnknown: the money may have moved; the payer must send the same payment again.
            FacilitatorError: the facilitator gave no verdict; nothing happened.
        """
        offer = terms.offers.get(payment.version)
        if offer is None:
            raise PaymentRefused(Failure.UNSUPPORTED, f"{self._token.network} is sold in version 2 only")
        difference = not_echoed(payment, offer, terms.extensions)
        if difference is not None:
            raise PaymentRefused(Failure.NOT_ECHOED, difference)
        key = f"{payment.authorization.payer}:{payment.authorization.nonce}".lower()
        if key in self._collected:
            receipt = self._collected[key][1]
            raise PaymentRefused(Failure.NONCE_USED, "the authorization was used before", receipt)
        if key in self._settling:
            raise PaymentRefused(Failure.NONCE_USED, "the authorization is being settled for another request")
        self._settling.add(key)
        try:
            return await self._settle(key, payment, offer)
        finally:
            self._settling.discard(key)

    async def _settle(self, key: str, payment: Payment, offer: Offer) -> Receipt:
        if self._unresolved.get(key) != payment.signature:
            verdict = await self._facilitator.verify(payment, offer)
            if verdict.failure is not None:
                raise PaymentRefused(verdict.failure, verdict.message)
        self._remember(key, payment.signature)
        try:
            receipt = await self._facilitator.settle(payment, offer)
        except FacilitatorUnavailable:
            self._unresolved.pop(key, None)
            raise
        if receipt.success or receipt.error_reason != _PENDING:
            self._unresolved.pop(key, None)
        if not receipt.success:
            reason = receipt.error_reason or "no reason given"
            raise PaymentRefused(classify(reason), f"it did not settle: {reason}", receipt)
        self._collect(key, payment.authorization.valid_before, receipt)
        return receipt

    def _collect(self, key: str, valid_before: int, receipt: Receipt) -> None:
        """Keep what was collected for as long as anybody could take the payment for a new one."""
        if len(self._collected) >= self._swept * 2:
            now = self._clock() - _CLOCKS_DIFFER
            self._collected = {known: each for known, each in self._collected.items() if each[0] > now}
            self._swept = max(len(self._collected), _FIRST_SWEEP)
        self._collected[key] = valid_before, receipt

    def _remember(self, key: str, signature: str) -> None:
        while len(self._unresolved) >= _MOST_UNRESOLVED:
            del self._unresolved[next(iter(self._unresolved))]
        self._unresolved[key] = signature


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
