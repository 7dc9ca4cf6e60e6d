"""What a tick works with. Built once per process by the surface that runs it, handed down from there."""

from __future__ import annotations

from dataclasses import dataclass

import httpx

from agent.planner import Planner
from agent.settings import Settings
from agent.store.runs import RunStore
from agent.store.vendors import VendorStore
from agent.wallet import Wallet
from agent.world import World
from vendors.client import VendorClient

__all__ = ["Services"]


@dataclass(frozen=True, slots=True)
class Services:
    """The core's outside: stores, vendors, planner, wallet, and the world's clock."""

    settings: Settings
    world: World
    runs: RunStore
    vendors: VendorStore
    http: httpx.AsyncClient
    client: VendorClient
    planner: Planner
    wallet: Wallet
