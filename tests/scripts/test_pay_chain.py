"""`purser pay` where a node is set: the wallet is looked into before it is opened."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import httpx
import pytest

from agent.book.errors import ConfigurationError
from agent.process.settings import Settings
from scripts.http_client import http_client
from scripts.pay.values import PayExit
from scripts.wallets import held_by
from tests.scripts.shop import PRICE, open_shop
from tests.scripts.standin import Answer, standing_in
from tests.scripts.test_pay import Till, order_at
from tests.scripts.test_pay_command import Pay, asks
from tests.scripts.test_pay_command import home as home
from tests.scripts.test_pay_command import pay as pay
from tests.x402.chain.standin import StandIn, Tip
from tests.x402.samples import KEY, NETWORK, PAYER, usual
from tests.x402.server import Reply, Seen, serving
from x402.purse import UNASKED, Funds

WORD = PAYER[2:].lower().rjust(64, "0")


@asynccontextmanager
async def node(holds: int) -> AsyncIterator[tuple[StandIn, Settings]]:
    """A node on which the payer holds so much, and settings that name it."""
    stand_in = StandIn(Tip(balances={WORD: holds}))

    async def answer(seen: Seen) -> Reply:
        answered = stand_in.handle(httpx.Request("POST", "http://node", content=seen.body))
        return Reply(answered.status_code, {"Content-Type": "application/json"}, answered.content)

    async with serving(answer) as url:
        told = {"x402_private_key": KEY, "x402_rpc_urls": f"{NETWORK}={url}"}
        yield stand_in, Settings.model_validate(told)


@pytest.mark.parametrize(("holds", "code"), [(PRICE, PayExit.OK), (PRICE - 1, PayExit.SETUP)])
async def test_what_the_chain_says_decides(tmp_path: Path, holds: int, code: PayExit) -> None:
    """To the micro-dollar, with one question for the balance and one for the code."""
    till = Till(tmp_path / "home")
    async with open_shop() as shop, node(holds) as (stand_in, settings):
        outcome = await till.pay(order_at(shop), look=partial(held_by, settings, False))
    assert outcome.exit_code is code
    assert (stand_in.calls["eth_call"], stand_in.calls["eth_getCode"]) == (1, 1)
    assert till.opened == (code is PayExit.OK)


async def test_a_network_without_a_node_is_not_looked_at(tmp_path: Path) -> None:
    """Nor is the wallet's address: a token on another network needs neither."""
    async with http_client() as http, node(1) as (stand_in, settings):
        base = (usual("eip155:8453"),)
        bare = settings.model_copy(update={"x402_private_key": None, "purser_home": str(tmp_path)})
        assert await held_by(bare, False, http, base) == UNASKED
        assert not stand_in.calls
        both = await held_by(settings, False, http, (usual(NETWORK), *base))
        assert both == {usual(NETWORK): Funds(1)}


async def test_only_a_dry_run_does_without_a_wallet(tmp_path: Path) -> None:
    """There is nothing to look into then."""
    async with http_client() as http, node(1) as (_, settings):
        bare = settings.model_copy(update={"x402_private_key": None, "purser_home": str(tmp_path)})
        assert await held_by(bare, True, http, (usual(NETWORK),)) == UNASKED
        with pytest.raises(ConfigurationError, match="there is no wallet"):
            await held_by(bare, False, http, (usual(NETWORK),))


@pytest.mark.usefixtures("home")
def test_the_command_looks_too(pay: Pay, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address with code signs nothing: exit 7, and what to do."""
    said = Answer(200, {"jsonrpc": "2.0", "id": 1, "result": "0x014a34"})  # 84532, and three bytes of code
    with standing_in(asks()) as vendor, standing_in(*[said] * 4) as chain:
        monkeypatch.setenv("X402_RPC_URLS", f"{NETWORK}={chain.url}")
        result = pay(vendor.url)
    assert result.exit_code == PayExit.SETUP
    assert "wallet_unfit: nothing was paid: " in result.stderr
    assert "pay from a plain key" in result.stderr
    assert len(vendor.asked) == 1
