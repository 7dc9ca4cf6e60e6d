"""The wallet: signs authorizations whose nonce is fixed by the purchase, never by chance.

The nonce is an HMAC of the job's id under a secret derived from the wallet's key, and the validity window starts
at the stored reservation. Signatures are deterministic (RFC 6979). So two processes that sign for one purchase
sign the same bytes, and the chain takes them once (EIP-3009).
"""

from __future__ import annotations

import hashlib
import hmac
from datetime import datetime
from typing import Final

from agent.models import SignedAuthorization
from x402.errors import PolicyRefused
from x402.negotiation import build_payment, window
from x402.networks import asset
from x402.signers import LocalSigner, sign_payment
from x402.wire import Challenge, Offer

__all__ = ["MAX_VALIDITY", "Wallet"]

MAX_VALIDITY: Final = 900
"""Longest validity, in seconds, that an authorization of ours has, whatever the vendor asks for."""

_SHORTEST: Final = 10
"""Seconds that must be left when it is signed: verifiers want 6 when it arrives."""


class Wallet:
    """One private key, and the nonces that belong to it. `repr` shows the address only."""

    def __init__(self, private_key: str) -> None:
        """`private_key`: 64 hex digits."""
        self._signer = LocalSigner(private_key)
        self._nonce_key = hmac.digest(bytes.fromhex(private_key), b"purser: eip-3009 nonces", "sha256")

    def __repr__(self) -> str:
        return f"Wallet({self.address})"

    @property
    def address(self) -> str:
        """The payer's address (EIP-55)."""
        return self._signer.address

    def nonce(self, job_id: str) -> str:
        """The one nonce that a payment for this job can have."""
        return "0x" + hmac.new(self._nonce_key, job_id.encode(), hashlib.sha256).hexdigest()

    async def authorize(
        self, challenge: Challenge, offer: Offer, job_id: str, reserved_at: datetime, now: datetime
    ) -> SignedAuthorization:
        """Sign an offer that the policy chose. The same arguments give the same bytes; `now` is only recorded.

        Raises:
            PolicyRefused: what the offer leaves of its validity is too short, or its terms cannot be met.
            SigningFailed: the wallet gave no signature.
        """
        valid_after, valid_before = window(offer, int(reserved_at.timestamp()), MAX_VALIDITY)
        if valid_before - now.timestamp() < _SHORTEST:
            raise PolicyRefused([f"the offer is valid for {offer.max_timeout_seconds} s only, which are over"])
        unsigned = build_payment(
            challenge,
            offer,
            payer=self.address,
            nonce=self.nonce(job_id),
            valid_after=valid_after,
            valid_before=valid_before,
            payment_id=f"purser_{job_id}",
        )
        header = await sign_payment(unsigned, self._signer)
        return SignedAuthorization(
            header_name=header.name,
            header_value=header.value,
            payer=self.address,
            pay_to=offer.pay_to,
            amount=offer.amount,
            network=offer.network,
            asset=offer.asset,
            currency=token.symbol if (token := asset(offer.network, offer.asset)) else offer.asset,
            nonce=self.nonce(job_id),
            valid_before=valid_before,
            signed_at=now,
        )
