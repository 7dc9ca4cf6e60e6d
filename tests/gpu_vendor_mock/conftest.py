"""The vendors as an app in memory or behind a real socket, with a clock that stands still."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import httpx
import pytest

from gpu_vendor_mock.app import create_app
from gpu_vendor_mock.server import make_server
from tests.gpu_vendor_mock.support import Buyer, Clock, Sleeper, Vendor, settings
from x402.selling.facilitator import Facilitator

OpenShop = Callable[..., Vendor]
Serve = Callable[..., Vendor]


@pytest.fixture
def clock() -> Clock:
    """The time at the vendor."""
    return Clock()


@pytest.fixture
def sleeper() -> Sleeper:
    """How long the vendor waited."""
    return Sleeper()


@pytest.fixture
def buyer() -> Buyer:
    """A buyer whose nonces have not been used."""
    return Buyer()


@pytest.fixture
async def open_shop(clock: Clock, sleeper: Sleeper) -> AsyncIterator[OpenShop]:
    """Opens vendors with the given settings, and speaks to the first one."""
    clients: list[httpx.AsyncClient] = []

    def opened(facilitator: Facilitator | None = None, **given: object) -> Vendor:
        app = create_app(settings(**given), clock=clock, sleep=sleeper, facilitator=facilitator)
        clients.append(httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://vendor.test"))
        return Vendor(clients[-1])

    yield opened
    for http in clients:
        await http.aclose()


@pytest.fixture
def vendor(open_shop: OpenShop) -> Vendor:
    """gpu_vendor_1 as it is without faults."""
    return open_shop()


@pytest.fixture
async def serve(clock: Clock) -> AsyncIterator[Serve]:
    """Serves vendors on a free port, in this event loop, with the given settings."""
    clients: list[httpx.AsyncClient] = []
    async with asyncio.TaskGroup() as tasks:
        servers = []

        def served(
            clock: Callable[[], float] = clock,
            sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
            **given: object,
        ) -> Vendor:
            listening = socket.create_server(("127.0.0.1", 0))
            server = make_server(create_app(settings(**given), clock=clock, sleep=sleep))
            servers.append(server)
            tasks.create_task(server.serve(sockets=[listening]))
            address = f"http://127.0.0.1:{listening.getsockname()[1]}"
            clients.append(httpx.AsyncClient(base_url=address, timeout=10, trust_env=False))
            return Vendor(clients[-1])

        yield served
        for http in clients:
            await http.aclose()
        for server in servers:
            server.should_exit = True
