"""Remembers what a world's wallet has signed: what never left a process may not contradict itself either."""

from __future__ import annotations

import hashlib
from datetime import datetime

from agent.book.models import SignedAuthorization
from agent.wallet.wallet import Wallet
from tests.sim.oracle import Wrong
from x402.wire import Challenge, Offer

__all__ = ["Notary"]


class Notary:
    """One world's, whatever process signs."""

    def __init__(self) -> None:
        """Nothing is signed yet."""
        self._nonces: dict[str, str] = {}
        self._bytes: dict[tuple[str, str, str], str] = {}
        self._wrong: Wrong | None = None

    def beside(self, wallet: Wallet) -> Wallet:
        """A wallet that signs as this one does, with the notary looking on."""
        return _Attended(wallet, self)

    def signed(self, job_id: str, challenge: Challenge, offer: Offer, signed: SignedAuthorization) -> None:
        """Compare with what was signed before for this job: the same nonce, whatever the vendor asks for now, and
        for the same terms the same bytes."""
        if self._nonces.setdefault(job_id, signed.nonce) != signed.nonce:
            self._wrong = Wrong("one nonce a purchase is ever signed", job_id)
        sha256 = hashlib.sha256(signed.header_value.encode()).hexdigest()
        if self._bytes.setdefault((job_id, repr(challenge), repr(offer)), sha256) != sha256:
            self._wrong = Wrong("the same terms are signed with the same bytes", job_id)

    def check(self) -> None:
        """All that was signed agrees. Raised here: within a tick it would be taken for a fault of its own.

        Raises:
            Wrong: naming the rule.
        """
        if self._wrong is not None:
            raise self._wrong


class _Attended(Wallet):
    def __init__(self, wallet: Wallet, notary: Notary) -> None:
        super().__init__(wallet._signer, wallet._nonce_key)
        self._notary = notary

    async def authorize(
        self, challenge: Challenge, offer: Offer, job_id: str, reserved_at: datetime, now: datetime
    ) -> SignedAuthorization:
        signed = await super().authorize(challenge, offer, job_id, reserved_at, now)
        self._notary.signed(job_id, challenge, offer, signed)
        return signed
