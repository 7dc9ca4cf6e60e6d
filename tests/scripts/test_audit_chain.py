"""Payments held against a chain: what its logs say counts, and a chain that does not tell is a finding."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from pydantic import JsonValue

from scripts.audit.chain import chain_faults, contradiction
from scripts.client.shapes import Payment
from scripts.exits import Exit
from tests.scripts.conftest import Purser
from tests.scripts.samples import payment
from tests.scripts.standin import Answer, standing_in
from tests.x402.chain.standin import Refuse, StandIn
from tests.x402.chain.test_reader import call_of
from tests.x402.samples import NETWORK, PAYEE, PAYER, USDC, offer, payment_for
from x402.chain.ports import Block, Cancelled, Unused, Used
from x402.chain.reader import RpcChain

TRANSACTION = "0x" + "aa" * 32
UNUSED = Unused(Block(9, "0x" + "99" * 32, 1_900_000_000))
CANCELLED = Cancelled("0x" + "cc" * 32)


async def booked(transaction: str | None, **changes: str) -> Payment:
    """What the books say of the payment that `payment_for` signs."""
    signed = (await payment_for(offer())).authorization
    until = datetime.fromtimestamp(signed.valid_before, UTC).isoformat()
    terms = {"network": NETWORK, "asset": USDC, "payer": PAYER, "payTo": PAYEE, "nonce": signed.nonce}
    return payment(**{**terms, "amount": 0.01, "x402TxId": transaction, "validBefore": until, **changes})


async def asked(node: StandIn, entry: Payment) -> tuple[str, ...]:
    """What the chain of this node says against it."""
    return await chain_faults({NETWORK: RpcChain(node.rpc())}, [entry])


async def test_a_payment_that_is_on_the_chain_holds() -> None:
    """Found by payer and nonce, from what the books show alone."""
    node = StandIn()
    transaction = node.carry_out(call_of(await payment_for(offer())))

    assert await asked(node, await booked(transaction)) == ()


async def test_a_payment_that_is_not_on_the_chain_is_named() -> None:
    """A forged receipt."""
    entry = await booked(TRANSACTION)

    assert await asked(StandIn(), entry) == (
        f"payment {entry.id}: booked as completed, and the chain shows no transfer",
    )


@pytest.mark.parametrize(
    ("status", "fate", "holds"),
    [
        ("completed", Used(TRANSACTION, 7, 1_400_000), True),
        ("completed", Used(TRANSACTION.upper().replace("0X", "0x"), 7, 1_400_000), True),
        ("completed", Used("0x" + "bb" * 32, 7, 1_400_000), False),
        ("completed", Used(TRANSACTION, 7, 1_399_999), False),
        ("completed", CANCELLED, False),
        ("completed", UNUSED, False),
        ("unresolved", UNUSED, True),
        ("unresolved", Used(TRANSACTION, 7, 1_400_000), True),
        ("failed", UNUSED, True),
        ("failed", CANCELLED, True),
        ("failed", Used(TRANSACTION, 7, 1_400_000), False),
    ],
)
def test_what_the_chain_shows_is_what_must_be_booked(
    status: str, fate: Unused | Used | Cancelled, holds: bool
) -> None:
    """To the micro-dollar and to the transaction; what nobody could know is booked as spent either way."""
    entry = payment(status=status, x402TxId=TRANSACTION if status == "completed" else None)

    assert (contradiction(entry, fate) is None) is holds


async def test_what_cannot_be_asked_was_not_checked() -> None:
    """A node that refuses, a token nobody knows, terms that nobody can have signed."""
    node = StandIn()
    node.answer("eth_getBlockByNumber", Refuse("no"), times=9)

    assert "the chain cannot be asked" in (await asked(node, await booked(TRANSACTION)))[0]
    assert "no token known" in (await asked(StandIn(), await booked(TRANSACTION, asset=PAYEE)))[0]
    assert "of no authorization: nonce" in (await asked(StandIn(), await booked(TRANSACTION, nonce="0x1")))[0]


async def test_what_is_open_or_elsewhere_is_not_asked() -> None:
    """A pending payment may still go either way; of another chain this node knows nothing."""
    node = StandIn()

    assert await asked(node, await booked(None, status="pending")) == ()
    assert await asked(node, await booked(TRANSACTION, network="eip155:8453")) == ()
    assert not node.calls


def test_the_command_asks_the_node_of_the_settings(purser: Purser, elsewhere: pytest.MonkeyPatch) -> None:
    """The mock vendors settle in their memory, so a chain knows nothing of it: exit code 1, each payment named."""
    start = purser("start", "Fine-tune tiny-llm", "--budget", "5", "--json")
    run_id = str(json.loads(start.stdout)["_id"])
    assert purser("watch", run_id).exit_code == Exit.OK
    assert purser("audit", "verify", run_id).exit_code == Exit.OK
    block: dict[str, JsonValue] = {"number": "0x9", "hash": "0x" + "99" * 32, "timestamp": hex(1_900_000_000)}
    unused: list[JsonValue] = [block, "0x" + "00" * 32]
    answers = [Answer(200, {"jsonrpc": "2.0", "id": 1, "result": each}) for each in [hex(84532), *unused, *unused]]
    with standing_in(*answers) as node:
        elsewhere.setenv("X402_RPC_URLS", f"{NETWORK}={node.url}")
        elsewhere.setenv("X402_CONFIRMATIONS", "1")
        result = purser("audit", "verify", run_id)

    assert result.exit_code == Exit.FAILED
    assert result.stdout.count("the chain shows no transfer") == 2
