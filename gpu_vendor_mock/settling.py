"""Where payments are settled: offline, or on a chain where the settings name a relayer's key and a node."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from gpu_vendor_mock.errors import BadSetting
from gpu_vendor_mock.settings import Settings
from x402.chain.facilitator import ChainFacilitator
from x402.chain.reader import RpcChain
from x402.chain.rpc import JsonRpc
from x402.client import BoundedTransport
from x402.networks import chain_id
from x402.selling.facilitator import Facilitator

__all__ = ["settling"]


@asynccontextmanager
async def settling(settings: Settings) -> AsyncIterator[Facilitator | None]:
    """The facilitator of the settings, for as long as the block lasts; None: settle offline.

    Raises:
        BadSetting: the relayer's key is none, or what settling on a chain needs is not installed.
    """
    chain, key = chain_id(settings.x402_network), settings.x402_relayer_key
    if key is None or chain is None:
        yield None
        return
    try:
        from x402.chain.relayer import Web3Relayer  # web3: heavy, and only needed here
    except ImportError as exc:
        raise BadSetting("X402_RELAYER_KEY: settling on a chain needs requirements-chain.txt") from exc
    try:
        relayer = Web3Relayer(settings.nodes[0], key.get_secret_value(), chain)
    except ValueError as exc:
        raise BadSetting(f"X402_RELAYER_KEY: {exc}") from exc
    async with httpx.AsyncClient(transport=BoundedTransport(httpx.AsyncHTTPTransport())) as http:
        rpc = JsonRpc(http, settings.nodes, chain)
        try:
            yield ChainFacilitator(settings.x402_network, RpcChain(rpc), relayer)
        finally:
            await relayer.aclose()
