"""A stand-in for Coinbase's signing API on a real socket: checks strictly what it is sent, and signs."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from eth_account import Account
from eth_account.messages import encode_typed_data

from tests.x402.samples import KEY, PAYER
from tests.x402.server import Reply, Seen, json_reply, serving
from x402.client import BoundedTransport
from x402.wallets.cdp import CdpSigner

KEY_ID = "organizations/1/apiKeys/2"


def ed25519_secret(key: ed25519.Ed25519PrivateKey) -> str:
    """As Coinbase hands one out: seed and public key, base64."""
    kinds = serialization.Encoding.Raw, serialization.PublicFormat.Raw
    seed = key.private_bytes(kinds[0], serialization.PrivateFormat.Raw, serialization.NoEncryption())
    return base64.b64encode(seed + key.public_key().public_bytes(*kinds)).decode()


def p256_pem(key: ec.EllipticCurvePrivateKey) -> str:
    """The older kind of API key."""
    style = serialization.PrivateFormat.TraditionalOpenSSL
    return key.private_bytes(serialization.Encoding.PEM, style, serialization.NoEncryption()).decode()


def p256_der(key: ec.EllipticCurvePrivateKey) -> str:
    """A wallet secret."""
    style = serialization.PrivateFormat.PKCS8
    der = key.private_bytes(serialization.Encoding.DER, style, serialization.NoEncryption())
    return base64.b64encode(der).decode()


@dataclass
class Coinbase:
    """One account, `PAYER`, and the keys of who may use it. `replies` are given first, where there are some."""

    api_key: Any = field(default_factory=ed25519.Ed25519PrivateKey.generate)
    wallet_key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    replies: list[Reply] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    address: str = PAYER
    url: str = ""

    @property
    def api_secret(self) -> str:
        """What the customer has for its API key."""
        is_ed = isinstance(self.api_key, ed25519.Ed25519PrivateKey)
        return ed25519_secret(self.api_key) if is_ed else p256_pem(self.api_key)

    def signer(self, http: httpx.AsyncClient, **changes: Any) -> CdpSigner:
        """A wallet that uses this."""
        usual: dict[str, Any] = {
            "api_key_id": KEY_ID,
            "api_key_secret": self.api_secret,
            "wallet_secret": p256_der(self.wallet_key),
            "url": self.url,
        }
        return CdpSigner(http, self.address, **usual | changes)

    async def answer(self, seen: Seen) -> Reply:
        """Check the tokens as Coinbase documents them, and sign with eth-account."""
        self.seen.append(seen)
        if self.replies:
            return self.replies.pop(0)
        order = json.loads(seen.body)
        uri = f"POST {seen.headers['host']}/platform/v2/evm/accounts/{PAYER}/sign/typed-data"
        assert f"POST {seen.headers['host']}{seen.path}" == uri
        self._check(seen, uri, order)
        signed = Account.sign_message(encode_typed_data(full_message=order), KEY)
        return json_reply({"signature": "0x" + bytes(signed.signature).hex()})

    def _check(self, seen: Seen, uri: str, order: Any) -> None:
        asked = seen.headers["authorization"].removeprefix("Bearer ")
        header = jwt.get_unverified_header(asked)
        assert (header["kid"], header["typ"], len(header["nonce"])) == (KEY_ID, "JWT", 16)
        must: Any = {"require": ["exp", "nbf", "sub", "iss"]}
        claims = jwt.decode(asked, self.api_key.public_key(), ["EdDSA", "ES256"], must, issuer="cdp")
        assert (claims["sub"], claims["uris"], claims["exp"] - claims["nbf"]) == (KEY_ID, [uri], 120)
        allowed = jwt.decode(seen.headers["x-wallet-auth"], self.wallet_key.public_key(), ["ES256"])
        assert allowed["uris"] == [uri]
        assert allowed["jti"]
        spelled = json.dumps(order, sort_keys=True, separators=(",", ":")).encode()
        assert allowed["reqHash"] == hashlib.sha256(spelled).hexdigest()


@asynccontextmanager
async def coinbase(**how: Any) -> AsyncIterator[tuple[Coinbase, httpx.AsyncClient]]:
    """The stand-in, and a client such as the signer should be given."""
    bank = Coinbase(**how)
    async with (
        serving(bank.answer) as url,
        httpx.AsyncClient(transport=BoundedTransport(httpx.AsyncHTTPTransport(), 65536)) as http,
    ):
        bank.url = f"{url}/platform"
        yield bank, http
