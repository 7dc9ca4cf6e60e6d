"""Which offer of a challenge may be paid.

One function picks and checks, and what it returns is all that is ever signed; a check of one entry and a signature
of another is a known way to lose money (cloudflare/agents#2272). What the payer can afford goes into it as data,
for the same reason: the entry that its balance was held against is the one that comes out (docs/decisions/0018).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from net.hosts import place
from x402.codec import clean, is_address
from x402.errors import PolicyRefused
from x402.networks import Asset, asset, chain_id, is_token
from x402.purse import UNASKED, Purse, none_payable, objection
from x402.wire import Challenge, Offer

__all__ = ["Policy", "Terms", "choose", "outside", "payable_in", "refusals", "why_never_paid"]

_DEFAULT_VALIDITY: Final = 900
_SHORTEST_VALIDITY: Final = 10  # verifiers want 6 s left when the payment arrives


@dataclass(frozen=True, slots=True)
class Policy:
    """What the payer agrees to for one request.

    Attributes:
        max_amount: the most that may be paid, in atomic units (millionths of a dollar).
        networks: CAIP-2 ids that may be paid on.
        assets: addresses of the only tokens that may be paid with; None allows every token that is known.
        payer: who pays, which is nobody's payee; None skips the check.
        payees: the only addresses that may be paid at all; None allows any.
        payee: the only address that may be paid; None leaves the choice to the seller, and the pinning to the
            caller.
        max_validity_seconds: longest life of an authorization. Longer ones are not refused but shortened.
        origin: the URL that is called, or the one it lies under. Terms for another host, or for a path outside
            of it, are refused; None skips the check.
    """

    max_amount: int
    networks: frozenset[str]
    assets: frozenset[str] | None = None
    payees: frozenset[str] | None = None
    payee: str | None = None
    payer: str | None = None
    max_validity_seconds: int = _DEFAULT_VALIDITY
    origin: str | None = None

    def __post_init__(self) -> None:
        if self.max_amount <= 0:
            raise ValueError("max_amount must be above zero")
        if not self.networks or any(chain_id(network) is None for network in self.networks):
            raise ValueError("networks must be eip155 ids, and at least one")
        if self.payee is not None and not is_address(self.payee):
            raise ValueError("payee is not an address")
        if not all(map(is_address, (*(self.assets or ()), *(self.payees or ())))):
            raise ValueError("assets and payees must be addresses")
        if self.max_validity_seconds < _SHORTEST_VALIDITY:
            raise ValueError(f"max_validity_seconds must be at least {_SHORTEST_VALIDITY}")
        if self.origin is not None and place(self.origin) is None:
            raise ValueError("origin is not an absolute URL")


class Terms(Protocol):
    """Who is paid how much (atomic units), with which token: of an offer, or of what was signed for one."""

    @property
    def amount(self) -> int: ...

    @property
    def asset(self) -> str: ...

    @property
    def network(self) -> str: ...

    @property
    def pay_to(self) -> str: ...


def choose(challenge: Challenge, policy: Policy, purse: Purse = UNASKED) -> Offer:
    """The cheapest offer that the policy allows and the purse can pay; of equals, the seller's first.

    Raises:
        PolicyRefused: none is allowed. It carries one reason per offer and per entry that could not be read.
        Unaffordable: some are allowed, and the payer can pay none of them.
        ChainError: the same, but for those of which nobody knows: their chain could not be asked.
    """
    allowed = _allowed(challenge, policy)
    if not allowed:
        raise PolicyRefused((*_numbered(refusals(challenge, policy)), *challenge.skipped))
    for offer in allowed:
        if objection(offer, purse) is None:
            return offer
    raise none_payable(allowed, _numbered(refusals(challenge, policy, purse)), purse)


def refusals(challenge: Challenge, policy: Policy, purse: Purse = UNASKED) -> tuple[str | None, ...]:
    """For each offer, in the seller's order, why it may not or cannot be paid; None where it may and can."""
    return tuple(_refusal(challenge, each, policy) or objection(each, purse) for each in challenge.offers)


def payable_in(challenge: Challenge, policy: Policy) -> tuple[Asset, ...]:
    """The tokens of the offers that the policy allows, that of the cheapest first: what a purse should tell of."""
    tokens = (asset(each.network, each.asset) for each in _allowed(challenge, policy))
    return tuple(dict.fromkeys(token for token in tokens if token is not None))


