"""What is wired to what: vendors are called with caution, the operator's own URLs as they are given."""

from __future__ import annotations

import json

import pytest

from agent.process.settings import Settings
from agent.process.world import real_world
from agent.store.embedded import EmbeddedDatabase
from agent.wiring import wire
from api._context import Context
from tests.vendors.samples import a_vendor
from tests.vendors.server import ScriptedVendor, reply
from vendors.errors import VendorUnavailable
from x402.chain.reader import RpcChain
from x402.chain.rpc import JsonRpc
from x402.errors import ChainUnavailable


def rpc(result: object) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "result": result}).encode()


async def test_a_node_on_this_machine_is_asked_where_vendors_on_it_are_not() -> None:
    """A node's URL is the operator's, a vendor's endpoint is not."""
    async with ScriptedVendor() as server:
        server.answers(reply(200, rpc(hex(84532))), reply(200, rpc("0x1")))
        told = {"x402_rpc_urls": f"eip155:84532={server.url}", "loopback_vendors": "refuse"}
        services = wire(Settings.model_validate(told), real_world(), EmbeddedDatabase())
        chain = services.chains["eip155:84532"]
        assert isinstance(chain, RpcChain)
        assert services.operators_http is not None
        node = JsonRpc(services.operators_http, [server.url], 84532)
        assert await node.call("eth_blockNumber") == "0x1"
        asked = len(server.seen)

        with pytest.raises(VendorUnavailable, match="LOOPBACK_VENDORS=allow"):
            await services.client.status(a_vendor(server.url), "job_1", within=5)

        assert (asked, len(server.seen)) == (2, 2)
        await services.close()
        assert services.http.is_closed
        assert services.operators_http.is_closed


async def test_what_a_node_sends_is_bounded_too() -> None:
    """And a redirect of it is not followed, nor what it compresses unpacked."""
    async with ScriptedVendor() as server:
        services = wire(Settings(), real_world(), EmbeddedDatabase())
        assert services.operators_http is not None
        node = JsonRpc(services.operators_http, [server.url], 84532)
        for bad in (
            reply(200, b" " * (4 * 1024 * 1024 + 1)),
            reply(200, b"\x1f\x8b", {"Content-Encoding": "gzip"}),
            reply(307, headers={"Location": f"{server.url}/elsewhere"}),
        ):
            server.answers(bad)
            with pytest.raises(ChainUnavailable):
                await node.call("eth_blockNumber")
        assert {seen.target for seen in server.seen} == {"/"}
        await services.close()


async def test_an_api_that_stops_closes_both_clients() -> None:
    """A platform may start and end a loop with each invocation: nothing of it may stay open."""
    context = Context(Settings())
    services = context.services()
    await context.close()
    assert services.operators_http is not None
    assert (services.http.is_closed, services.operators_http.is_closed) == (True, True)
