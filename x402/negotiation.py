"""The exchange of a 402 without I/O: challenge in, payment out, receipt in.

Which messages count and what must come back: x402 specs `transports-v2/http.md` and `x402-specification-v2.md`
section 5. Where servers in the wild differ, the docstrings say which way is taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final

from net.strict_json import Json, JsonObject, parse_object
from x402.codec import clean, decode_header, integer_field
from x402.decode import challenge_from, decode_receipt, header_in
from x402.eip3009 import Domain, TypedAuthorization
from x402.errors import MalformedHeader, NotX402, PolicyRefused, SigningFailed, UnsupportedVersion, X402Error
from x402.networks import asset, chain_id
from x402.policy import why_never_paid
from x402.secp256k1 import HALF_ORDER
from x402.wire import (
    CHALLENGE_HEADER,
    PAYMENT_IDENTIFIER,
    RECEIPT_HEADERS,
    Authorization,
    Challenge,
    Offer,
    Payment,
    PaymentHeader,
    Receipt,
    valid_payment_id,
)

__all__ = [
    "BACKDATE",
    "UnsignedPayment",
    "build_payment",
    "failed_receipt",
    "read_challenge",
    "read_receipt",
    "rejection_reason",
    "window",
]

BACKDATE: Final = 600
"""Seconds by which `validAfter` lies in the past: the verifier's clock may be behind ours (x402#208)."""

_REASONS: Final = ("error", "errorReason", "invalidReason", "reason", "message", "details", "detail")
"""Where sellers write in a body why they refuse, in the order in which it is told."""
_MAX_REASON: Final = 200
_NONE_GIVEN: Final = "no reason given"

_domain = lru_cache(maxsize=256)(Domain)  # checked when it is made; a token has one, and many payments


def read_challenge(headers: Mapping[str, str], body: bytes, *, body_terms: bool = False) -> Challenge:
    """The terms of a 402 answer.

    The header wins; a version 1 object in the body comes second. Version 2 terms that are only in the body are
    refused unless `body_terms` opts in: their place is the header (x402#2207). Where both hold terms, an offer of
    the body is taken over if it asks less than the header does for the same token: the payer must never pay the
    higher of two prices. Else the body is not looked at.

    Raises:
        MalformedHeader: the header is there and cannot be read.
        UnsupportedVersion: the terms are of a version that is not 1 or 2.
        NotX402: there are no terms where they may be read.
    """
    value = header_in(headers, CHALLENGE_HEADER)
    if value is not None:
        message = decode_header(CHALLENGE_HEADER, value)
        try:
            challenge = challenge_from(message, _version(message, default=2))
        except ValueError as exc:
            raise MalformedHeader(f"{CHALLENGE_HEADER}: {exc}") from exc
        return replace(challenge, offers=(*challenge.offers, *_cheaper(body, challenge.offers)))
    try:
        message = parse_object(body)
        version = _version(message)
        if version == 2 and not body_terms:
            raise ValueError(f"version 2 terms belong in {CHALLENGE_HEADER}, they came in the body only")
        return challenge_from(message, version)
    except ValueError as exc:
        raise NotX402(f"the 402 has no {CHALLENGE_HEADER} header and its body holds no terms: {exc}") from exc


@dataclass(frozen=True, slots=True)
class UnsignedPayment:
    """A payment that lacks only its signature. `typed` is what the wallet signs."""

    typed: TypedAuthorization
    offer: Offer
    resource: JsonObject | None = field(default=None, repr=False)
    extensions: JsonObject | None = field(default=None, repr=False)

    def finish(self, signature: str) -> PaymentHeader:
        """The header, once signed; the chosen entry goes back exactly as it came.

        Raises:
            SigningFailed: the signature is not 65 bytes of hex, or one that FiatToken refuses (high s, odd v).
        """
        return Payment(
            version=self.offer.version,
            scheme=self.offer.scheme,
            network=str(self.offer.raw["network"]),
            authorization=self.typed.authorization,
            signature=_canonical(signature),
            accepted=self.offer.raw if self.offer.version > 1 else None,
            resource=self.resource,
            extensions=self.extensions,
        ).encode()


def build_payment(
    challenge: Challenge,
    offer: Offer,
    *,
    payer: str,
    nonce: str,
    valid_after: int,
    valid_before: int,
    payment_id: str | None = None,
) -> UnsignedPayment:
    """The payment of an offer that `policy.choose` returned.

    The token's domain is taken from our own table, never from the terms. The challenge's resource and extensions
    go back whole; `payment_id` is added only where the seller declares the extension. A retry must use the same
    id and the same nonce. Version 1 has neither resource nor extensions to give back.

    Raises:
        PolicyRefused: the token is not known, the payee can never be paid, or a required id is missing.
        ValueError: the nonce, a time or the id is not well formed.
    """
    token, chain = asset(offer.network, offer.asset), chain_id(offer.network)
    if token is None or chain is None:
        raise PolicyRefused([f"asset {offer.asset} on {offer.network} is not a token known here"])
    if why := why_never_paid(offer.pay_to, offer.asset, payer):
        raise PolicyRefused([f"payee {offer.pay_to} {why}"])
    if payment_id is not None and not valid_payment_id(payment_id):
        raise ValueError("a payment id has 16 to 128 characters of A-Z a-z 0-9 _ -")
    authorization = Authorization(
        payer=payer,
        payee=offer.pay_to,
        value=offer.amount,
        valid_after=valid_after,
        valid_before=valid_before,
        nonce=nonce,
    )
    return UnsignedPayment(
        typed=TypedAuthorization(_domain(token.name, token.version, chain, offer.asset), authorization),
        offer=offer,
        resource=challenge.resource if offer.version > 1 else None,
        extensions=_echo(challenge.extensions, payment_id) if offer.version > 1 else None,
    )


