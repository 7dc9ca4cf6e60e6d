"""A facilitator on a chain: verifies against the chain's own state and clock, settles through a relayer.

The chain is its memory. A payment that was settled before, by this process or another, or whose transfer somebody
else sent in (anybody who holds an authorization may), has the receipt of the transaction that did it. A
reorganisation that takes the transaction away takes the receipt along, and the payment is settled again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias
from weakref import WeakValueDictionary

from x402.chain.logs import received
from x402.chain.ports import Cancelled, Relayer, Signed, Unused, Used
from x402.chain.reader import Mined, RpcChain
from x402.eip3009 import Domain, domain_separator, transfer_calldata
from x402.errors import (
    ChainError,
    ChainUnavailable,
    ChainUnclear,
    FacilitatorError,
    FacilitatorUnavailable,
    SettlementUnknown,
)
from x402.failures import Failure
from x402.networks import Asset as Token
from x402.networks import asset, chain_id, v1_name
from x402.selling.facilitator import EXPIRY_MARGIN, Kind, Verdict, check
from x402.wire import Offer, Payment, Receipt

__all__ = ["ChainFacilitator"]

_Key: TypeAlias = tuple[str, bytes]
"""A token and the call that settles a payment with it."""

_MOST_SENT: Final = 1024
"""Transactions without an outcome that are remembered; of older ones the chain still knows."""

_MOST_SIGNINGS: Final = 3
"""Times that a transaction is signed anew because the relayer's nonce was taken."""


