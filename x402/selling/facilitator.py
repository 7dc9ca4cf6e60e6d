"""Who checks a payment and carries it out: the port, its verdicts, and the checks that need no chain.

Order and meaning of the checks: x402 spec `schemes/exact/scheme_exact_evm.md`, "Verification", as the official
Python SDK 2.25.0 does them, and two it leaves to the token contract: low s and `validAfter` strictly in the past.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from x402.eip3009 import Domain, TypedAuthorization
from x402.failures import Failure
from x402.networks import chain_id, to_caip2
from x402.secp256k1 import recover
from x402.wire import Offer, Payment, Receipt

__all__ = ["EXPIRY_MARGIN", "Facilitator", "Kind", "Verdict", "check", "check_terms"]

EXPIRY_MARGIN: Final = 6
"""Seconds that must be left before `validBefore`, so that a block can still take the transfer."""

_ERC6492_SUFFIX: Final = "6492" * 16


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of verifying. `failure` is None exactly when the payment is valid; `message` is for people."""

    failure: Failure | None
    payer: str
    message: str = ""

    @property
    def valid(self) -> bool:
        """Whether the payment may be settled."""
        return self.failure is None


@dataclass(frozen=True, slots=True)
class Kind:
    """One thing a facilitator can settle; `network` as its version spells it."""

    version: int
    scheme: str
    network: str


class Facilitator(Protocol):
    """Verifies and settles. `offer` is always the seller's own, never what the payer echoed."""

    async def verify(self, payment: Payment, offer: Offer) -> Verdict:
        """Whether the payment would settle now. Nothing is reserved. Raises `FacilitatorError`."""
        ...

    async def settle(self, payment: Payment, offer: Offer) -> Receipt:
        """Move the money. The same payment may be settled again and has the same outcome.

        A refusal is a receipt without success, its `error_reason` says why. Raises `FacilitatorUnavailable` when
        nothing happened, `SettlementUnknown` when something may have.
        """
        ...

    async def supported(self) -> tuple[Kind, ...]:
        """What can be settled here. Raises `FacilitatorError`."""
        ...


def check(payment: Payment, offer: Offer, now: float) -> Verdict:
    """All checks that need no chain, in order; the first failure is the answer.

    `now` is unix time in seconds. An EIP-1271 wallet's signature needs a chain and counts as bad here.
    """
    verdict, a, extra = check_terms(payment, offer), payment.authorization, offer.extra
    if verdict.failure is not None:
        return verdict
    if a.valid_before < now + EXPIRY_MARGIN:
        return Verdict(Failure.EXPIRED, a.payer, f"validBefore must be at least {EXPIRY_MARGIN} s ahead")
    if a.valid_after >= now:
        return Verdict(Failure.NOT_YET_VALID, a.payer, "validAfter must have passed")
    domain = Domain(str(extra["name"]), str(extra["version"]), chain_id(offer.network) or 0, offer.asset)
    return _check_signature(TypedAuthorization(domain, a), payment.signature)


def check_terms(payment: Payment, offer: Offer) -> Verdict:
    """Whether what the payment says is what the terms ask for: scheme, network, payee and amount."""
    a = payment.authorization

    def refuse(failure: Failure, message: str) -> Verdict:
        return Verdict(failure, a.payer, message)

    if payment.version != offer.version or payment.scheme != "exact" or offer.scheme != "exact":
        return refuse(Failure.UNSUPPORTED, "only scheme exact is settled here, in the version of the terms")
    if to_caip2(payment.network, payment.version) != offer.network:
        return refuse(Failure.NETWORK_MISMATCH, f"the terms are for {offer.network}")
    if not isinstance(offer.extra.get("name"), str) or not isinstance(offer.extra.get("version"), str):
        return refuse(Failure.DOMAIN_MISSING, "the terms lack the token's EIP-712 name or version")
    if a.payee.lower() != offer.pay_to.lower():
        return refuse(Failure.RECIPIENT_MISMATCH, f"it pays {a.payee}, the terms say {offer.pay_to}")
    if a.value != offer.amount:
        return refuse(Failure.AMOUNT_MISMATCH, f"it is for {a.value}, the price is {offer.amount}")
    return Verdict(None, a.payer)


def _check_signature(typed: TypedAuthorization, signature: str) -> Verdict:
    payer = typed.authorization.payer
    if signature.endswith(_ERC6492_SUFFIX):
        return Verdict(Failure.FACTORY_NOT_ALLOWED, payer, "no wallet factory is allowed here (ERC-6492)")
    try:
        signed_by = recover(typed.digest, bytes.fromhex(signature[2:]))
    except ValueError as exc:
        return Verdict(Failure.BAD_SIGNATURE, payer, str(exc))
    if signed_by != payer.lower():
        return Verdict(Failure.BAD_SIGNATURE, payer, "the signature is not the payer's for this token and amount")
    return Verdict(None, payer)
