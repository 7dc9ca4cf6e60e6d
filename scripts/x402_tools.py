"""For those who debug an integration: any message of x402 made readable, and a payment held against its terms.

A signed payment is a cheque. What makes it one (the signature, and what another scheme has in its payload) is not
shown unless it is asked for.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from net.strict_json import Json, JsonObject, load_json, parse_object
from x402.codec import decode_header
from x402.decode import challenge_from, offer_from, payment_from, receipt_from
from x402.errors import MalformedHeader, X402Error
from x402.failures import Failure, spoken
from x402.selling.facilitator import check
from x402.selling.seller import not_echoed
from x402.wire import CHALLENGE_HEADER, PAYMENT_HEADERS, RECEIPT_HEADERS, Offer, Payment

__all__ = ["HIDDEN", "Decoded", "Requirements", "Verdict", "decode", "read_requirements", "verify"]

HIDDEN: Final = "(not shown: whoever has it can cash the payment)"

_NAMED: Final = re.compile(r"\s*([A-Za-z0-9-]+)\s*:\s*(.*)", re.DOTALL)
_HEADERS: Final = {
    name.lower(): name for name in (CHALLENGE_HEADER, *PAYMENT_HEADERS.values(), *RECEIPT_HEADERS.values())
}
_KINDS: Final = {
    "accepts": "challenge",
    "payload": "payment",
    "success": "receipt",
    "isValid": "verdict",
    "kinds": "supported",
}
_EARLY: Final = (
    Failure.AMOUNT_MISMATCH,
    Failure.RECIPIENT_MISMATCH,
    Failure.DOMAIN_MISSING,
    Failure.NETWORK_MISMATCH,
    Failure.NOT_ECHOED,
    Failure.UNSUPPORTED,
)
_OPEN: Final = frozenset({"authorization", "permit2Authorization"})
"""What a payload may hold that is worth nothing without its signature."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """A message. `kind` says what it looks like, `problems` why a strict reader would not take it."""

    kind: str
    message: Json
    problems: tuple[str, ...]

    def as_json(self, *, signature: bool) -> dict[str, Json]:
        """For printing; without what could be cashed unless `signature` is true."""
        message = self.message if signature else _redacted(self.message)
        return {"kind": self.kind, "message": message, "problems": self.problems}


def decode(text: str) -> Decoded:
    """A header's value (or `Name: value`, or a body's JSON) as a message.

    Raises:
        MalformedHeader: no JSON can be made of it at all.
    """
    name, value = _named(text)
    problems: list[str] = []
    if value.startswith("{"):
        message = _parsed(value.encode(), name)
    else:
        try:
            message = decode_header(name, value)
        except MalformedHeader as exc:
            problems.append(str(exc))
            message = _leniently(value, exc)
    kind = next((kind for key, kind in _KINDS.items() if key in message), "unknown")
    return Decoded(kind, message, (*problems, *_problems(kind, message)))


@dataclass(frozen=True, slots=True)
class Requirements:
    """The terms that a payment is held against, in the vendor's order, and the extensions declared with them."""

    offers: tuple[Offer, ...]
    extensions: JsonObject


