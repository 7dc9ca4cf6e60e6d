"""A wallet at Coinbase: the key stays with the Coinbase Developer Platform (CDP), which signs on request.

    POST /platform/v2/evm/accounts/{address}/sign/typed-data    -> {"signature": "0x..."}

Spoken over HTTP as cdp-sdk 1.51 does (`cdp/auth/utils/jwt.py`), which itself would bring web3, a Solana client and
usage tracking. `requirements-cdp.txt` names what the tokens need; only this module imports it.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
import secrets
import time
from collections.abc import Callable
from typing import Final

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_der_private_key, load_pem_private_key

from net.addresses import is_loopback
from net.strict_json import JsonObject, parse_object
from x402.codec import text_field
from x402.eip3009 import TypedAuthorization
from x402.errors import ResponseRefused, SigningFailed
from x402.keccak import checksum_address
from x402.secp256k1 import recover

__all__ = ["CDP_URL", "CdpRefused", "CdpSigner", "CdpUnavailable"]

CDP_URL: Final = "https://api.cdp.coinbase.com/platform"

_SECONDS: Final = 10.0
_TRIES: Final = 2
_TOKEN_SECONDS: Final = 120  # what the official SDK asks for
_BUSY: Final = frozenset({408, 409, 425, 429})
_WORD: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


class CdpUnavailable(SigningFailed):
    """Coinbase was not reached or is busy. Nothing was signed as far as is known; try later."""


class CdpRefused(SigningFailed):
    """Coinbase said no: a wrong key, an account that is not there, a policy of the account."""


class CdpSigner:
    """An account (not a smart account) of a CDP project. `repr` shows its address only.

    Coinbase does not promise that the same data get the same signature, so a signature has to be stored before it
    is sent, and the stored one be sent ever after. Within a day it does keep to the idempotency key that goes with
    the data.
    """

    def __init__(
        self,
        http: httpx.AsyncClient,
        address: str,
        *,
        api_key_id: str,
        api_key_secret: str,
        wallet_secret: str,
        url: str = CDP_URL,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`api_key_secret` is base64 of an Ed25519 key or PEM of a P-256 one, `wallet_secret` base64 of a P-256
        key (DER): as Coinbase hands them out. The client's transport should be a `BoundedTransport`.

        Raises:
            ValueError: one of them is not what it should be; it is not quoted.
        """
        api_key = _pem(api_key_secret) if "BEGIN" in api_key_secret else _ed25519(api_key_secret)
        wallet_key = _der(wallet_secret)
        del api_key_secret, wallet_secret  # some tracebacks show the locals of each frame
        if api_key is None:
            raise ValueError("the CDP API key's secret is neither base64 of an Ed25519 key nor PEM of a P-256 one")
        if wallet_key is None:
            raise ValueError("the CDP wallet secret is not base64 of a P-256 key (DER)")
        self._http: Final = http
        self._address: Final = checksum_address(address)
        self._api_key_id: Final = api_key_id
        self._api_key: Final = api_key
        self._wallet_key: Final = wallet_key
        self._url: Final = _checked(f"{url.rstrip('/')}/v2/evm/accounts/{self._address}/sign/typed-data")
        self._clock: Final = clock

    def __repr__(self) -> str:
        return f"CdpSigner({self.address})"

    @property
    def address(self) -> str:
        """The payer's address, with a checksum (EIP-55)."""
        return self._address

    async def sign_typed_data(self, data: TypedAuthorization) -> str:
        """The signature as `0x` and 65 bytes of hex. It was recovered and is of this address.

        Raises:
            CdpUnavailable: no answer in 10 seconds, two tries included.
            CdpRefused: the answer was no.
            SigningFailed: the answer is no signature of this address.
        """
        try:
            async with asyncio.timeout(_SECONDS):
                signature = await self._asked(data)
        except TimeoutError:
            raise CdpUnavailable(f"Coinbase did not sign for {self.address} in {_SECONDS:g} s") from None
        try:
            signed_by = recover(data.digest, bytes.fromhex(signature.removeprefix("0x")))
        except ValueError:
            signed_by = ""
        if signed_by != self.address.lower():
            raise SigningFailed(f"Coinbase's signature is not one of {self.address} for these data")
        return signature

    async def _asked(self, data: TypedAuthorization) -> str:
        for last in range(1 - _TRIES, 1):
            try:
                return _signature(await self._post(data))
            except CdpUnavailable:
                if last == 0:
                    raise
        raise AssertionError("unreachable: the last try returns or raises")

    async def _post(self, data: TypedAuthorization) -> httpx.Response:
        order = data.as_typed_data()
        headers = {
            "Content-Type": "application/json",
            "Authorization": f"Bearer {self._bearer()}",
            "X-Wallet-Auth": self._wallet_auth(order),
            "X-Idempotency-Key": data.digest.hex(),
        }
        try:
            return await self._http.post(
                self._url, content=_canonical(order), headers=headers, timeout=_SECONDS, follow_redirects=False
            )
        except (httpx.HTTPError, ResponseRefused) as exc:
            raise CdpUnavailable(f"Coinbase was not reached: {type(exc).__name__}") from None

    def _bearer(self) -> str:
        """Who asks: good for this one path, for two minutes."""
        now = int(self._clock())
        claims = {
            "sub": self._api_key_id,
            "iss": "cdp",
            "nbf": now,
            "exp": now + _TOKEN_SECONDS,
            "uris": [self._uri],
        }
        headers = {"kid": self._api_key_id, "nonce": f"{secrets.randbelow(10**16):016}"}
        algorithm = "EdDSA" if isinstance(self._api_key, Ed25519PrivateKey) else "ES256"
        return jwt.encode(claims, self._api_key, algorithm, headers)

    def _wallet_auth(self, order: JsonObject) -> str:
        """Who may sign: bound to this path and these data."""
        now = int(self._clock())
        claims = {
            "uris": [self._uri],
            "iat": now,
            "nbf": now,
            "jti": secrets.token_hex(16),
            "reqHash": hashlib.sha256(_canonical(order)).hexdigest(),
        }
        return jwt.encode(claims, self._wallet_key, "ES256")

    @property
    def _uri(self) -> str:
        return f"POST {self._url.netloc.decode('ascii')}{self._url.path}"


