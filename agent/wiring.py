"""Put the services of a process together. The one place where settings become clients."""

from __future__ import annotations

import httpx

from agent.keys import open_wallet
from agent.money import MICRO
from agent.planner import Planner
from agent.planner.stub import StubPlanner
from agent.services import Services
from agent.settings import Settings
from agent.store.allowances import AllowanceStore
from agent.store.collections import Database
from agent.store.runs import RunStore
from agent.store.vendors import VendorStore
from agent.world import World
from vendors.client import VendorClient, make_http_client
from x402.chain import ChainReader
from x402.networks import chain_id, register

__all__ = ["wire"]


def wire(settings: Settings, world: World, database: Database) -> Services:
    """Services on this database, for the running event loop. No network happens yet.

    Raises:
        ConfigurationError: the wallet cannot be opened.
    """
    for token in settings.assets:
        register(token)
    http = make_http_client()
    return Services(
        settings=settings,
        world=world,
        runs=RunStore(database),
        vendors=VendorStore(database),
        allowances=AllowanceStore(database),
        http=http,
        client=VendorClient(http, settings.vendor_secret),
        planner=_planner(settings),
        wallet=open_wallet(settings, http),
        chains=_chains(settings, http),
    )


def _chains(settings: Settings, http: httpx.AsyncClient) -> dict[str, ChainReader]:
    """A reader for each network that a node is set for."""
    if not settings.nodes:
        return {}
    from x402.chain_reader import RpcChain  # a function that starts cold pays for every import
    from x402.chain_rpc import JsonRpc

    return {
        network: RpcChain(JsonRpc(http, urls, number), settings.x402_confirmations)
        for network, urls in settings.nodes.items()
        if (number := chain_id(network)) is not None
    }


def _planner(settings: Settings) -> Planner:
    if settings.planner_mode == "stub" or settings.fireworks_api_key is None:
        return StubPlanner()
    from agent.planner.fireworks import FireworksPlanner  # heavy, and not everybody has a key

    prices = (settings.fireworks_input_price, settings.fireworks_output_price)
    input_price, output_price = (None if price is None else int(price * MICRO) for price in prices)
    return FireworksPlanner(
        api_key=settings.fireworks_api_key.get_secret_value(),
        model=settings.fireworks_model,
        base_url=settings.fireworks_base_url,
        fallback=StubPlanner(),
        input_price=input_price,
        output_price=output_price,
    )
