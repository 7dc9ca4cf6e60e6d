"""The chains and tokens that the settings name."""

from __future__ import annotations

import httpx

from agent.process.settings import Settings
from x402.chain.ports import ChainReader
from x402.networks import chain_id, register

__all__ = ["open_chains", "register_assets"]


def open_chains(settings: Settings, http: httpx.AsyncClient) -> dict[str, ChainReader]:
    """A reader for each network that a node is set for, by CAIP-2 id. Nothing is asked yet."""
    if not settings.nodes:
        return {}
    from x402.chain.reader import RpcChain  # a function that starts cold pays for every import
    from x402.chain.rpc import JsonRpc

    return {
        network: RpcChain(JsonRpc(http, urls, number), settings.x402_confirmations)
        for network, urls in settings.nodes.items()
        if (number := chain_id(network)) is not None
    }


def register_assets(settings: Settings) -> None:
    """Make the tokens known that the settings name."""
    for token in settings.assets:
        register(token)
