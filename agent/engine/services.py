"""What a tick works with. Built once per process by the surface that runs it, handed down from there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import httpx

from agent.engine.leased import LeasedRun
from agent.engine.restored import RestoreWatch
from agent.engine.step import Step
from agent.process.deadline import Deadline
from agent.process.settings import Settings
from agent.process.world import World
from agent.store.allowances import AllowanceStore
from agent.store.due import DueStore
from agent.store.keys import KeyStore
from agent.store.runs import RunStore
from agent.store.vendors import VendorStore
from agent.wallet.wallet import Wallet
from vendors.client import VendorClient
from x402.chain.ports import ChainReader

__all__ = ["Kind", "Services"]


class Kind(Protocol):
    """What a kind of run does between the engine's own steps: all that a tick knows of it.

    Both methods change the draft, and may raise `LeaseLost` and `StoreUnavailable`.
    """

    async def look(self, desk: LeasedRun, services: Services, deadline: Deadline) -> None:
        """Ask how what is under way outside does, and book what is said."""
        ...

    async def step(self, desk: LeasedRun, services: Services, deadline: Deadline) -> Step:
        """Nothing is under way: decide what to do next, and do it."""
        ...


@dataclass(frozen=True, slots=True)
class Services:
    """The core's outside: stores, vendors, the kind of its runs, wallet, clock, and the chains that can be read.

    `chains` are by CAIP-2 id; a network that is not among them is paid on all the same, on the vendors' word.
    """

    settings: Settings
    world: World
    runs: RunStore
    due: DueStore
    vendors: VendorStore
    allowances: AllowanceStore
    keys: KeyStore
    restored: RestoreWatch
    http: httpx.AsyncClient
    """What `client` calls vendors with."""
    client: VendorClient
    kind: Kind
    wallet: Wallet
    chains: Mapping[str, ChainReader] = field(default_factory=dict)
    operators_http: httpx.AsyncClient | None = None
    """What the operator's own URLs are called with: nodes and Coinbase. They may be anywhere."""

    async def close(self) -> None:
        """Close the clients, in the loop that they were made for."""
        await self.http.aclose()
        if self.operators_http is not None:
            await self.operators_http.aclose()