class ChainFacilitator:
    """Verifies and settles `exact` payments on one network. It belongs to one event loop."""

    def __init__(
        self,
        network: str,
        chain: RpcChain,
        relayer: Relayer,
        *,
        confirmations: int = 1,
        settle_seconds: float = 60.0,
        poll_seconds: float = 0.5,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`chain` reads the newest block. A transfer counts as settled when `confirmations` blocks deep; if that
        takes longer than `settle_seconds`, its outcome is unknown for now."""
        self._network: Final = network
        self._chain: Final = chain
        self._relayer: Final = relayer
        self._confirmations: Final = confirmations
        self._settle_seconds: Final = settle_seconds
        self._poll_seconds: Final = poll_seconds
        self._sleep: Final = sleep
        self._monotonic: Final = monotonic
        self._locks: Final[WeakValueDictionary[_Key, asyncio.Lock]] = WeakValueDictionary()
        self._sending: Final = asyncio.Lock()
        self._sent: Final[dict[_Key, Signed]] = {}
        self._checked: Final[set[Token]] = set()

    async def supported(self) -> tuple[Kind, ...]:
        """Scheme exact on this network."""
        name = v1_name(self._network)
        second = Kind(2, "exact", self._network)
        return (second,) if name is None else (second, Kind(1, "exact", name))

    async def verify(self, payment: Payment, offer: Offer) -> Verdict:
        """Whether the payment would settle in the next block, by the chain's clock.

        Raises:
            FacilitatorUnavailable: the chain could not be asked.
            FacilitatorError: what it answered cannot be used.
        """
        try:
            token, verdict = await self._judge_terms(payment, offer)
            if token is None or not verdict.valid:
                return verdict
            if not isinstance(await self._chain.fate(token, payment.authorization), Unused):
                return Verdict(Failure.NONCE_USED, verdict.payer, "the authorization was used or cancelled before")
            return await self._judge_state(token, payment, offer)
        except ChainUnavailable as exc:
            raise FacilitatorUnavailable(f"{exc}; nothing happened") from exc
        except ChainError as exc:
            raise FacilitatorError(str(exc)) from exc

    async def settle(self, payment: Payment, offer: Offer) -> Receipt:
        """Move the money. The same payment again has the outcome that the chain shows for it.

        Raises:
            FacilitatorUnavailable: nothing was sent.
            SettlementUnknown: a transaction was sent and is not confirmed yet. Settle the same payment again.
        """
        call = transfer_calldata(payment.authorization, _signature(payment))
        key = (offer.asset.lower(), call)
        async with self._locks.setdefault(key, asyncio.Lock()):
            try:
                return await self._settle(key, payment, offer)
            except ChainError as exc:
                if key in self._sent:
                    sent = self._sent[key].transaction
                    raise SettlementUnknown(f"{exc}; transaction {sent} may have moved the money", sent) from exc
                raise FacilitatorUnavailable(f"{exc}; nothing was sent") from exc

    async def _settle(self, key: _Key, payment: Payment, offer: Offer) -> Receipt:
        token, verdict = await self._judge_terms(payment, offer)
        if token is None or verdict.failure is not None:
            return _refused(offer, payment, verdict.failure or Failure.UNSUPPORTED)
        fate = await self._chain.fate(token, payment.authorization)
        if isinstance(fate, Cancelled):
            return _refused(offer, payment, Failure.NONCE_USED)
        if isinstance(fate, Used):
            self._remember(key, Signed(fate.transaction, b""))  # moved already, and perhaps not confirmed yet
            return await self._confirmed(key, token, payment, offer, fate.transaction)
        sent = self._sent.get(key)
        verdict = await self._judge_state(token, payment, offer)
        if verdict.failure is None:
            return await self._confirmed(key, token, payment, offer, await self._send(key))
        if sent is None or fate.for_ever(payment.authorization.valid_before):
            self._sent.pop(key, None)
            return _refused(offer, payment, verdict.failure)
        return await self._confirmed(key, token, payment, offer, sent.transaction)  # it may be mined all the same

    async def _judge_terms(self, payment: Payment, offer: Offer) -> tuple[Token | None, Verdict]:
        """All that time and the chain's state do not change: the terms, the token, the signature."""
        token, payer = asset(offer.network, offer.asset), payment.authorization.payer
        if offer.network != self._network or token is None:
            return None, Verdict(
                Failure.UNSUPPORTED, payer, f"only known tokens on {self._network} are settled here"
            )
        if (offer.extra.get("name"), offer.extra.get("version")) != (token.name, token.version):
            return None, Verdict(Failure.DOMAIN_MISMATCH, payer, "the terms state another EIP-712 name or version")
        if token not in self._checked:
            domain = Domain(token.name, token.version, chain_id(token.network) or 0, token.address)
            if await self._chain.domain_separator(token) != domain_separator(domain):
                return None, Verdict(Failure.UNSUPPORTED, payer, "the contract has another EIP-712 domain")
            self._checked.add(token)
        return token, check(payment, offer, payment.authorization.valid_before - EXPIRY_MARGIN)

    async def _judge_state(self, token: Token, payment: Payment, offer: Offer) -> Verdict:
        """What an unused authorization comes up against in the next block."""
        a, head = payment.authorization, await self._chain.head()
        verdict = check(payment, offer, head.time)
        if not verdict.valid:
            return verdict
        if await self._chain.balance(token, a.payer) < a.value:
            return Verdict(Failure.INSUFFICIENT_FUNDS, a.payer, "the payer holds less than the amount")
        trial = await self._chain.trial(token, payment, head)
        if trial.reverted is not None:
            return Verdict(Failure.CHAIN_FAILURE, a.payer, f"the token would refuse it: {trial.reverted}")
        if trial.received != a.value:
            told = f"of {a.value} only {trial.received} would reach the payee: the token keeps the rest"
            return Verdict(Failure.UNSUPPORTED, a.payer, told)
        return verdict

    async def _send(self, key: _Key) -> str:
        """Send the settling call, or send it again; its transaction."""
        contract, call = key
        signed, new = self._sent.get(key), key not in self._sent
        async with self._sending:  # one at a time, or two would be signed with one nonce of the relayer
            for _ in range(_MOST_SIGNINGS):
                if signed is None or not signed.raw:
                    signed = await self._relayer.sign(contract, call)
                    self._remember(key, signed)
                try:
                    sent = await self._relayer.send(signed)
                except ChainUnclear:
                    if new:
                        del self._sent[key]
                    raise
                if sent or await self._chain.mined(signed.transaction) is not None:
                    return signed.transaction
                signed = None
        raise ChainUnclear("the relayer's nonce was taken by others each time")

    async def _confirmed(
        self, key: _Key, token: Token, payment: Payment, offer: Offer, transaction: str
    ) -> Receipt:
        """Wait until the transaction is deep enough, and read from its logs what it did."""
        a, until = payment.authorization, self._monotonic() + self._settle_seconds
        while True:
            mined = await self._chain.mined(transaction)
            if mined is not None and not mined.succeeded:
                fate = await self._chain.fate(token, a)
                if not isinstance(fate, Used) or fate.transaction == transaction:
                    self._sent.pop(key, None)
                    return _refused(offer, payment, Failure.CHAIN_FAILURE, transaction)
                transaction = fate.transaction  # somebody else was faster, with the same authorization or another
                continue
            if mined is not None and await self._deep(mined):
                self._sent.pop(key, None)
                reached = received(mined.logs, token.address, a)
                if reached == a.value:
                    return Receipt(True, transaction, offer.network, payer=a.payer, amount=a.value)
                reason = Failure.AMOUNT_MISMATCH if reached else Failure.NONCE_USED
                return _refused(offer, payment, reason, transaction)
            if self._monotonic() >= until:
                raise ChainUnavailable(f"not {self._confirmations} blocks deep after {self._settle_seconds:g} s")
            await self._sleep(self._poll_seconds)

    async def _deep(self, mined: Mined) -> bool:
        if self._confirmations == 1:
            return True
        return (await self._chain.head()).number - mined.block + 1 >= self._confirmations

    def _remember(self, key: _Key, signed: Signed) -> None:
        while len(self._sent) >= _MOST_SENT:
            del self._sent[next(iter(self._sent))]
        self._sent[key] = signed


def _refused(offer: Offer, payment: Payment, failure: Failure, transaction: str = "") -> Receipt:
    payer = payment.authorization.payer
    return Receipt(False, transaction, offer.network, payer=payer, error_reason=failure.value)


def _signature(payment: Payment) -> bytes:
    """65 bytes; of any other length none, which no check takes for a signature."""
    raw = bytes.fromhex(payment.signature[2:])
    return raw if len(raw) == 65 else bytes(65)