def _signature(response: httpx.Response) -> str:
    """The signature of an answer. The platform's own words are not repeated, only its code and its reference."""
    status = response.status_code
    try:
        answer: JsonObject = parse_object(response.content)
    except ValueError:
        answer = {}
    if status in _BUSY or status >= 500:
        raise CdpUnavailable(f"Coinbase answered {status}{_about(answer)}")
    if status != httpx.codes.OK:
        raise CdpRefused(f"Coinbase refuses to sign: {status}{_about(answer)}")
    try:
        return text_field(answer, "signature")
    except ValueError:
        raise SigningFailed("Coinbase answered without a signature") from None


def _about(answer: JsonObject) -> str:
    named = (answer.get("errorType"), answer.get("correlationId"))
    code, reference = (value if isinstance(value, str) and _WORD.fullmatch(value) else "" for value in named)
    return f" {code}".rstrip() + (f" (correlation {reference})" if reference else "")


def _canonical(order: JsonObject) -> bytes:
    """The body, spelled as it is hashed: sorted keys, no blanks, ASCII."""
    return json.dumps(order, separators=(",", ":"), sort_keys=True).encode()


def _checked(url: str) -> httpx.URL:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        raise ValueError("the CDP's URL cannot be read") from None
    if parsed.scheme != "https" and not (parsed.scheme == "http" and is_loopback(parsed.host)):
        raise ValueError("the CDP's URL must be https: what it signs is money")
    return parsed


def _ed25519(text: str) -> Ed25519PrivateKey | None:
    try:
        raw = base64.b64decode(text, validate=True)
        return Ed25519PrivateKey.from_private_bytes(raw[:32]) if len(raw) == 64 else None  # seed, public key
    except ValueError:
        return None


def _pem(text: str) -> EllipticCurvePrivateKey | None:
    try:
        return _p256(load_pem_private_key(text.replace("\\n", "\n").encode(), None))  # .env files hold one line
    except (ValueError, TypeError):
        return None


def _der(text: str) -> EllipticCurvePrivateKey | None:
    try:
        return _p256(load_der_private_key(base64.b64decode(text, validate=True), None))
    except (ValueError, TypeError):
        return None


def _p256(key: object) -> EllipticCurvePrivateKey | None:
    return key if isinstance(key, EllipticCurvePrivateKey) and isinstance(key.curve, SECP256R1) else None
