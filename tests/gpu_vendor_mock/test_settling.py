"""Where the vendors have payments settled: offline, or on the chain that their settings name."""

from __future__ import annotations

import sys

import pytest

from gpu_vendor_mock.errors import BadSetting
from gpu_vendor_mock.settling import settling
from tests.gpu_vendor_mock.support import settings
from x402.chain.facilitator import ChainFacilitator
from x402.selling.facilitator import Kind

NODES = "eip155:84532=http://127.0.0.1:1"


async def test_without_a_relayer_payments_are_settled_offline() -> None:
    """A node alone, as Purser may have it in the same `.env`, changes nothing."""
    async with settling(settings(x402_rpc_urls=NODES)) as facilitator:
        assert facilitator is None


async def test_with_a_relayer_they_are_settled_on_the_chain_of_the_terms() -> None:
    async with settling(settings(x402_rpc_urls=NODES, x402_relayer_key="0x" + "77" * 32)) as facilitator:
        assert isinstance(facilitator, ChainFacilitator)
        assert (await facilitator.supported())[0] == Kind(2, "exact", "eip155:84532")


async def test_a_key_that_is_none_is_named_and_not_shown() -> None:
    with pytest.raises(BadSetting, match=r"X402_RELAYER_KEY: .* not 64 hex digits") as refused:
        async with settling(settings(x402_rpc_urls=NODES, x402_relayer_key="no-key-but-secret")):
            pass
    assert "secret" not in str(refused.value)


async def test_without_web3_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "x402.chain.relayer", None)
    with pytest.raises(BadSetting, match=r"requirements-chain\.txt"):
        async with settling(settings(x402_rpc_urls=NODES, x402_relayer_key="0x" + "77" * 32)):
            pass
