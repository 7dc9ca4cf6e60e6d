"""What the chain says of our money, where a node is configured: balances before promising, authorizations after.

The vendor's receipt is its word and our clock is ours; whether money moved, and whether it still can, is read from
the token's own state and the chain's own clock. Without a node nothing here is asked.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Final

from agent.book import booking, ledger
from agent.book.errors import WalletShort, WalletUnfit
from agent.book.models import LAST_SECOND, Run, SignedAuthorization
from agent.book.money import usd_text
from agent.engine.leased import LeasedRun
from agent.engine.services import Services
from agent.process.deadline import Deadline
from x402.chain.ports import Block, ChainReader, Fate, Unused
from x402.chain.purse import look_up
from x402.decode import decode_payment
from x402.errors import ChainError, ChainUnavailable, ChainUnclear
from x402.networks import Asset, asset
from x402.policy import Policy, choose, payable_in
from x402.purse import Funds, HasCode, Purse, Unaffordable
from x402.wire import Challenge, Offer

__all__ = ["CHAIN_PATIENCE", "chain_of", "head_of", "look", "pick", "purse_for", "silence"]

CHAIN_PATIENCE: Final = timedelta(hours=1)
"""How long an authorization that has run out waits for the chain to tell. Then it is booked without it."""

_HEAD_SECONDS: Final = 3.0
CHAIN_SECONDS: Final = 8.0
"""Most seconds that one question to a chain may take."""


def chain_of(services: Services, signed: SignedAuthorization | None) -> ChainReader | None:
    """The chain that knows what became of an authorization; None where nothing is signed or no node is set."""
    return None if signed is None else services.chains.get(signed.network)


async def purse_for(services: Services, run: Run, challenge: Challenge, policy: Policy) -> Purse:
    """What there is to pay the allowed offers with, less what this run has promised. No node, nothing known."""
    promised: Counter[Asset] = Counter()
    for each in run.reservations.values():
        signed = each.authorization
        if signed and (token := asset(signed.network, signed.asset)):
            promised[token] += signed.amount
    tokens = payable_in(challenge, policy)
    return await look_up(services.chains, services.wallet.address, tokens, promised, seconds=CHAIN_SECONDS)


async def head_of(services: Services, network: str) -> Block | None:
    """The newest block of a network; None where no node is set, or none answers now."""
    chain = services.chains.get(network)
    if chain is None:
        return None
    with suppress(ChainError, TimeoutError):
        async with asyncio.timeout(_HEAD_SECONDS):
            return await chain.head()
    return None


def pick(wallet: str, challenge: Challenge, policy: Policy, purse: Purse) -> Offer:
    """The offer to sign, chosen by the policy.

    Raises:
        WalletShort: the wallet can pay none that is allowed; with the exact shortfall for the cheapest.
        WalletUnfit: its address has code where the cheapest is to be paid, and it can pay no other.
        PolicyRefused: none is allowed.
        ChainError: one might be payable, and its chain cannot be asked.
    """
    try:
        return choose(challenge, policy, purse)
    except Unaffordable as exc:
        others = _others(exc)
        if isinstance(exc.entry, HasCode):
            raise WalletUnfit(f"{wallet} on {exc.offer.network}: {exc.entry}{others}") from None
        raise WalletShort(f"the wallet {wallet} {_shortfall(exc.offer, exc.entry)}{others}") from None


def _shortfall(offer: Offer, funds: Funds) -> str:
    token = asset(offer.network, offer.asset)
    symbol = token.symbol if token else offer.asset
    also = f" and {usd_text(funds.promised)} are promised already" if funds.promised else ""
    return (
        f"holds {usd_text(funds.held)} {symbol} on {offer.network}, "
        f"{usd_text(offer.amount)} are to be paid{also}: {usd_text(funds.missing(offer.amount))} are missing"
    )


def _others(exc: Unaffordable) -> str:
    others = len(exc.reasons) - 1
    return f"; of {others} more offers none is allowed and can be paid" if others else ""


async def look(desk: LeasedRun, services: Services, job_id: str, deadline: Deadline) -> bool:
    """Book what the chain shows of an authorization; whether there is anything to commit.

    A chain that does not answer leaves it as it is, and the trail says so once.
    """
    before = desk.draft
    signed = before.reservations[job_id].authorization
    chain = chain_of(services, signed)
    if signed is None or chain is None:
        raise AssertionError("unreachable: the caller has seen that there is a chain to ask")
    try:
        fate = await _fate(chain, signed, before.reservations[job_id].transaction, deadline)
    except ChainError as exc:
        desk.draft = booking.unclear(before, job_id, silence(exc), None, services.world.now())
    else:
        desk.draft = booking.shown(before, job_id, fate, services.world.now())
        if desk.draft is before and isinstance(fate, Unused):  # only shown: it can wait for the tick's last write
            desk.draft = ledger.seen_unused(before, job_id, _moment(fate.seen))
            return False
    return desk.draft is not before


def _moment(block: Block) -> datetime:
    """A block's time; of one that no clock can show, the last that can be stored."""
    return datetime.fromtimestamp(min(block.time, LAST_SECOND), UTC)


def silence(exc: ChainError) -> str:
    """Why the chain did not tell, in words that stay the same from one try to the next."""
    return f"the chain cannot be asked ({type(exc).__name__})"


async def _fate(chain: ChainReader, signed: SignedAuthorization, named: str | None, deadline: Deadline) -> Fate:
    token = asset(signed.network, signed.asset)
    if token is None:
        raise ChainUnclear(f"{signed.asset} on {signed.network} is not a known token any more")
    payment = decode_payment(signed.header_name, signed.header_value)
    try:
        async with asyncio.timeout(deadline.allow(CHAIN_SECONDS)):
            return await chain.fate(token, payment.authorization, named)
    except TimeoutError as exc:
        raise ChainUnavailable(f"{signed.network} did not answer in time") from exc
