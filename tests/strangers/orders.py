"""Orders for two facilitators to judge: a payment and the terms it is held against, good ones and odd ones.

Each has a nonce of its own, so that each is judged by itself.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from net.strict_json import Json, JsonObject
from tests.strangers.payments import authorized
from tests.x402.samples import OTHER, PAYEE, PAYER, USDC, entry
from x402.codec import object_field, text_field
from x402.eip3009 import Domain
from x402.wire import Authorization

__all__ = ["Order", "orders"]

_CURVE: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""The order of secp256k1: (r, curve - s) signs the same as (r, s)."""
_ANOTHER: Final = "eip155:8453"
_SOMEBODY: Final = "0x" + "22" * 32


@dataclass(frozen=True, slots=True)
class Order:
    """What a seller sends to /verify and /settle."""

    message: JsonObject
    terms: JsonObject

    def as_json(self) -> dict[str, Json]:
        version = self.message.get("x402Version", 2)
        return {"x402Version": version, "paymentPayload": self.message, "paymentRequirements": self.terms}


def orders() -> dict[str, Order]:
    """By name. The clock is the machine's: facilitators have theirs."""
    now = int(time.time())
    return {name: Order(message, entry()) for name, message in _payments(now).items()} | _terms(now)


def _authorization(
    now: int,
    *,
    payee: str = PAYEE,
    value: int = 10_000,
    valid_after: int | None = None,
    valid_before: int | None = None,
) -> Authorization:
    after = now - 600 if valid_after is None else valid_after
    before = now + 300 if valid_before is None else valid_before
    return Authorization(PAYER, payee, value, after, before, "0x" + secrets.token_hex(32))


def _payments(now: int) -> dict[str, JsonObject]:
    """Payments held against the plain terms."""

    def signed(authorization: Authorization | None = None) -> dict[str, Json]:
        return authorized(entry(), authorization or _authorization(now))

    def spoken(**changes: Json) -> JsonObject:
        return _with(signed(), authorization=lambda a: {**a, **changes})

    def respoken(name: str, change: Callable[[str], Json]) -> JsonObject:
        return _with(signed(), authorization=lambda a: {**a, name: change(text_field(a, name))})

    def resigned(change: Callable[[bytes], str]) -> JsonObject:
        return _with(signed(), signature=lambda s: change(bytes.fromhex(s[2:])))

    def accepted(**changes: Json) -> JsonObject:
        return {**signed(), "accepted": entry(**changes)}

    def domain(name: str = "USDC", chain: int = 84532) -> JsonObject:
        return authorized(entry(), _authorization(now), domain=Domain(name, "2", chain, USDC))

    def without(*keys: str) -> JsonObject:
        return {key: value for key, value in signed().items() if key not in keys}

    return {
        "good": signed(),
        "value: one more": signed(_authorization(now, value=10_001)),
        "value: one less": signed(_authorization(now, value=9_999)),
        "value: a JSON number": spoken(value=10_000),
        "value: 010000": spoken(value="010000"),
        "value: 0x2710": spoken(value="0x2710"),
        "payee: another": signed(_authorization(now, payee=OTHER)),
        "payee: lower case": respoken("to", str.lower),
        "payer: lower case": respoken("from", str.lower),
        "validBefore: over": signed(_authorization(now, valid_before=now - 10)),
        "validBefore: in 3 s": signed(_authorization(now, valid_before=now + 3)),
        "validBefore: in 60 s": signed(_authorization(now, valid_before=now + 60)),
        "validBefore: 2**255": signed(_authorization(now, valid_before=2**255)),
        "validAfter: in 60 s": signed(_authorization(now, valid_after=now + 60)),
        "validAfter: 0": signed(_authorization(now, valid_after=0)),
        "times: JSON numbers": spoken(validAfter=now - 600, validBefore=now + 300),
        "nonce: without 0x": respoken("nonce", lambda nonce: nonce[2:]),
        "nonce: short": spoken(nonce="0x01"),
        "nonce: upper case": respoken("nonce", lambda nonce: "0x" + nonce[2:].upper()),
        "authorization: unknown key": spoken(extra=1),
        "signer: another": authorized(entry(), _authorization(now), key=_SOMEBODY),
        "domain: another chain": domain(chain=8453),
        "domain: another name": domain(name="USD Coin"),
        "signature: v 0 or 1": resigned(lambda raw: "0x" + (raw[:64] + bytes([raw[64] - 27])).hex()),
        "signature: high s": resigned(_high),
        "signature: upper case": resigned(lambda raw: "0x" + raw.hex().upper()),
        "signature: without 0x": resigned(lambda raw: raw.hex()),
        "signature: 64 bytes": resigned(_compact),
        "signature: 66 bytes": resigned(lambda raw: f"0x{raw.hex()}00"),
        "signature: empty": resigned(lambda raw: "0x"),
        "signature: missing": {
            **signed(),
            "payload": {"authorization": object_field(_payload(signed()), "authorization")},
        },
        "accepted: another network": accepted(network=_ANOTHER),
        "accepted: scheme upto": accepted(scheme="upto"),
        "accepted: less, terms and signature agree": accepted(amount="1"),
        "accepted: missing": without("accepted"),
        "resource: missing": without("resource"),
        "resource: null": {**signed(), "resource": None},
        "extensions: null": {**signed(), "extensions": None},
        "message: unknown key": {**signed(), "foo": 1},
        "message: version 3": {**signed(), "x402Version": 3},
    }


