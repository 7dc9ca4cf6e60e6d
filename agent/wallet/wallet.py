"""The wallet: signs authorizations whose nonce is fixed by the purchase, never by chance.

The nonce is an HMAC of the job's id under a secret of ours, and the validity window starts at the stored
reservation. So whatever two processes sign for one purchase, the chain takes one of it (EIP-3009). A key held here
signs deterministically too (RFC 6979): they sign the same bytes. A wallet elsewhere may sign the same data in two
ways; the run keeps the one that was stored first, and only that one is ever sent.
"""

from __future__ import annotations

import hashlib
import hmac
from datetime import datetime
from typing import Final, Self

from agent.book.errors import ClockWrong
from agent.book.models import SignedAuthorization
from x402.errors import PolicyRefused
from x402.negotiation import build_payment, window
from x402.networks import asset
from x402.secp256k1 import SigningKey
from x402.wallets.signers import LocalSigner, Signer, sign_payment
from x402.wire import Challenge, Offer

__all__ = ["MAX_VALIDITY", "Wallet"]

MAX_VALIDITY: Final = 900
"""Longest validity, in seconds, that an authorization of ours has, whatever the vendor asks for."""

_NONCES: Final = b"purser: eip-3009 nonces"

_SHORTEST: Final = 10
"""Seconds that must be left when it is signed: verifiers want 6 when it arrives."""


class Wallet:
    """Who signs, and the nonces of what it signs. `repr` shows the address only."""

    def __init__(self, signer: Signer, nonce_key: bytes) -> None:
        self._signer = signer
        self._nonce_key = nonce_key

    @classmethod
    def local(cls, key: SigningKey | str) -> Self:
        """A private key held here, or its 64 hex digits. It fixes the nonces too."""
        signer = LocalSigner(key)
        return cls(signer, signer.derive(_NONCES))

    @classmethod
    def remote(cls, signer: Signer, nonce_secret: str) -> Self:
        """A key held elsewhere. `nonce_secret` must be the same in all processes, while any purchase is open."""
        return cls(signer, hmac.digest(nonce_secret.encode(), _NONCES, "sha256"))

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
        """Sign an offer that the policy chose. The same arguments give the same nonce; `now` is only recorded.

        Raises:
            ClockWrong: it would live for longer than `MAX_VALIDITY` by the clock that signs it.
            PolicyRefused: what the offer leaves of its validity is too short, or its terms cannot be met.
            SigningFailed: the wallet gave no signature.
        """
        valid_after, valid_before = window(offer, int(reserved_at.timestamp()), MAX_VALIDITY)
        if valid_before - now.timestamp() > MAX_VALIDITY:
            raise ClockWrong(
                f"the purchase was begun {reserved_at:%Y-%m-%d %H:%M:%S} UTC, by a clock that was wrong"
            )
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
