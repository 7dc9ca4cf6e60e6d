"""What a payer can pay with, as chains tell it: asked at once, in bounded time, and no error gets lost."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from tests.x402.samples import OTHER, PAYER, usual
from x402.chain.ports import Block, Fate
from x402.chain.purse import MOST_TOKENS, look_up
from x402.errors import ChainError, ChainUnavailable, ChainUnclear
from x402.networks import ASSETS, Asset
from x402.purse import Funds, HasCode
from x402.wire import Authorization

DOWN = ChainUnavailable("down")
DELEGATED = bytes.fromhex("ef0100") + bytes.fromhex(OTHER[2:])


BASE, CELO = usual("eip155:8453"), usual("eip155:42220")
CELO_TOKENS = tuple(each for each in ASSETS if each.network == CELO.network)


@dataclass
class Chain:
    """Says what it is told to say, once everybody who is expected to ask has asked."""

    holds: int | ChainError = 7
    at: bytes | ChainError = b""
    hangs: bool = False
    asked: list[str] = field(default_factory=list)
    together: asyncio.Barrier | None = None

    async def head(self) -> Block:
        """Nobody asks for it here."""
        raise NotImplementedError

    async def balance(self, token: Asset, owner: str) -> int:
        """What it is told."""
        await self._ask(f"balance {token.symbol} {owner}")
        if isinstance(self.holds, ChainError):
            raise self.holds
        return self.holds

    async def code(self, owner: str) -> bytes:
        """What it is told."""
        await self._ask(f"code {owner}")
        if isinstance(self.at, ChainError):
            raise self.at
        return self.at

    async def fate(self, token: Asset, authorization: Authorization, named: str | None = None) -> Fate:
        """Nobody wants to know."""
        raise AssertionError

    async def _ask(self, what: str) -> None:
        self.asked.append(what)
        if self.hangs:
            await asyncio.Event().wait()
        if self.together is not None:
            await self.together.wait()


async def test_each_token_and_each_network_is_asked_about_once_and_all_at_once() -> None:
    """Four questions for three tokens of a chain, none for a token of a chain without a node."""
    chain = Chain(together=asyncio.Barrier(4))
    purse = await look_up({CELO.network: chain}, PAYER, (*CELO_TOKENS, BASE), {CELO: 3}, seconds=2)
    assert purse == {each: Funds(7, 3 if each == CELO else 0) for each in CELO_TOKENS}
    assert sorted(chain.asked) == sorted(
        [f"code {PAYER}", *(f"balance {each.symbol} {PAYER}" for each in CELO_TOKENS)]
    )


async def test_nothing_is_asked_where_no_node_is_set() -> None:
    assert await look_up({}, PAYER, (BASE, CELO)) == {}
    assert await look_up({BASE.network: Chain()}, PAYER, ()) == {}


@pytest.mark.parametrize(
    ("chain", "told"),
    [
        (Chain(at=DELEGATED), HasCode(OTHER)),
        (Chain(at=b"\x60\x80"), HasCode()),
        (Chain(at=DELEGATED + b"\x00"), HasCode()),
        (Chain(at=DELEGATED, holds=DOWN), HasCode(OTHER)),
        (Chain(at=DOWN), DOWN),
        (Chain(holds=DOWN), DOWN),
    ],
)
async def test_code_counts_before_the_balance_and_silence_is_kept(chain: Chain, told: object) -> None:
    """Money is of no use to an address with code; half an answer is none."""
    assert await look_up({BASE.network: chain}, PAYER, (BASE,)) == {BASE: told}


async def test_a_chain_that_hangs_holds_up_no_other() -> None:
    """It is unknown after the time that a question may take."""
    chains = {BASE.network: Chain(hangs=True), CELO.network: Chain()}
    purse = await look_up(chains, PAYER, (BASE, CELO), seconds=0.01)
    assert purse[CELO] == Funds(7)
    assert isinstance(purse[BASE], ChainUnavailable)
    assert "eip155:8453 did not answer in 0.01 s" in str(purse[BASE])


async def test_a_seller_does_not_decide_how_much_is_asked() -> None:
    """Of many tokens the first are asked about; of the others nothing is known, so they are not paid with."""
    chains = {each.network: Chain() for each in ASSETS}
    tokens = ASSETS[: MOST_TOKENS + 2]
    purse = await look_up(chains, PAYER, tokens)
    assert list(purse) == [*tokens]
    assert [isinstance(purse[each], ChainUnclear) for each in tokens] == [False] * MOST_TOKENS + [True] * 2
    assert sum(len(chain.asked) for chain in chains.values()) <= 2 * MOST_TOKENS
