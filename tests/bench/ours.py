"""Purser's worker: `python -m tests.bench.ours DIRECTORY`; what it stores goes into the directory."""

from __future__ import annotations

import asyncio
import secrets
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import perf_counter
from typing import Final, TypeAlias

import httpx
from coincurve import PrivateKey, PublicKey

from net.strict_json import JsonObject
from tests.bench.clockwork import serve, timed, tried
from tests.bench.notebook import Notebook
from tests.x402.samples import KEY, NETWORK, PAYEE, challenge, offer
from x402.client import BoundedTransport, PaymentAuth
from x402.decode import decode_payment
from x402.keccak import keccak256
from x402.negotiation import build_payment, read_receipt, window
from x402.policy import Policy, choose
from x402.selling.facilitator import check
from x402.wallets.signers import LocalSigner, sign_payment
from x402.wire import Challenge, Offer, PaymentHeader

IN_FLIGHT: Final = 32

Store: TypeAlias = Callable[[JsonObject], Awaitable[None]]

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
    headers = iter([await _signed(_CHALLENGE, _OFFER) for _ in range(times)])  # what was seen before costs less

    async def once() -> None:
        header = next(headers)
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


async def _forget(_entry: JsonObject) -> None:
    pass


class _Buyer:
    """Clients that store their intent before they ask, and their authorization before they pay.

    As many as are in flight: in one pool of connections httpcore looks at each whenever one is wanted.
    """

    def __init__(self, directory: str) -> None:
        self._notes = Notebook(Path(directory) / "notes.jsonl")
        encryption = httpx.create_ssl_context()
        self._clients = [
            httpx.AsyncClient(transport=BoundedTransport(httpx.AsyncHTTPTransport(verify=encryption)), timeout=60)
            for _ in range(IN_FLIGHT)
        ]

    async def store(self, times: int, _url: str) -> list[float]:
        """Store as much as one payment does."""

        async def twice() -> None:
            await self._notes.store({"event": "intent", "fill": "x" * 100})
            await self._notes.store({"event": "authorized", "fill": "x" * 1000})

        return await timed(times, twice)

    async def get(self, times: int, url: str) -> list[float]:
        """GET without paying."""
        return await timed(times, lambda: self._plain(self._clients[0], url))

    async def pay(self, times: int, url: str) -> list[float]:
        """GET and pay, one after the other."""
        return await timed(times, lambda: self._paid(self._clients[0], url, self._notes.store))

    async def pay_unstored(self, times: int, url: str) -> list[float]:
        """The same with nothing stored, as other clients do it. Purser never does."""
        return await timed(times, lambda: self._paid(self._clients[0], url, _forget))

    async def rush(self, times: int, url: str) -> list[float]:
        """GET and pay, 32 in flight; what all of it took, divided by how many there were."""
        turns = iter(range(times))

        done = 0

        async def buy(http: httpx.AsyncClient) -> None:
            nonlocal done
            for _ in turns:
                done += await tried(lambda: self._paid(http, url, self._notes.store))

        start = perf_counter()
        await asyncio.gather(*map(buy, self._clients))
        return [(perf_counter() - start) / done] if done else []

    async def _plain(self, http: httpx.AsyncClient, url: str) -> None:
        (await http.get(url)).raise_for_status()

    async def _paid(self, http: httpx.AsyncClient, url: str, store: Store) -> None:
        policy = Policy(10_000, frozenset({NETWORK}), payee=PAYEE, origin=url)
        purchase = secrets.token_hex(8)
        await store({"event": "intent", "purchase": purchase, "url": url, "most": policy.max_amount})

        async def authorize(terms: Challenge) -> PaymentHeader:
            header = await _signed(terms, choose(terms, policy))
            await store({"event": "authorized", "purchase": purchase, "name": header.name, "value": header.value})
            return header

        answer = (await http.get(url, auth=PaymentAuth(authorize))).raise_for_status()
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
            "store": buyer.store,
            "get": buyer.get,
            "pay": buyer.pay,
            "pay unstored": buyer.pay_unstored,
            "rush": buyer.rush,
        }
    )
