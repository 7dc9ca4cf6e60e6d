"""Purser's worker: `python -m tests.bench.ours DIRECTORY`; what it stores goes into the directory."""

from __future__ import annotations

import asyncio
import secrets
import sys
import time
from pathlib import Path
from time import perf_counter
from typing import Final

import httpx
from coincurve import PrivateKey, PublicKey

from tests.bench.clockwork import serve, timed
from tests.bench.notebook import Notebook
from tests.x402.samples import KEY, NETWORK, PAYEE, challenge, offer
from x402.client import BoundedTransport, PaymentAuth
from x402.decode import decode_payment
from x402.facilitator import check
from x402.keccak import keccak256
from x402.negotiation import build_payment, read_receipt, window
from x402.policy import Policy, choose
from x402.signers import LocalSigner, sign_payment
from x402.wire import Challenge, Offer, PaymentHeader

IN_FLIGHT: Final = 32

_SIGNER: Final = LocalSigner(KEY)
_CHALLENGE: Final = challenge()
_OFFER: Final = offer()


async def _signed(terms: Challenge, chosen: Offer) -> PaymentHeader:
    """A payment as Purser makes it, with the nonce and the times that the SDK's signing makes too."""
    after, before = window(chosen, int(time.time()), 900)
    unsigned = build_payment(
        terms,
        chosen,
        payer=_SIGNER.address,
        nonce="0x" + secrets.token_hex(32),
        valid_after=after,
        valid_before=before,
    )
    return await sign_payment(unsigned, _SIGNER)


async def sign(times: int, _url: str) -> list[float]:
    """Offer in, header out."""
    return await timed(times, lambda: _signed(_CHALLENGE, _OFFER))


async def verify(times: int, _url: str) -> list[float]:
    """Header in, verdict out, without a chain."""
    header = await _signed(_CHALLENGE, _OFFER)

    async def once() -> None:
        verdict = check(decode_payment(header.name, header.value), _OFFER, time.time())
        if not verdict.valid:
            raise RuntimeError(verdict.message)

    return await timed(times, once)


async def limit_of_signing(times: int, _url: str) -> list[float]:
    """What any client has to do: hash the struct and the digest, and sign."""
    key = PrivateKey(bytes.fromhex(KEY[2:]))
    struct, digest = bytes(7 * 32), bytes(66)

    async def once() -> None:
        keccak256(struct)
        key.sign_recoverable(keccak256(digest), hasher=None)

    return await timed(times, once)


async def limit_of_verifying(times: int, _url: str) -> list[float]:
    """What any verifier has to do: hash the struct and the digest, recover the key, and hash it to its address."""
    struct, digest = bytes(7 * 32), bytes(66)
    signature = PrivateKey(bytes.fromhex(KEY[2:])).sign_recoverable(keccak256(digest), hasher=None)

    async def once() -> None:
        keccak256(struct)
        key = PublicKey.from_signature_and_message(signature, keccak256(digest), hasher=None)
        keccak256(key.format(compressed=False)[1:])

    return await timed(times, once)


class _Buyer:
    """A client that stores its intent before it asks, and its authorization before it pays."""

    def __init__(self, directory: str) -> None:
        self._directory = Path(directory)
        self._notes: Notebook | None = None
        pool = httpx.AsyncHTTPTransport(limits=httpx.Limits(max_keepalive_connections=IN_FLIGHT))
        self._http = httpx.AsyncClient(transport=BoundedTransport(pool), timeout=60)

    async def get(self, times: int, url: str) -> list[float]:
        """GET without paying."""
        return await timed(times, lambda: self._plain(url))

    async def pay(self, times: int, url: str) -> list[float]:
        """GET and pay, one after the other."""
        return await timed(times, lambda: self._paid(url))

    async def rush(self, times: int, url: str) -> list[float]:
        """GET and pay, 32 in flight; what all of it took, divided by how many there were."""
        gate = asyncio.Semaphore(IN_FLIGHT)

        async def one() -> None:
            async with gate:
                await self._paid(url)

        start = perf_counter()
        await asyncio.gather(*(one() for _ in range(times)))
        return [(perf_counter() - start) / times]

    async def _plain(self, url: str) -> None:
        (await self._http.get(url)).raise_for_status()

    async def _paid(self, url: str) -> None:
        notes = self._notes = self._notes or Notebook(self._directory / "notes.jsonl")
        policy = Policy(10_000, frozenset({NETWORK}), payee=PAYEE, origin=url)
        purchase = secrets.token_hex(8)
        await notes.store({"event": "intent", "purchase": purchase, "url": url, "most": policy.max_amount})

        async def authorize(terms: Challenge) -> PaymentHeader:
            header = await _signed(terms, choose(terms, policy))
            await notes.store(
                {"event": "authorized", "purchase": purchase, "name": header.name, "value": header.value}
            )
            return header

        answer = (await self._http.get(url, auth=PaymentAuth(authorize))).raise_for_status()
        receipt = read_receipt(answer.headers)
        if receipt is None or not receipt.success:
            raise RuntimeError("the seller did not settle")


if __name__ == "__main__":
    buyer = _Buyer(sys.argv[1])
    serve(
        {
            "sign": sign,
            "verify": verify,
            "limit of sign": limit_of_signing,
            "limit of verify": limit_of_verifying,
            "get": buyer.get,
            "pay": buyer.pay,
            "rush": buyer.rush,
        }
    )