def window(offer: Offer, now: int, max_validity_seconds: int) -> tuple[int, int]:
    """`validAfter` and `validBefore`, in unix seconds, of a payment signed now.

    A seller may ask for ten years and the official client signs them; ours are shortened. A short window is a
    short risk.
    """
    return max(0, now - BACKDATE), now + min(offer.max_timeout_seconds, max_validity_seconds)


def read_receipt(headers: Mapping[str, str]) -> Receipt | None:
    """The settlement that an answer's headers report; None when they report none.

    Raises:
        MalformedHeader: there is a receipt and it cannot be read.
    """
    for version in (2, 1):
        value = header_in(headers, RECEIPT_HEADERS[version])
        if value is not None:
            return decode_receipt(RECEIPT_HEADERS[version], value)
    return None


def rejection_reason(headers: Mapping[str, str], body: bytes) -> str:
    """Why a payment was refused, from the answer to it. Never raises; the text is made fit for a log.

    A failed settlement says it in the receipt, a failed verification in the new terms (x402#3148), and many
    sellers in the body alone, under one name or another (x402#1387, middy#1678).
    """
    reason = failed_receipt(headers)
    if reason is not None and reason != _NONE_GIVEN:
        return reason
    with suppress(X402Error):
        if stated := read_challenge(headers, body, body_terms=True).error:
            return stated
    return _reason_in(body) or _NONE_GIVEN


def failed_receipt(headers: Mapping[str, str]) -> str | None:
    """Why a settlement failed, by a receipt that says so, however little else of it can be read; None: there is
    none."""
    for version in (2, 1):
        value = header_in(headers, RECEIPT_HEADERS[version])
        if value is None:
            continue
        with suppress(X402Error):
            said = decode_header(RECEIPT_HEADERS[version], value)
            if said.get("success") is False:
                return _first_text(said, ("errorReason", "errorMessage", "error")) or _NONE_GIVEN
    return None


def _reason_in(body: bytes) -> str | None:
    """What a body of JSON gives as the reason, in whatever field sellers put it."""
    try:
        said = parse_object(body)
    except ValueError:
        return None
    inner = said.get("error")
    places = [said, *([inner] if isinstance(inner, dict) else [])]
    told = [text for place in places for name in _REASONS if (text := _first_text(place, (name,)))]
    return clean(": ".join(dict.fromkeys(told)), _MAX_REASON) or None


def _first_text(said: JsonObject, names: Sequence[str]) -> str | None:
    texts = [said[name] for name in names if name in said]
    return next((clean(text, _MAX_REASON) for text in texts if isinstance(text, str) and clean(text, 1)), None)


def _cheaper(body: bytes, offers: Sequence[Offer]) -> Iterator[Offer]:
    """The offers of a body that undercut the header's."""
    try:
        message = parse_object(body)
        stated = challenge_from(message, _version(message)).offers
    except (ValueError, UnsupportedVersion):
        return  # beside a header the body may be anything
    for offer in stated:
        asked = [known.amount for known in offers if _token(known) == _token(offer)]
        if asked and offer.amount < min(asked):
            yield offer


def _token(offer: Offer) -> tuple[str, str]:
    return offer.network, offer.asset.lower()


def _version(message: JsonObject, default: int | None = None) -> int:
    if default is not None and "x402Version" not in message:
        return default
    return integer_field(message, "x402Version")


def _echo(extensions: JsonObject | None, payment_id: str | None) -> JsonObject | None:
    """The declared extensions whole, with our id added to the one that asks for it."""
    entry = (extensions or {}).get(PAYMENT_IDENTIFIER)
    info = entry.get("info") if isinstance(entry, dict) else None
    if extensions is None or not isinstance(entry, dict) or not isinstance(info, dict):
        return extensions
    if payment_id is None:
        if info.get("required") is True:
            raise PolicyRefused([f"the seller requires a {PAYMENT_IDENTIFIER} and none was given"])
        return extensions
    answered: dict[str, Json] = {**entry, "info": {**info, "id": payment_id}}
    return {**extensions, PAYMENT_IDENTIFIER: answered}


def _canonical(signature: str) -> str:
    """The 65 bytes with v as 27 or 28, which the token wants; some wallets write 0 or 1."""
    try:
        raw = bytes.fromhex(signature.removeprefix("0x"))
    except ValueError:
        raise SigningFailed("the wallet's signature is not hex") from None
    if len(raw) != 65:
        raise SigningFailed(f"the wallet's signature has {len(raw)} bytes, not 65; smart wallets cannot pay here")
    v = raw[64] + 27 if raw[64] < 2 else raw[64]
    if v not in (27, 28) or int.from_bytes(raw[32:64]) > HALF_ORDER:
        raise SigningFailed("the wallet's signature has a high s or an odd v; the token would refuse it")
    return "0x" + raw[:64].hex() + f"{v:02x}"
