"""Texts for the official SDK and for us to read: challenges, receipts, payments, ids, networks, prices."""

from __future__ import annotations

import base64
from typing import Final

from net.strict_json import Json, JsonObject
from tests.x402.samples import NETWORK, PAYER, URL, entry
from x402.codec import encode_header

__all__ = ["CASES"]

_TRANSACTION: Final = "0x" + "ab" * 32
_PAYLOAD: Final[dict[str, Json]] = {
    "signature": "0x" + "11" * 64 + "1b",
    "authorization": {
        "from": PAYER,
        "to": str(entry()["payTo"]),
        "value": "10000",
        "validAfter": "1800000000",
        "validBefore": "1800000300",
        "nonce": _TRANSACTION,
    },
}


def _challenge(changes: JsonObject | None = None, **entry_changes: Json) -> dict[str, Json]:
    return {
        "x402Version": 2,
        "resource": {"url": URL},
        "accepts": [entry(**entry_changes)],
        **(changes or {}),
    }


def _without(message: dict[str, Json], *keys: str) -> dict[str, Json]:
    return {key: value for key, value in message.items() if key not in keys}


def _entry_without(key: str) -> dict[str, Json]:
    return _challenge({"accepts": [_without(entry(), key)]})


def _receipt(**changes: Json) -> dict[str, Json]:
    usual: dict[str, Json] = {"success": True, "transaction": _TRANSACTION, "network": NETWORK, "payer": PAYER}
    return usual | changes


def _payment(**changes: Json) -> dict[str, Json]:
    usual: dict[str, Json] = {"x402Version": 2, "resource": {"url": URL}, "accepted": entry(), "payload": _PAYLOAD}
    return usual | changes


def _spelled(message: JsonObject) -> dict[str, str]:
    """One message in spellings of base64."""
    header = encode_header(message)
    return {
        "without padding": header.rstrip("="),
        "with a blank": header[:8] + " " + header[8:],
        "with a newline at its end": header + "\n",
        "not base64": "not base64!",
        "no JSON": base64.b64encode(b"terms").decode(),
        "a list": base64.b64encode(b"[]").decode(),
        "empty": "",
    }


_CHALLENGES: Final[dict[str, dict[str, Json]]] = {
    "plain": _challenge(),
    "unknown keys": _challenge({"foo": 1}, bar=2),
    "error": _challenge({"error": "why"}),
    "error null": _challenge({"error": None}),
    "extensions null": _challenge({"extensions": None}),
    "extensions of others": _challenge({"extensions": {"bazaar": {"info": {}}}}),
    "resource missing": _without(_challenge(), "resource"),
    "resource null": _challenge({"resource": None}),
    "resource with more": _challenge({"resource": {"url": URL, "description": "d", "mimeType": "text/plain"}}),
    "accepts missing": _without(_challenge(), "accepts"),
    "accepts null": _challenge({"accepts": None}),
    "accepts an object": _challenge({"accepts": entry()}),
    "accepts with null": _challenge({"accepts": [None, entry()]}),
    "two entries": _challenge({"accepts": [entry(), entry(amount="5")]}),
    "version missing": _without(_challenge(), "x402Version"),
    "version '2'": _challenge({"x402Version": "2"}),
    "version 3": _challenge({"x402Version": 3}),
    **{f"entry without {key}": _entry_without(key) for key in entry()},
    "amount a number": _challenge(amount=10000),
    "amount '1.5'": _challenge(amount="1.5"),
    "amount '-1'": _challenge(amount="-1"),
    "amount ''": _challenge(amount=""),
    "amount '010000'": _challenge(amount="010000"),
    "amount null": _challenge(amount=None),
    "timeout 0": _challenge(maxTimeoutSeconds=0),
    "timeout -5": _challenge(maxTimeoutSeconds=-5),
    "timeout '300'": _challenge(maxTimeoutSeconds="300"),
    "timeout 300.0": _challenge(maxTimeoutSeconds=300.0),
    "timeout 0.5": _challenge(maxTimeoutSeconds=0.5),
    "extra null": _challenge(extra=None),
    "extra a list": _challenge(extra=[]),
    "payTo null": _challenge(payTo=None),
    "payTo a name": _challenge(payTo="alice.eth"),
    "asset a symbol": _challenge(asset="USDC"),
    "network base-sepolia": _challenge(network="base-sepolia"),
    "network eip155:*": _challenge(network="eip155:*"),
    "network solana": _challenge(network="solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1"),
    "network without a colon": _challenge(network="nonsense"),
    "scheme upto": _challenge(scheme="upto"),
}

