"""A facilitator that does as a test tells it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from tests.x402.server import Reply, Seen
from x402.selling.desk import FacilitatorDesk
from x402.selling.offline import MemoryLedger, OfflineFacilitator


@dataclass(slots=True)
class Clerk:
    """Purser's facilitator on a socket of the test; `settling` is what it answers in place of its receipts.

    Nothing is settled before `verified` payments were verified.
    """

    ledger: MemoryLedger = field(default_factory=MemoryLedger)
    settling: list[Reply] = field(default_factory=list)
    moves_money: bool = True
    asked: list[str] = field(default_factory=list)
    verified: int = 0
    enough: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, request: Seen) -> Reply:
        self.asked.append(request.path)
        if request.path == "/verify" and self.asked.count("/verify") >= self.verified:
            self.enough.set()
        if request.path == "/settle":
            await self.enough.wait()
        desk = FacilitatorDesk(OfflineFacilitator(self.ledger, time.time))
        if request.path == "/settle" and self.settling:
            if self.moves_money:
                await desk.answer(request.method, request.path, request.body)
            return self.settling.pop(0)
        status, body = await desk.answer(request.method, request.path, request.body)
        return Reply(status, {"Content-Type": "application/json"}, body)
