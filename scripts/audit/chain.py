"""Payments held against the chain, where the settings name a node: what is booked is what the token's logs say."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from agent.process.settings import Settings
from agent.wallet.wallet import MAX_VALIDITY
from scripts.client.shapes import Payment
from x402.chain.ports import ChainReader, Fate, Used
from x402.errors import ChainError
from x402.negotiation import BACKDATE
from x402.networks import asset
from x402.wire import Authorization

__all__ = ["ChainWitness", "chain_faults", "contradiction"]

_MOST_SECONDS: Final = 30.0
"""For one payment, all questions together."""


class ChainWitness:
    """Asks the nodes of X402_RPC_URLS, with as many confirmations as the settings want."""

    def __init__(self, settings: Settings) -> None:
        """Nothing is asked yet."""
        self._settings: Final = settings

    def __call__(self, payments: Sequence[Payment]) -> tuple[str, ...]:
        """What the chain says against the payments of one run, one sentence each."""
        if not any(payment.network in self._settings.nodes for payment in payments):
            return ()
        return asyncio.run(self._ask(payments))

    async def _ask(self, payments: Sequence[Payment]) -> tuple[str, ...]:
        from agent.wallet.chains import open_chains, register_assets
        from scripts.http_client import http_client

        register_assets(self._settings)
        async with http_client() as http:
            return await chain_faults(open_chains(self._settings, http), payments)


async def chain_faults(chains: dict[str, ChainReader], payments: Sequence[Payment]) -> tuple[str, ...]:
    """What the chains say against these payments. One that cannot be asked is a finding: nothing was checked."""
    found = []
    for payment in payments:
        chain, token = chains.get(payment.network), asset(payment.network, payment.asset)
        if chain is None or payment.status == "pending":
            continue
        if token is None:
            found.append(f"payment {payment.id}: {payment.asset} is no token known on {payment.network}")
            continue
        try:
            async with asyncio.timeout(_MOST_SECONDS):
                fate = await chain.fate(token, _authorization(payment), payment.transaction)
                against = contradiction(payment, fate)
        except (ChainError, TimeoutError) as exc:
            against = f"the chain cannot be asked ({type(exc).__name__})"
        except ValueError as exc:
            against = f"it is of no authorization: {exc}"
        if against is not None:
            found.append(f"payment {payment.id}: {against}")
    return tuple(found)


def contradiction(payment: Payment, fate: Fate) -> str | None:
    """How the fate of its authorization contradicts what is booked, or None.

    `unresolved` is booked as spent, whatever the chain shows: it says that nobody could know by then.
    """
    if payment.status == "completed":
        if not isinstance(fate, Used):
            return "booked as completed, and the chain shows no transfer"
        if payment.transaction is None or fate.transaction.lower() != payment.transaction.lower():
            return f"x402TxId is {payment.transaction}, the chain shows {fate.transaction}"
        if fate.received != payment.amount:
            return f"booked with {payment.amount} micro-dollars, the chain shows {fate.received}"
    if payment.status == "failed" and isinstance(fate, Used):
        return f"booked as not used, and the chain shows it used by {fate.transaction}"
    return None


def _authorization(payment: Payment) -> Authorization:
    """What was signed, as far as the chain is asked about it. It was valid for so long at the most."""
    until = int(payment.valid_before.timestamp())
    return Authorization(
        payer=payment.payer,
        payee=payment.pay_to,
        value=payment.amount,
        valid_after=max(0, until - MAX_VALIDITY - BACKDATE),
        valid_before=until,
        nonce=payment.nonce,
    )