_RECEIPTS: Final[dict[str, dict[str, Json]]] = {
    "plain": _receipt(),
    "unknown key": _receipt(foo=1),
    "amount": _receipt(amount="10000"),
    "success 'true'": _receipt(success="true"),
    "success 1": _receipt(success=1),
    "success missing": _without(_receipt(), "success"),
    "success null": _receipt(success=None),
    "transaction missing": _without(_receipt(), "transaction"),
    "transaction null": _receipt(transaction=None),
    "network missing": _without(_receipt(), "network"),
    "payer missing": _without(_receipt(), "payer"),
    "payer null": _receipt(payer=None),
    "failed": _receipt(success=False, transaction="", errorReason="insufficient_funds"),
    "failed without a reason": _receipt(success=False, transaction=""),
    "pending": _receipt(success=False, errorReason="settlement_pending"),
    "reason a number": _receipt(success=False, errorReason=5),
    "extensions null": _receipt(extensions=None),
}

_PAYMENTS: Final[dict[str, dict[str, Json]]] = {
    "plain": _payment(),
    "unknown key": _payment(foo=1),
    "resource missing": _without(_payment(), "resource"),
    "extensions null": _payment(extensions=None),
    "accepted missing": _without(_payment(), "accepted"),
    "accepted null": _payment(accepted=None),
    "payload missing": _without(_payment(), "payload"),
    "payload null": _payment(payload=None),
    "payload a list": _payment(payload=[]),
    "payload of another mechanism": _payment(payload={"permit2Authorization": {}, "signature": "0x"}),
    "version 3": _payment(x402Version=3),
    "version missing": _without(_payment(), "x402Version"),
}

_IDS: Final = {
    "plain": "pay_7d5d747be160e280",
    "16 characters": "a" * 16,
    "15 characters": "a" * 15,
    "128 characters": "a" * 128,
    "129 characters": "a" * 129,
    "a hyphen": "pay-7d5d747be160e280",
    "a point": "pay.7d5d747be160e280",
    "a blank": "pay 7d5d747be160e280",
    "an umlaut": "päy_7d5d747be160e280",
    "a full-width digit": "pay_7d5d747be160e28１",
    "a newline at its end": "pay_7d5d747be160e280\n",
    "empty": "",
}

_NETWORKS: Final = (
    "eip155:8453",
    "eip155:84532",
    "eip155:1",
    "eip155:0",
    "eip155:",
    "eip155:x",
    "eip155:*",
    "eip155:-1",
    "eip155:+1",
    "eip155:08453",
    "eip155: 8453",
    "eip155:8453\n",
    "eip155:8_453",
    "eip155:８453",
    "eip155:8453:1",
    "EIP155:8453",
    "8453",
    "base",
    "solana:mainnet",
    "",
)

_PRICES: Final = (
    "1",
    "0.01",
    "0.000001",
    "10",
    "1.50",
    "01",
    "1_000",
    "1,000",
    "1e3",
    "1.",
    ".5",
    "+1",
    " 1 ",
    "１",
    "٣",
    "0x10",
    "1/2",
    "-1",
    "NaN",
    "Infinity",
    "$0.10",
    "0.001 USDC",
    "1 USD",
    "",
)

CASES: Final[dict[str, dict[str, str]]] = {
    "challenge": {name: encode_header(each) for name, each in _CHALLENGES.items()} | _spelled(_challenge()),
    "receipt": {name: encode_header(each) for name, each in _RECEIPTS.items()} | _spelled(_receipt()),
    "payment": {name: encode_header(each) for name, each in _PAYMENTS.items()} | _spelled(_payment()),
    "payment id": _IDS,
    "network": {repr(each): each for each in _NETWORKS},
    "price": {repr(each): each for each in _PRICES},
}
"""By kind and name."""
