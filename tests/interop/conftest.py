"""The peers, started once for all tests of this folder and stopped after the last."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.interop.processes import HERE, NODE, OURS, PYTHON, Buyer, buyer, installed, server
from tests.x402.samples import PAYEE


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without the official SDKs there is nothing to test against; `make interop` allows no skip."""
    if not installed():
        assert os.environ.get("PURSER_INTEROP") != "required", "the official SDKs are not installed"
        for item in items:
            if HERE in item.path.parents:
                item.add_marker(pytest.mark.skip(reason="the official SDKs are not installed: make interop"))


@pytest.fixture(scope="session")
def python_buyer() -> Iterator[Buyer]:
    """The official httpx client."""
    with buyer(*PYTHON, str(HERE / "python/buyer.py")) as running:
        yield running


@pytest.fixture(scope="session")
def node_buyer() -> Iterator[Buyer]:
    """The official fetch client."""
    with buyer(*NODE, str(HERE / "node/buyer.mjs")) as running:
        yield running


@pytest.fixture(params=["httpx", "fetch"])
def official_buyer(request: pytest.FixtureRequest) -> Buyer:
    """Either official client."""
    name = {"httpx": "python_buyer", "fetch": "node_buyer"}[request.param]
    found: Buyer = request.getfixturevalue(name)
    return found


@pytest.fixture(scope="session")
def facilitator() -> Iterator[str]:
    """Purser's facilitator, settling offline."""
    with server(*OURS, "gpu_vendor_mock.facilitator", "--port", "0") as url:
        yield url


@pytest.fixture(scope="session")
def official_facilitator() -> Iterator[str]:
    """The official facilitator, on a stand-in for a chain."""
    with server(*PYTHON, str(HERE / "python/facilitator.py")) as url:
        yield url


@pytest.fixture(scope="session")
def fastapi_seller(facilitator: str) -> Iterator[str]:
    """The official FastAPI middleware, settling through Purser's facilitator."""
    with server(*PYTHON, str(HERE / "python/seller.py"), facilitator, PAYEE) as url:
        yield url


@pytest.fixture(scope="session")
def express_seller(facilitator: str) -> Iterator[str]:
    """The official Express middleware, settling through Purser's facilitator."""
    with server(*NODE, str(HERE / "node/seller.mjs"), facilitator, PAYEE) as url:
        yield url


@pytest.fixture(params=["fastapi", "express"])
def official_seller(request: pytest.FixtureRequest) -> str:
    """Either official middleware."""
    found: str = request.getfixturevalue(f"{request.param}_seller")
    return found


@pytest.fixture(scope="session")
def vendor() -> Iterator[str]:
    """Purser's mock vendor."""
    with server(*OURS, "gpu_vendor_mock", "--port", "0") as url:
        yield url
