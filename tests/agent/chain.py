"""The chain as a test tells it: a `ChainReader` over the ledger that the stage's facilitator settles against."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from x402.chain.ports import Block, Cancelled, Fate, Unused, Used
from x402.errors import ChainError
from x402.networks import Asset
from x402.selling.offline import MemoryLedger
from x402.wire import Authorization

__all__ = ["LedgerChain"]


@dataclass
class LedgerChain:
    """What `ledger` knows, `behind` seconds late by `clock`. `down` is raised instead, `holds` is the wallet's."""

    ledger: MemoryLedger
    clock: Callable[[], float]
    holds: int = 100_000_000
    behind: float = 0
    fee: int = 0
    down: ChainError | None = None
    cancelled: set[str] = field(default_factory=set)
    hidden: bool = False
    """Nothing that was settled is in a block yet."""
    hangs: bool = False
    has_code: bytes = b""
    """What stands at the wallet's address."""
    asked: int = 0
    named: list[str | None] = field(default_factory=list)
    """The transactions that were asked for by name."""

    async def head(self) -> Block:
        await self._ask()
        return Block(7, "0x" + "77" * 32, int(self.clock() - self.behind))

    async def balance(self, token: Asset, owner: str) -> int:
        await self._ask()
        return self.holds

    async def code(self, owner: str) -> bytes:
        await self._ask()
        return self.has_code

    async def fate(self, token: Asset, authorization: Authorization, named: str | None = None) -> Fate:
        await self._ask()
        self.named.append(named)
        if authorization.nonce in self.cancelled:
            return Cancelled("0x" + "ca" * 32)
        for each in self.ledger.journal:
            if each.nonce == authorization.nonce.lower() and not self.hidden:
                return Used(each.transaction, 7, each.value - self.fee)
        return Unused(Block(7, "0x" + "77" * 32, int(self.clock() - self.behind)))

    async def _ask(self) -> None:
        self.asked += 1
        if self.hangs:
            await asyncio.Event().wait()
        if self.down is not None:
            raise self.down
