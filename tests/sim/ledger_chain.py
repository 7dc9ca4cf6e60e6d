"""The chain as a process of the simulated world reads it: true, some blocks late, and not always there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from gpu_vendor_mock.journal import Journal
from tests.agent.killing import Watcher
from tests.sim.loop import VirtualClock
from x402.chain.ports import Block, Fate, Unused, Used
from x402.networks import Asset
from x402.wire import Authorization

__all__ = ["LateChain"]

_HOLDS: Final = 100_000_000
"""What the wallet holds, in atomic units: enough for everything."""


class LateChain:
    """A `ChainReader` of what vendors settled until `late` seconds ago. Each question is an effect."""

    def __init__(
        self,
        journal: Journal,
        clock: VirtualClock,
        late: float,
        mine: Callable[[], Awaitable[object]],
        watcher: Watcher,
    ) -> None:
        """`mine` has the vendors settle what is due by now, as it would be in a block that is read now."""
        self._journal = journal
        self._clock = clock
        self._late = late
        self._mine = mine
        self._watcher = watcher

    async def head(self) -> Block:
        """The newest block that is seen."""

        async def ask() -> Block:
            seen = self._clock.unix() - self._late
            return Block(int(seen), "0x" + f"{int(seen):064x}", int(seen))

        return await self._watcher.watch("chain head", ask)

    async def balance(self, token: Asset, owner: str) -> int:
        """More than anybody spends."""

        async def ask() -> int:
            return _HOLDS

        return await self._watcher.watch("chain balance", ask)

    async def code(self, owner: str) -> bytes:
        """Whoever pays has a plain key."""

        async def ask() -> bytes:
            return b""

        return await self._watcher.watch("chain code", ask)

    async def fate(self, token: Asset, authorization: Authorization, named: str | None = None) -> Fate:
        """Used if it was settled by the newest block that is seen, and unused as of that block if not."""

        async def ask() -> Fate:
            await self._mine()
            seen = self._clock.unix() - self._late
            for each in self._journal.settlements:
                if each.nonce.lower() == authorization.nonce.lower() and each.at <= seen:
                    return Used(each.transaction, int(each.at), each.amount)
            return Unused(Block(int(seen), "0x" + f"{int(seen):064x}", int(seen)))

        return await self._watcher.watch("chain fate", ask)
