"""A facilitator without a chain: the same checks against a ledger in memory. For tests, demos, local vendors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from x402.eip3009 import transfer_calldata
from x402.failures import Failure
from x402.keccak import keccak256
from x402.networks import ASSETS, asset, chain_id, v1_name
from x402.selling.facilitator import EXPIRY_MARGIN, Kind, Verdict, check
from x402.wire import Offer, Payment, Receipt

__all__ = ["MemoryLedger", "OfflineFacilitator", "Transfer", "transaction_id"]

_NonceKey: TypeAlias = tuple[str, str, str, str]


@dataclass(frozen=True, slots=True)
class Transfer:
    """Money that moved, as the chain would log it. `value` in atomic units."""

    transaction: str
    network: str
    asset: str
    payer: str
    payee: str
    value: int
    nonce: str


@dataclass(slots=True)
class MemoryLedger:
    """What a chain would know: which nonces are used, who holds what, what moved.

    A payer without an entry in `balances` has unlimited funds. Keys of `balances` are network, token and holder,
    the addresses in lower case. `journal` is in order of settlement.
    """

    balances: dict[tuple[str, str, str], int] = field(default_factory=dict)
    journal: list[Transfer] = field(default_factory=list)
    _settled: dict[_NonceKey, tuple[str, Receipt]] = field(default_factory=dict)

    def receipt_for(self, payment: Payment, offer: Offer) -> Receipt | None:
        """The receipt of exactly this payment, if it was settled before."""
        signed, receipt = self._settled.get(_nonce_key(payment, offer), ("", None))
        return receipt if signed == _fingerprint(payment) else None

    def obstacle(self, payment: Payment, offer: Offer) -> Failure | None:
        """What on the chain stands against a payment whose signature is right."""
        token = asset(offer.network, offer.asset)
        if token is None:
            return Failure.UNSUPPORTED
        if (offer.extra.get("name"), offer.extra.get("version")) != (token.name, token.version):
            return Failure.DOMAIN_MISMATCH
        if _nonce_key(payment, offer) in self._settled:
            return Failure.NONCE_USED
        balance = self.balances.get(_holder(offer, payment.authorization.payer))
        if balance is not None and balance < payment.authorization.value:
            return Failure.INSUFFICIENT_FUNDS
        return None

    def transfer(self, payment: Payment, offer: Offer) -> Receipt:
        """Move the money of a payment that was checked, and use up its nonce."""
        a = payment.authorization
        for who, change in ((a.payer, -a.value), (a.payee, a.value)):
            if (key := _holder(offer, who)) in self.balances:
                self.balances[key] += change
        transaction = transaction_id(payment, offer)
        self.journal.append(
            Transfer(transaction, offer.network, offer.asset, a.payer, a.payee, a.value, a.nonce.lower())
        )
        receipt = Receipt(
            success=True, transaction=transaction, network=offer.network, payer=a.payer, amount=a.value
        )
        self._settled[_nonce_key(payment, offer)] = (_fingerprint(payment), receipt)
        return receipt


class OfflineFacilitator:
    """Verifies and settles against a ledger. Settling has no await inside, so it is atomic in its event loop."""

    def __init__(self, ledger: MemoryLedger, clock: Callable[[], float]) -> None:
        """`clock` gives unix time in seconds."""
        self._ledger: Final = ledger
        self._clock: Final = clock

    def as_of(self, moment: float) -> OfflineFacilitator:
        """The same ledger as it can be used at `moment` (unix seconds): for what was due before anybody looked."""
        return OfflineFacilitator(self._ledger, lambda: moment)

    async def verify(self, payment: Payment, offer: Offer) -> Verdict:
        """Whether the payment would settle now: the checks of the spec, then those a chain would make."""
        return self._judge(payment, offer)

    async def settle(self, payment: Payment, offer: Offer) -> Receipt:
        """Verify again and move the money. A payment that was settled before has the receipt it had, where the
        terms of this call are what was signed: a receipt is none for others.
        """
        if (failure := self._terms_failure(payment, offer)) is not None:
            return Receipt(False, "", offer.network, payer=payment.authorization.payer, error_reason=failure.value)
        before = self._ledger.receipt_for(payment, offer)
        if before is not None:
            return before
        verdict = self._judge(payment, offer)
        if verdict.failure is None:
            return self._ledger.transfer(payment, offer)
        return Receipt(False, "", offer.network, payer=verdict.payer, error_reason=verdict.failure.value)

    async def supported(self) -> tuple[Kind, ...]:
        """Scheme exact on every chain that has a known token, in both versions."""
        chains = dict.fromkeys(token.network for token in ASSETS)
        named = (v1_name(network) for network in chains)
        return (
            *(Kind(2, "exact", network) for network in chains),
            *(Kind(1, "exact", name) for name in named if name is not None),
        )

    def _terms_failure(self, payment: Payment, offer: Offer) -> Failure | None:
        """What time and the ledger do not change: the terms, the token, the signature."""
        in_time = payment.authorization.valid_before - EXPIRY_MARGIN
        failure = check(payment, offer, in_time).failure
        if failure is not None:
            return failure
        obstacle = self._ledger.obstacle(payment, offer)
        return obstacle if obstacle in (Failure.UNSUPPORTED, Failure.DOMAIN_MISMATCH) else None

    def _judge(self, payment: Payment, offer: Offer) -> Verdict:
        verdict = check(payment, offer, self._clock())
        if verdict.failure is not None:
            return verdict
        obstacle = self._ledger.obstacle(payment, offer)
        return verdict if obstacle is None else Verdict(obstacle, verdict.payer, _OBSTACLES[obstacle])


def transaction_id(payment: Payment, offer: Offer) -> str:
    """The id an offline settlement has in place of a transaction hash.

    keccak256 of the settling call's data, the chain id as 32 bytes and the token's 20: whoever holds the payment
    can compute it again, and no other payment has it. No chain knows it.
    """
    chain = (chain_id(offer.network) or 0).to_bytes(32)
    call = transfer_calldata(payment.authorization, bytes.fromhex(payment.signature[2:]))
    return "0x" + keccak256(call + chain + bytes.fromhex(offer.asset[2:])).hex()


_OBSTACLES: Final = {
    Failure.UNSUPPORTED: "the token is not known here",
    Failure.DOMAIN_MISMATCH: "the terms state another EIP-712 name or version than the token has",
    Failure.NONCE_USED: "the authorization was used before",
    Failure.INSUFFICIENT_FUNDS: "the payer holds less than the amount",
}


def _nonce_key(payment: Payment, offer: Offer) -> _NonceKey:
    """Replay protection is per token and payer (EIP-3009 `authorizationState`)."""
    a = payment.authorization
    return offer.network, offer.asset.lower(), a.payer.lower(), a.nonce.lower()


def _holder(offer: Offer, address: str) -> tuple[str, str, str]:
    return offer.network, offer.asset.lower(), address.lower()


def _fingerprint(payment: Payment) -> str:
    a = payment.authorization
    return f"{a.payee}:{a.value}:{a.valid_after}:{a.valid_before}:{payment.signature}".lower()