def outside(terms: Terms, policy: Policy) -> str | None:
    """Why the policy allows no payment on these terms, or None.

    It is asked of an offer before it is signed, and of what was signed before it is sent again.
    """
    if terms.network not in policy.networks:
        return f"network {terms.network} is not allowed"
    if not _among(terms.asset, policy.assets):
        return f"asset {terms.asset} is not allowed"
    if why := why_never_paid(terms.pay_to, terms.asset, policy.payer):
        return f"payee {terms.pay_to} {why}"
    if not _among(terms.pay_to, policy.payees):
        return f"payee {terms.pay_to} is not allowed"
    if policy.payee is not None and terms.pay_to.lower() != policy.payee.lower():
        return f"payee {terms.pay_to} is not the expected {policy.payee}"
    if terms.amount <= 0:
        return "the amount is zero"
    if terms.amount > policy.max_amount:
        return f"amount {terms.amount} is above the limit of {policy.max_amount}"
    return None


def _allowed(challenge: Challenge, policy: Policy) -> list[Offer]:
    """The offers that the policy allows, the cheapest first; of equals, the seller's first."""
    allowed = (each for each in challenge.offers if _refusal(challenge, each, policy) is None)
    return sorted(allowed, key=lambda offer: offer.amount)


def _numbered(reasons: tuple[str | None, ...]) -> list[str]:
    return [f"offer {number}: {reason}" for number, reason in enumerate(reasons, start=1) if reason]


def _refusal(challenge: Challenge, offer: Offer, policy: Policy) -> str | None:
    """Why an offer may not be paid, or None."""
    return (
        _unpayable(offer)
        or _wrong_token(offer)
        or _wrong_resource(challenge, offer, policy)
        or outside(offer, policy)
    )


def _unpayable(offer: Offer) -> str | None:
    if offer.scheme != "exact":
        return f"scheme {clean(offer.scheme, 40)!r} is not paid here, only exact"
    if offer.extra.get("assetTransferMethod", "eip3009") != "eip3009":
        return "assetTransferMethod is not eip3009"
    if offer.extra.get("paymentFlow", "authorization") != "authorization":
        return "paymentFlow is not authorization"
    return None


def _wrong_token(offer: Offer) -> str | None:
    """A domain that contradicts the token's own gives a signature that can never settle (x402#271, #961)."""
    token = asset(offer.network, offer.asset)
    if token is None:
        return f"asset {offer.asset} on {offer.network} is not a token known here"
    for key, known in (("name", token.name), ("version", token.version)):
        if offer.extra.get(key, known) != known:
            return f"the token's EIP-712 {key} is {known!r}, the terms say otherwise; it could not settle"
    return None


def _wrong_resource(challenge: Challenge, offer: Offer, policy: Policy) -> str | None:
    """Terms are for the place that was called (x402#3461, #2823).

    The scheme and the query are not compared: servers behind proxies write http for https (x402#636, #924).
    """
    stated = (challenge.resource or {}).get("url") if offer.version > 1 else offer.raw.get("resource")
    if policy.origin is None or stated is None or stated == "":
        return None
    called, meant = place(policy.origin), place(stated) if isinstance(stated, str) else None
    if called and meant and meant[:2] == called[:2] and f"{meant[2]}/".startswith(f"{called[2]}/"):
        return None
    return "the terms are for another resource than the one that was called"


def why_never_paid(address: str, token: str | None = None, payer: str | None = None) -> str | None:
    """Why money must never go to this address, or None.

    USDC's transfers to the zero address and to the token itself revert, always (FiatTokenV1, Blacklistable).
    """
    from x402.keccak import why_no_address  # what only shows terms needs no hashing

    if int(address, 16) == 0:
        return "is the zero address, which can never be paid"
    if is_token(address) or (token is not None and address.lower() == token.lower()):
        return "is a token's own address, which can never be paid"
    if payer is not None and address.lower() == payer.lower():
        return "is the wallet that pays: it would pay itself"
    return why_no_address(address)


def _among(address: str, allowed: frozenset[str] | None) -> bool:
    return allowed is None or address.lower() in map(str.lower, allowed)
