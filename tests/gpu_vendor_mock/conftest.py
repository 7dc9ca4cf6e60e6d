"""The vendors as an app in memory, with a clock that stands still."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import httpx
import pytest

from gpu_vendor_mock.app import create_app
from tests.gpu_vendor_mock.support import Buyer, Clock, Sleeper, Vendor, settings
from x402.facilitator import Facilitator

OpenShop = Callable[..., Vendor]


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
