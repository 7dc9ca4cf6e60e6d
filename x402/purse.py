"""What is known of a payer's money, as data: the policy chooses by it and asks nobody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, TypeAlias

from x402.errors import ChainError, X402Error
from x402.networks import Asset, asset
from x402.wire import Offer

__all__ = ["UNASKED", "Funds", "HasCode", "Purse", "Unaffordable", "none_payable", "objection"]


@dataclass(frozen=True, slots=True)
class Funds:
    """What the payer holds of a token, and how much of it is promised elsewhere, in atomic units."""

    held: int
    promised: int = 0

    def missing(self, amount: int) -> int:
        """How much too little there is to pay `amount` as well; 0 where there is enough."""
        return max(0, self.promised + amount - self.held)


@dataclass(frozen=True, slots=True)
class HasCode:
    """The payer's address is a contract on the token's chain, or delegated to the one at `delegate` (EIP-7702)."""

    delegate: str | None = None

    def __str__(self) -> str:
        is_one = f"is delegated to {self.delegate} (EIP-7702)" if self.delegate else "is a contract"
        mend = "remove the delegation or pay from a plain key" if self.delegate else "pay from a plain key"
        return (
            f"the payer's address {is_one}: a token asks such an address itself whether it signed (EIP-1271), and "
            f"does not look at its key's signature; {mend}"
        )


Purse: TypeAlias = Mapping[Asset, Funds | HasCode | ChainError]
"""By token: what there is to pay with, that the payer cannot pay there, or why that is not known.

A token that is not in it was not asked about, and is not checked.
"""

UNASKED: Final[Purse] = MappingProxyType({})


class Unaffordable(X402Error):
    """Offers are allowed, and the payer can pay none of them.

    `offer` is the cheapest and `entry` what the purse says of its token; `reasons` has a line for each offer.
    """

    def __init__(self, offer: Offer, entry: Funds | HasCode, reasons: Sequence[str]) -> None:
        self.offer = offer
        self.entry = entry
        self.reasons: tuple[str, ...] = tuple(reasons)
        super().__init__("the payer can pay no offer that is allowed: " + "; ".join(self.reasons))


def objection(offer: Offer, purse: Purse) -> str | None:
    """Why an offer cannot be paid out of the purse, or None. Its token must be a known one."""
    entry = _entry(offer, purse)
    if entry is None:
        return None
    if isinstance(entry, HasCode):
        return str(entry)
    if isinstance(entry, ChainError):
        return f"what the payer holds on {offer.network} is not known: {entry}"
    missing = entry.missing(offer.amount)
    if missing == 0:
        return None
    also = f" and has promised {entry.promised}" if entry.promised else ""
    return f"the payer holds {entry.held} of {offer.amount} atomic units{also}: {missing} missing"


def none_payable(offers: Sequence[Offer], reasons: Sequence[str], purse: Purse) -> X402Error:
    """What to raise where each offer meets with an objection. `offers` begin with the cheapest.

    A chain that could not be asked comes first: its offer may turn out to be payable, so nothing is settled yet.
    """
    entries = [_entry(offer, purse) for offer in offers]
    for entry in entries:
        if isinstance(entry, ChainError):
            return entry
    cheapest = entries[0]
    if not isinstance(cheapest, Funds | HasCode):
        raise AssertionError("unreachable: an offer of which nothing is known is not objected to")
    return Unaffordable(offers[0], cheapest, reasons)


def _entry(offer: Offer, purse: Purse) -> Funds | HasCode | ChainError | None:
    token = asset(offer.network, offer.asset)
    return None if token is None else purse.get(token)
