"""A scripted vendor on a free port, and the client that production uses to talk to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import stamina

from tests.vendors.samples import TOKEN
from tests.vendors.server import ScriptedVendor
from vendors.client import VendorClient, make_http_client


@pytest.fixture(autouse=True)
def no_backoff() -> Iterator[None]:
    """Retries happen, as many as the code asks for, but nobody waits for them."""
    with stamina.set_testing(True, attempts=100, cap=True):
        yield


@pytest.fixture
async def server() -> AsyncIterator[ScriptedVendor]:
    async with ScriptedVendor() as running:
        yield running


@pytest.fixture
async def client() -> AsyncIterator[VendorClient]:
    async with make_http_client(loopback=True) as http:
        yield VendorClient(http, lambda vendor: {"GPU_VENDOR_SECRET": TOKEN}[vendor.secret_ref or ""])
