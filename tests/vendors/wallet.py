"""Terms that a vendor asks, and a wallet that really signs them and remembers what it was asked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from tests.vendors.samples import PAYEE, header
from tests.vendors.server import Raw, reply
from x402.negotiation import build_payment
from x402.policy import Policy, choose
from x402.wallets.signers import LocalSigner, sign_payment
from x402.wire import Challenge, PaymentHeader

__all__ = ["NETWORK", "PRICE", "Wallet", "challenge", "terms"]

NETWORK: Final = "eip155:84532"
PRICE: Final = 1_400_000
NOW: Final = 1_790_000_000


def terms(**changes: object) -> dict[str, object]:
    """PaymentRequired, version 2, with one offer."""
    offer = {
        "scheme": "exact",
        "network": NETWORK,
        "amount": str(PRICE),
        "asset": "0x036CbD53842c5426634e7929541eC2318f3dCF7e",
        "payTo": PAYEE,
        "maxTimeoutSeconds": 300,
        "extra": {"name": "USDC", "version": "2"},
    }
    return {"x402Version": 2, "error": "payment required", "accepts": [offer], **changes}


def challenge(message: dict[str, object] | None = None) -> Raw:
    """The 402 that asks for it."""
    return reply(402, {}, {"PAYMENT-REQUIRED": header(terms() if message is None else message)})


@dataclass
class Wallet:
    """Pays what the policy allows. `asked` are the challenges, `signed` the payments, in their order."""

    signer: LocalSigner = field(default_factory=lambda: LocalSigner("11" * 32))
    max_amount: int = PRICE
    asked: list[Challenge] = field(default_factory=list)
    signed: list[PaymentHeader] = field(default_factory=list)

    async def authorize(self, asked: Challenge) -> PaymentHeader:
        self.asked.append(asked)
        offer = choose(asked, Policy(max_amount=self.max_amount, networks=frozenset({NETWORK}), payee=PAYEE))
        payment = build_payment(
            asked,
            offer,
            payer=self.signer.address,
            nonce="0x" + "07" * 32,
            valid_after=NOW - 600,
            valid_before=NOW + offer.max_timeout_seconds,
        )
        self.signed.append(await sign_payment(payment, self.signer))
        return self.signed[-1]
