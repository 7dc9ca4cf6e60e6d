"""Tests on a real EVM chain. Skipped, with the reason, where anvil or the compiled token is not there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from scripts.demo.local_chain import LocalChain, missing
from tests.chain.bank import Bank
from tests.chain.node import Node, node_before
from x402 import networks


@pytest.fixture(scope="session")
def chain() -> Iterator[LocalChain]:
    """One chain for all tests; each has tokens of its own on it."""
    if reason := missing():
        pytest.skip(reason)
    with LocalChain() as started:
        yield started


@pytest.fixture
def _own_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tokens that a test registers are gone after it."""
    monkeypatch.setattr(networks, "_BY_ADDRESS", dict(networks._BY_ADDRESS))
    monkeypatch.setattr(networks, "_DEFAULTS", dict(networks._DEFAULTS))


@pytest.fixture
async def node(chain: LocalChain) -> AsyncIterator[Node]:
    """The chain's node, behind a door that can be shut."""
    async with node_before(chain.url) as door:
        yield door


@pytest.fixture
async def bank(chain: LocalChain, node: Node, _own_table: None) -> AsyncIterator[Bank]:
    """A token, a payer with a hundred dollars of it, and a facilitator that settles in it."""
    async with Bank.open(chain, node) as opened:
        yield opened
