"""Payments as strangers see them: messages, signed by a payer of ours. And servers of ours to send them to."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import httpx

from net.strict_json import Json, JsonObject, load_json
from scripts.serve.servers import ServerProcess
from tests.strangers.environments import surroundings
from tests.x402.samples import KEY, PAYEE, URL, header_for
from x402.codec import decode_header, object_field, text_field
from x402.decode import offer_from
from x402.eip3009 import Domain, TypedAuthorization
from x402.negotiation import build_payment, window
from x402.secp256k1 import SigningKey
from x402.wallets.signers import LocalSigner, sign_payment
from x402.wire import Authorization, Challenge

__all__ = ["Answer", "Sellers", "a_server", "answered", "authorized", "desk", "get", "post", "sellers", "signed"]

_SECONDS: Final = 20.0
_START_SECONDS: Final = 45.0
_VALID_SECONDS: Final = 900


def signed(terms: JsonObject, *, now: int | None = None, key: str = KEY) -> dict[str, Json]:
    """The message of a fresh payment of these version 2 terms, as a buyer of ours makes it."""
    moment, nonce = int(time.time()) if now is None else now, "0x" + secrets.token_hex(32)
    header = asyncio.run(header_for(offer_from(terms, 2), now=moment, nonce=nonce, key=key))
    return decode_header(header.name, header.value)


def authorized(
    terms: JsonObject, authorization: Authorization, *, domain: Domain | None = None, key: str = KEY
) -> dict[str, Json]:
    """The version 2 message of an authorization, whatever it says; the token is the one that the terms name."""
    extra = object_field(terms, "extra")
    network, asset = text_field(terms, "network"), text_field(terms, "asset")
    named = domain or Domain(text_field(extra, "name"), text_field(extra, "version"), chain_of(network), asset)
    signature = SigningKey(bytes.fromhex(key.removeprefix("0x"))).sign(
        TypedAuthorization(named, authorization).digest
    )
    spoken: dict[str, Json] = {
        "from": authorization.payer,
        "to": authorization.payee,
        "value": str(authorization.value),
        "validAfter": str(authorization.valid_after),
        "validBefore": str(authorization.valid_before),
        "nonce": authorization.nonce,
    }
    payload: dict[str, Json] = {"signature": "0x" + signature.hex(), "authorization": spoken}
    return {"x402Version": 2, "resource": {"url": URL}, "accepted": terms, "payload": payload}


def chain_of(network: str) -> int:
    """The number in a CAIP-2 id of an EVM chain."""
    return int(network.removeprefix("eip155:"))


def answered(challenge: Challenge, *, payment_id: str | None = None) -> dict[str, Json]:
    """The message of a fresh payment of a challenge's first offer, with the id where one is given."""
    offer, signer = challenge.offers[0], LocalSigner(KEY)
    after, before = window(offer, int(time.time()), _VALID_SECONDS)
    unsigned = build_payment(
        challenge,
        offer,
        payer=signer.address,
        nonce="0x" + secrets.token_hex(32),
        valid_after=after,
        valid_before=before,
        payment_id=payment_id,
    )
    header = asyncio.run(sign_payment(unsigned, signer))
    return decode_header(header.name, header.value)


@contextmanager
def a_server(name: str, *command: str, health: str, **settings: str) -> Iterator[str]:
    """The address of a server of ours, in a process of its own until the block ends."""
    with TemporaryDirectory() as empty:
        server = ServerProcess(name, command, health, Path(empty), surroundings(**settings))
        with server:
            yield server.ready(_START_SECONDS)


@contextmanager
def desk() -> Iterator[str]:
    """Purser's facilitator, settling offline."""
    with a_server("facilitator", "gpu_vendor_mock.facilitator", "--port", "0", health="/supported") as url:
        yield url


@dataclass(frozen=True, slots=True)
class Sellers:
    """Addresses of sellers of ours, and of the facilitator that the first of them sells through."""

    facilitator: str
    goods: str
    vendor: str


@contextmanager
def sellers() -> Iterator[Sellers]:
    """The interop tests' seller and the mock vendor."""
    with desk() as facilitator:
        command = ("tests.interop.purser_seller", facilitator, PAYEE)
        with (
            a_server("seller", *command, health="/runs") as goods,
            a_server("vendor", "gpu_vendor_mock", "--port", "0", health="/health") as vendor,
        ):
            yield Sellers(facilitator, goods, vendor)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came over HTTP; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def message(self) -> Json:
        """The body's JSON."""
        return load_json(self.body.decode())


def post(url: str, body: JsonObject | bytes, headers: dict[str, str] | None = None) -> Answer:
    """POST; any status is an answer."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = {"Content-Type": "application/json", **(headers or {})}
    return _answer(httpx.post(url, content=content, headers=sent, timeout=_SECONDS, trust_env=False))


def get(url: str, headers: dict[str, str] | None = None) -> Answer:
    """GET; any status is an answer."""
    return _answer(httpx.get(url, headers=headers, timeout=_SECONDS, trust_env=False))


def _answer(response: httpx.Response) -> Answer:
    return Answer(response.status_code, dict(response.headers), response.content)
