"""What the chain says of our money, where a node is configured: balances before promising, authorizations after.

The vendor's receipt is its word and our clock is ours; whether money moved, and whether it still can, is read from
the token's own state and the chain's own clock. Without a node nothing here is asked.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Final

from agent import booking
from agent.deadline import Deadline
from agent.errors import WalletShort
from agent.leased import LeasedRun
from agent.models import Run, SignedAuthorization
from agent.money import usd_text
from agent.services import Services
from x402.chain import ChainReader, Fate
from x402.decode import decode_payment
from x402.errors import ChainError, ChainUnavailable, ChainUnclear
from x402.networks import asset
from x402.wire import Offer

__all__ = ["CHAIN_PATIENCE", "chain_of", "check_balance", "look", "silence"]

CHAIN_PATIENCE: Final = timedelta(hours=1)
"""How long an authorization that has run out waits for the chain to tell. Then it is booked without it."""

CHAIN_SECONDS: Final = 8.0
"""Most seconds that one question to a chain may take."""


def chain_of(services: Services, signed: SignedAuthorization | None) -> ChainReader | None:
    """The chain that knows what became of an authorization; None where nothing is signed or no node is set."""
    return None if signed is None else services.chains.get(signed.network)


async def check_balance(services: Services, run: Run, job_id: str, offer: Offer) -> None:
    """The wallet can pay the offer on top of what this run has promised already. No node, no check.

    Raises:
        WalletShort: it cannot; with the exact shortfall.
        ChainError: the chain cannot be asked.
    """
    chain, token = services.chains.get(offer.network), asset(offer.network, offer.asset)
    if chain is None or token is None:
        return
    out = [each.authorization for key, each in run.reservations.items() if key != job_id]
    promised = sum(
        each.amount
        for each in out
        if each and each.network == offer.network and each.asset.lower() == offer.asset.lower()
    )
    try:
        async with asyncio.timeout(CHAIN_SECONDS):
            held = await chain.balance(token, services.wallet.address)
    except TimeoutError as exc:
        raise ChainUnavailable(f"{offer.network} did not answer in {CHAIN_SECONDS:g} s") from exc
    if held < promised + offer.amount:
        also = f" and {usd_text(promised)} are promised already" if promised else ""
        raise WalletShort(
            f"the wallet {services.wallet.address} holds {usd_text(held)} {token.symbol} on {offer.network}, "
            f"{usd_text(offer.amount)} are to be paid{also}: "
            f"{usd_text(promised + offer.amount - held)} are missing"
        )


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
        fate = await _fate(chain, signed, deadline)
    except ChainError as exc:
        desk.draft = booking.unclear(before, job_id, silence(exc), None, services.world.now())
    else:
        desk.draft = booking.shown(before, job_id, fate, services.world.now())
    return desk.draft is not before


def silence(exc: ChainError) -> str:
    """Why the chain did not tell, in words that stay the same from one try to the next."""
    return f"the chain cannot be asked ({type(exc).__name__})"


async def _fate(chain: ChainReader, signed: SignedAuthorization, deadline: Deadline) -> Fate:
    token = asset(signed.network, signed.asset)
    if token is None:
        raise ChainUnclear(f"{signed.asset} on {signed.network} is not a known token any more")
    payment = decode_payment(signed.header_name, signed.header_value)
    try:
        async with asyncio.timeout(deadline.allow(CHAIN_SECONDS)):
            return await chain.fate(token, payment.authorization)
    except TimeoutError as exc:
        raise ChainUnavailable(f"{signed.network} did not answer in time") from exc