def read_requirements(text: str) -> Requirements:
    """Terms: a challenge as header or as JSON, one entry of its `accepts`, or a list of them.

    Raises:
        ValueError: there are none, or one of them cannot be read.
    """
    try:
        value = load_json(text.strip()) if text.lstrip().startswith(("{", "[")) else decode(text).message
    except MalformedHeader as exc:
        raise ValueError(str(exc)) from None
    extensions = value.get("extensions") if isinstance(value, Mapping) else None
    entries = value.get("accepts", value) if isinstance(value, Mapping) else value
    listed = entries if isinstance(entries, Sequence) and not isinstance(entries, str) else [entries]
    offers = []
    for number, entry in enumerate(listed, start=1):
        if not isinstance(entry, Mapping):
            raise ValueError(f"entry {number} is not an object")
        try:
            offers.append(offer_from(entry, 1 if "maxAmountRequired" in entry else 2))
        except ValueError as exc:
            raise ValueError(f"entry {number}: {exc}") from None
    if not offers:
        raise ValueError("there are no terms in it")
    return Requirements(tuple(offers), extensions if isinstance(extensions, Mapping) else {})


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a payment is good, without asking a chain. `failure` is None when it is."""

    failure: Failure | None
    message: str
    payment: Payment | None = None

    def as_json(self) -> dict[str, Json]:
        """For programs; `reason` is the word that facilitators use."""
        failure, payment = self.failure, self.payment
        return {
            "valid": failure is None,
            "failure": None if failure is None else failure.value,
            "reason": None if failure is None else spoken(failure.value),
            "message": self.message,
            "payer": None if payment is None else payment.authorization.payer,
            "payTo": None if payment is None else payment.authorization.payee,
            "amount": None if payment is None else str(payment.authorization.value),
            "network": None if payment is None else payment.network,
        }


def verify(requirements: Requirements, header: str, now: float) -> Verdict:
    """Hold a payment against the terms: against the entry that it answers, or the one that comes closest."""
    try:
        payment = payment_from(decode_header(*_named(header)))
    except (X402Error, ValueError) as exc:
        return Verdict(Failure.MALFORMED, str(exc))
    found = [_against(payment, offer, requirements.extensions, now) for offer in requirements.offers]
    return min(found, key=_distance)


def _against(payment: Payment, offer: Offer, extensions: JsonObject, now: float) -> Verdict:
    difference = not_echoed(payment, offer, extensions) if payment.version == offer.version else None
    if difference is not None:
        return Verdict(Failure.NOT_ECHOED, difference, payment)
    verdict = check(payment, offer, now)
    return Verdict(verdict.failure, verdict.message, payment)


def _distance(verdict: Verdict) -> int:
    """How far a payment is from an entry: of two that it does not fit, the one is told that passed more checks."""
    if verdict.failure is None:
        return 0
    return _EARLY.index(verdict.failure) + 2 if verdict.failure in _EARLY else 1


def _named(text: str) -> tuple[str, str]:
    """A header's name and value; the name of one that came without is made up."""
    found = _NAMED.fullmatch(text)
    if found is not None and found[1].lower() in _HEADERS:
        return _HEADERS[found[1].lower()], found[2].strip()
    return "the header", text.strip()


def _leniently(value: str, strict: MalformedHeader) -> dict[str, Json]:
    """What was meant by a value that is not base64 as the spec has it: blanks, no padding, the URL's alphabet."""
    plain = re.sub(r"\s", "", value).replace("-", "+").replace("_", "/").rstrip("=")
    try:
        data = binascii.a2b_base64(plain + "=" * (-len(plain) % 4))
    except ValueError:
        raise strict from None
    try:
        return parse_object(data)
    except ValueError:
        raise strict from None


def _parsed(data: bytes, name: str) -> dict[str, Json]:
    try:
        return parse_object(data)
    except ValueError as exc:
        raise MalformedHeader(f"{name}: {exc}") from None


def _problems(kind: str, message: JsonObject) -> Sequence[str]:
    """Why our own readers would refuse it, or parts of it."""
    try:
        if kind == "challenge":
            version = message.get("x402Version", 2)
            return challenge_from(message, version if isinstance(version, int) else 0).skipped
        if kind == "payment":
            payment_from(message)
        elif kind == "receipt":
            receipt_from(message)
    except (X402Error, ValueError) as exc:
        return (str(exc),)
    return () if kind != "unknown" else ("it is none of the protocol's messages",)


def _redacted(value: Json, *, payload: bool = False) -> Json:
    """The same without what could be cashed: every `signature`, and what a payload holds beyond what is signed."""
    if isinstance(value, Mapping):
        shown: dict[str, Json] = {}
        for key, inner in value.items():
            secret = key == "signature" or (payload and key not in _OPEN)
            shown[key] = HIDDEN if secret else _redacted(inner, payload=key == "payload")
        return shown
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_redacted(each, payload=payload) for each in value]
    return HIDDEN if payload else value
