"""Purser's client as these tests use it: policy, signature, storage before sending."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import httpx

from tests.x402.samples import KEY, NETWORK
from x402.client import BoundedTransport, PaymentAuth
from x402.negotiation import build_payment, window
from x402.policy import Policy, choose
from x402.purse import Purse as Holdings
from x402.wallets.signers import LocalSigner, sign_payment
from x402.wire import Challenge, PaymentHeader


@dataclass(slots=True)
class Purse:
    """A wallet that pays at most `most` per request; `stored` is every payment it ever signed, in order.

    `holds` is what chains said of it; what they were not asked about is not checked.
    """

    most: int = 10_000
    payment_id: str | None = None
    payee: str | None = None
    networks: frozenset[str] = frozenset({NETWORK})
    holds: Holdings = field(default_factory=dict)
    stored: list[PaymentHeader] = field(default_factory=list)

    async def buy(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: str | None = None,
        again: PaymentHeader | None = None,
        body_terms: bool = False,
    ) -> httpx.Response:
        """POST and pay if asked to; `again` sends a stored payment once more instead of signing one.

        Raises what `PaymentAuth` raises.
        """
        signer = LocalSigner(KEY)
        policy = Policy(self.most, self.networks, payee=self.payee, origin=url)

        async def authorize(challenge: Challenge) -> PaymentHeader:
            offer = choose(challenge, policy, self.holds)
            after, before = window(offer, int(time.time()), policy.max_validity_seconds)
            unsigned = build_payment(
                challenge,
                offer,
                payer=signer.address,
                nonce="0x" + secrets.token_hex(32),
                valid_after=after,
                valid_before=before,
                payment_id=self.payment_id,
            )
            self.stored.append(await sign_payment(unsigned, signer))
            return self.stored[-1]

        async with httpx.AsyncClient(
            transport=BoundedTransport(httpx.AsyncHTTPTransport()), timeout=60, follow_redirects=True
        ) as http:
            auth = PaymentAuth(authorize, again, body_terms=body_terms)
            return await http.post(url, content=body, headers=dict(headers or {}), auth=auth)
