"""Reading the messages of strangers into the values of `x402.wire`.

For any bytes at all, nothing but this package's errors comes out of the functions that take a header; those that
take a JSON object raise `ValueError` with a text that quotes nothing usable. Unknown keys are ignored, and kept
where a message is echoed, as the official SDKs do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from net.strict_json import JsonObject
from x402.codec import atomic_field, clean, decode_header, integer_field, is_address, object_field, text_field
from x402.errors import MalformedHeader, UnsupportedVersion
from x402.networks import to_caip2
from x402.wire import PAYMENT_HEADERS, Authorization, Challenge, Offer, Payment, Receipt

__all__ = [
    "challenge_from",
    "decode_payment",
    "decode_receipt",
    "header_in",
    "offer_from",
    "payment_from",
    "receipt_from",
]


_MOST_ENTRIES: Final = 64  # as many sellers never have; each one that is odd costs a line of reasons


def header_in(headers: Mapping[str, str], name: str) -> str | None:
    """A header's value whatever the case of its name; plain dicts and httpx headers alike."""
    found = headers.get(name)
    if found is not None:
        return found
    wanted = name.lower()
    return next((value for key, value in headers.items() if key.lower() == wanted), None)


def offer_from(entry: JsonObject, version: int) -> Offer:
    """An offer from one entry of `accepts`. Raises `ValueError` that says what is odd about it."""
    named = text_field(entry, "network")
    network = to_caip2(named, version)
    if network is None:
        raise ValueError(f"network {clean(named, 60)!r} is not an EVM chain known to version {version}")
    extra = entry.get("extra", {})
    if extra is None and version == 1:  # the v1 schema allows null, the v2 schema does not
        extra = {}
    if not isinstance(extra, dict):
        raise ValueError("extra is not an object")
    return Offer(
        version=version,
        scheme=text_field(entry, "scheme"),
        network=network,
        amount=atomic_field(entry, "maxAmountRequired" if version == 1 else "amount"),
        asset=text_field(entry, "asset"),
        pay_to=text_field(entry, "payTo"),
        max_timeout_seconds=integer_field(entry, "maxTimeoutSeconds"),
        extra=extra,
        raw=entry,
    )


def challenge_from(message: JsonObject, version: int) -> Challenge:
    """A challenge, read entry by entry: an odd one is skipped with its reason, the others stay.

    Raises:
        UnsupportedVersion: the version is neither 1 nor 2.
        ValueError: there is no list of entries, or it is endless.
    """
    if version not in PAYMENT_HEADERS:
        raise UnsupportedVersion(version)
    accepts = message.get("accepts")
    if not isinstance(accepts, list):
        raise ValueError("accepts is not a list")
    if len(accepts) > _MOST_ENTRIES:
        raise ValueError(f"accepts has more than {_MOST_ENTRIES} entries")
    offers: list[Offer] = []
    skipped: list[str] = []
    for index, entry in enumerate(accepts):
        try:
            if not isinstance(entry, dict):
                raise ValueError("not an object")
            offers.append(offer_from(entry, version))
        except ValueError as exc:
            skipped.append(f"entry {index}: {exc}")
    error = message.get("error")
    resource = message.get("resource") if version > 1 else None
    extensions = message.get("extensions") if version > 1 else None
    return Challenge(
        version=version,
        offers=tuple(offers),
        skipped=tuple(skipped),
        error=clean(error) if isinstance(error, str) else None,
        resource=resource if isinstance(resource, dict) else None,
        extensions=extensions if isinstance(extensions, dict) else None,
    )


def decode_payment(name: str, value: str) -> Payment:
    """The payment in a request header; each version has its own header and must be in it.

    Raises:
        MalformedHeader: it cannot be read, or is of the other header's version.
        UnsupportedVersion: it names a version that is not 1 or 2.
    """
    message = decode_header(name, value)
    try:
        payment = payment_from(message)
        if PAYMENT_HEADERS[payment.version].lower() != name.lower():
            raise ValueError(f"a version {payment.version} payment belongs in {PAYMENT_HEADERS[payment.version]}")
    except ValueError as exc:
        raise MalformedHeader(f"{name}: {exc}") from exc
    return payment


def decode_receipt(name: str, value: str) -> Receipt:
    """The settlement in a response header.

    Raises:
        MalformedHeader: it cannot be read.
    """
    message = decode_header(name, value)
    try:
        return receipt_from(message)
    except ValueError as exc:
        raise MalformedHeader(f"{name}: {exc}") from exc


def receipt_from(message: JsonObject) -> Receipt:
    """A receipt from its JSON object, or `ValueError`. A missing transaction counts as none."""
    success = message.get("success")
    if not isinstance(success, bool):
        raise ValueError("success is not true or false")
    network = _text_or_empty(message, "network")
    payer, reason = message.get("payer"), message.get("errorReason") or message.get("errorMessage")
    return Receipt(
        success=success,
        transaction=_text_or_empty(message, "transaction"),
        network=to_caip2(network, 1) or clean(network, 100),
        payer=payer if isinstance(payer, str) and is_address(payer) else None,
        amount=atomic_field(message, "amount") if message.get("amount") is not None else None,
        error_reason=clean(reason) if isinstance(reason, str) else None,
    )


def payment_from(message: JsonObject) -> Payment:
    """A payment from its JSON object, or `ValueError`.

    Raises:
        UnsupportedVersion: it names a version that is not 1 or 2.
    """
    version = integer_field(message, "x402Version")
    if version not in PAYMENT_HEADERS:
        raise UnsupportedVersion(version)
    payload = object_field(message, "payload")
    signed = object_field(payload, "authorization")
    accepted = object_field(message, "accepted") if version > 1 else None
    terms = message if accepted is None else accepted
    return Payment(
        version=version,
        scheme=text_field(terms, "scheme"),
        network=text_field(terms, "network"),
        authorization=Authorization(
            payer=text_field(signed, "from"),
            payee=text_field(signed, "to"),
            value=atomic_field(signed, "value"),
            valid_after=atomic_field(signed, "validAfter"),
            valid_before=atomic_field(signed, "validBefore"),
            nonce=text_field(signed, "nonce"),
        ),
        signature=text_field(payload, "signature"),
        accepted=accepted,
        resource=_optional_object(message, "resource", version),
        extensions=_optional_object(message, "extensions", version),
    )


def _text_or_empty(message: JsonObject, key: str) -> str:
    """The string, "" for one that is missing or null."""
    return "" if message.get(key) is None else text_field(message, key)


def _optional_object(message: JsonObject, key: str, version: int) -> JsonObject | None:
    return None if version == 1 or message.get(key) is None else object_field(message, key)
