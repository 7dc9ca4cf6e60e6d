"""`make demo-chain`: the demo, its payments settled on a real EVM chain and counted there at the end.

Anvil and a token of our own, both gone afterwards. The vendors start a job when its transfer is in a block; Purser
books a payment when its own node shows it. At the end the balances are held against the books.
"""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterator

from rich.console import Console

from agent.book.money import usd_text
from gpu_vendor_mock.settings import LOCAL_SECRET
from scripts.demo.local_chain import NETWORK, RELAYER_KEY, LocalChain, settings_for
from scripts.demo.run import BUDGET, Outcome, Place, run_demo
from scripts.exits import Exit
from scripts.serve.servers import ServerFailed
from scripts.view.text import console_for, said
from x402.networks import Asset
from x402.secp256k1 import SigningKey

__all__ = ["against_chain", "main"]

BLOCK_SECONDS = 1
CONFIRMATIONS = 2


def main() -> int:
    """Run it; 0 if run, books, trail and chain agree."""
    console = console_for()
    try:
        with LocalChain(BLOCK_SECONDS) as chain:
            token, key = chain.deploy(), secrets.token_hex(32)
            wallet = SigningKey(bytes.fromhex(key)).address
            chain.mint(token, wallet, BUDGET)
            console.print(
                said(f"chain {chain.url}: token {token.address}, wallet {wallet} with {_usd(BUDGET)}", "dim")
            )
            outcome = run_demo(console, place=_on(chain, token, key))
            faults = tuple(against_chain(chain, token, wallet, outcome))
            _account(console, chain, token, wallet, outcome, faults)
    except ServerFailed as exc:
        print(exc, file=sys.stderr)
        return Exit.SETUP
    return Exit.OK if outcome.good and not faults else Exit.FAILED


def against_chain(chain: LocalChain, token: Asset, wallet: str, outcome: Outcome) -> Iterator[str]:
    """What books and chain disagree on, one sentence each. Amounts are compared to the micro-dollar."""
    payments = [each for each in outcome.status.payments if each.status == "completed"]
    left = BUDGET - outcome.status.run.budget_spent
    if (held := chain.balance(token, wallet)) != left:
        yield f"the wallet holds {_usd(held)}, by the books it should be {_usd(left)}"
    for payee in {each.pay_to for each in payments}:
        paid = sum(each.amount for each in payments if each.pay_to == payee)
        if (got := chain.balance(token, payee)) != paid:
            yield f"{payee} holds {_usd(got)}, by the books it was paid {_usd(paid)}"
    for each in payments:
        receipt = chain.rpc("eth_getTransactionReceipt", each.transaction)
        if not isinstance(receipt, dict) or receipt.get("status") != "0x1":
            yield f"payment {each.id}: the chain knows no successful transaction {each.transaction}"
    if chain.supply(token) != BUDGET:
        yield f"there are {_usd(chain.supply(token))} of the token, {_usd(BUDGET)} were minted"


def _on(chain: LocalChain, token: Asset, key: str) -> Place:
    shared = {"X402_ASSETS": settings_for(token), "X402_RPC_URLS": f"{NETWORK}={chain.url}"}
    api_token = secrets.token_hex(16)
    return Place(
        api={
            **shared,
            "X402_NETWORKS": NETWORK,
            "X402_CONFIRMATIONS": str(CONFIRMATIONS),
            "X402_PRIVATE_KEY": key,
            "GPU_VENDOR_SECRET": LOCAL_SECRET,
            "API_TOKEN": api_token,
            "LOOPBACK_VENDORS": "allow",
        },
        vendors={**shared, "X402_NETWORK": NETWORK, "X402_RELAYER_KEY": RELAYER_KEY},
        token=api_token,
    )


def _account(
    console: Console, chain: LocalChain, token: Asset, wallet: str, outcome: Outcome, faults: tuple[str, ...]
) -> None:
    console.print()
    holders = {"wallet": wallet} | {each.vendor_id: each.pay_to for each in outcome.status.payments}
    for name, address in holders.items():
        console.print(said(f"  on the chain, {name} holds {_usd(chain.balance(token, address))}"))
    for fault in faults:
        console.print(said(f"  WRONG: {fault}", "bold red"), soft_wrap=True)
    if not faults:
        console.print(said("  the chain's balances are those of the books, to the micro-dollar", "green"))


def _usd(amount: int) -> str:
    return f"{usd_text(amount)} USD"


if __name__ == "__main__":
    sys.exit(main())