def _terms(now: int) -> dict[str, Order]:
    """Terms that are not the plain ones, each with a payment."""

    def held(terms: JsonObject, *, signed_for: JsonObject | None = None) -> Order:
        return Order(authorized(signed_for or entry(), _authorization(now)), terms)

    def agreed(terms: JsonObject, authorization: Authorization) -> Order:
        return Order(authorized(terms, authorization), terms)

    bare = {key: value for key, value in entry().items() if key != "extra"}
    foo: JsonObject = {"extra": {"name": "Foo", "version": "2"}}
    return {
        "terms: another network": held(entry(network=_ANOTHER)),
        "terms: scheme upto": held(entry(scheme="upto")),
        "terms: without extra": held(bare),
        "terms: extra {}": held(entry(extra={})),
        "terms: another token name, signed for": held(entry(**foo), signed_for=entry(**foo)),
        "terms: asset and payee in lower case": held(entry(asset=USDC.lower(), payTo=PAYEE.lower())),
        "terms: maxTimeoutSeconds a string": held(entry(maxTimeoutSeconds="300")),
        "terms: amount a JSON number": held(entry(amount=10_000)),
        "terms: amount 0": agreed(entry(amount="0"), _authorization(now, value=0)),
        "terms: token unknown": agreed(entry(asset=OTHER), _authorization(now)),
        "terms: payee is the payer": agreed(entry(payTo=PAYER), _authorization(now, payee=PAYER)),
    }


def _payload(message: JsonObject) -> JsonObject:
    return object_field(message, "payload")


def _with(message: JsonObject, **changes: Callable[..., Json]) -> JsonObject:
    """A message with parts of its payload changed."""
    payload = _payload(message)
    changed: Mapping[str, Json] = {name: change(payload[name]) for name, change in changes.items()}
    return {**message, "payload": {**payload, **changed}}


def _high(raw: bytes) -> str:
    mirrored = _CURVE - int.from_bytes(raw[32:64])
    return "0x" + (raw[:32] + mirrored.to_bytes(32) + bytes([55 - raw[64]])).hex()


def _compact(raw: bytes) -> str:
    """EIP-2098: v in the highest bit of s."""
    s = int.from_bytes(raw[32:64]) | ((raw[64] - 27) << 255)
    return "0x" + (raw[:32] + s.to_bytes(32)).hex()
