"""As many calls at once as a process has ticks: a slow vendor holds up nobody else."""

from __future__ import annotations

import asyncio

from agent.dispatch.rounds import CONCURRENT_TICKS
from tests.vendors.samples import QUOTE, TOKEN, a_vendor
from tests.vendors.server import reply
from vendors.client import VendorClient, make_http_client


async def test_every_tick_may_wait_for_a_slow_vendor_at_once() -> None:
    """None of the calls is answered before the last of them has arrived."""
    arrived = 0
    all_here = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal arrived
        await reader.readuntil(b"\r\n\r\n")
        arrived += 1
        if arrived == CONCURRENT_TICKS:
            all_here.set()
        await all_here.wait()
        writer.write(reply(200, QUOTE).data)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=CONCURRENT_TICKS)
    vendor = a_vendor(endpoint=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    async with server, make_http_client(loopback=True) as http:
        client = VendorClient(http, lambda _: TOKEN)
        calls = [
            client.quote(vendor, job_type="fine_tune", gpu_type="A100", max_hours=1.5, within=20)
            for _ in range(CONCURRENT_TICKS)
        ]
        quotes = await asyncio.gather(*calls)

    assert len(quotes) == CONCURRENT_TICKS
