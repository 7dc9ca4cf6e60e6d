"""The two servers that stand between a stranger and Purser: they add what they say they add, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from net.strict_json import JsonObject
from tests.strangers.proxy import TranslatingProxy
from tests.strangers.reconciling_node import ReconcilingNode
from tests.x402.samples import NETWORK, PAYEE, PAYER, challenge, usual
from tests.x402.server import Reply, Seen, json_reply, serving
from x402.chain.ports import Unused, Used
from x402.chain.reader import RpcChain
from x402.chain.rpc import JsonRpc
from x402.codec import encode_header
from x402.errors import ChainError
from x402.wire import Authorization

NONCE = "0x" + "ab" * 32
AUTHORIZATION = Authorization(PAYER, PAYEE, 5_000, 0, 2_000_000_000, NONCE)
TERMS: JsonObject = {
    "x402Version": 2,
    "accepts": [challenge().offers[0].raw],
    "resource": {"url": "https://gpu.example/x"},
}


async def test_terms_are_translated_and_payments_go_on_in_both_headers() -> None:
    """By turns; what the seller answers is counted."""
    sent: list[Seen] = []

    async def seller(seen: Seen) -> Reply:
        sent.append(seen)
        return Reply(402, {"PAYMENT-REQUIRED": encode_header(TERMS)}, b"{}")

    async with serving(seller) as url, httpx.AsyncClient(trust_env=False) as http:
        with TranslatingProxy(url, {"X-Extra": "1"}) as proxy:
            bare = await http.post(proxy.url, content=b"order")
            for value in ("first", "second"):
                await http.post(proxy.url, headers={"X-Payment-Authorization": value})
    assert (bare.headers["x-payment-amount"], bare.headers["x-payment-network"]) == ("10000", NETWORK)
    assert bare.headers["x-payment-recipient"] == PAYEE
    assert (sent[0].body, sent[0].headers["x-extra"]) == (b"order", "1")
    assert not {"payment-signature", "x-payment"} & sent[0].headers.keys()
    paid = [(each.headers.get("x-payment"), each.headers.get("payment-signature")) for each in sent[1:]]
    assert sorted(paid, key=str) == sorted([("first", None), (None, "second")], key=str)
    assert proxy.answers == {402: 3}


@asynccontextmanager
async def chain_over(reply: Reply) -> AsyncIterator[tuple[RpcChain, ReconcilingNode]]:
    """The chain that a run reads, where the facilitator answers `reply` to each question."""

    async def facilitator(seen: Seen) -> Reply:
        assert seen.path == f"/reconcile?nonce={NONCE}"
        return reply

    async with serving(facilitator) as url, httpx.AsyncClient(trust_env=False) as http:
        with ReconcilingNode(url, PAYEE, 5_000) as node:
            yield RpcChain(JsonRpc(http, [node.url], 84532)), node


@pytest.mark.parametrize("found", [True, False])
async def test_a_clear_answer_of_the_facilitator_is_the_chains(found: bool) -> None:
    """Found is a transfer in a block; not found is an authorization that nobody used."""
    async with chain_over(json_reply({"found": found})) as (chain, node):
        fates = [await chain.fate(usual(NETWORK), AUTHORIZATION) for _ in range(2)]
    assert [type(fate) for fate in fates] == [Used if found else Unused] * 2
    assert not found or (isinstance(fates[0], Used) and fates[0].received == 5_000)
    assert node.unclear == 0


@pytest.mark.parametrize(
    "reply",
    [
        Reply(503, {"Content-Type": "application/json"}, b'{"error": "unavailable"}'),
        Reply(200, {"Content-Type": "text/html"}, b"<h1>Not Available</h1>"),
        Reply(200, {"Content-Type": "application/json"}, b'{"found": true}' + b"x" * 6_000_000),
    ],
    ids=["an error", "a page", "megabytes"],
)
async def test_a_hostile_answer_is_a_chain_that_cannot_be_asked(reply: Reply) -> None:
    """And never one that says no."""
    async with chain_over(reply) as (chain, node):
        with pytest.raises(ChainError):
            await asyncio.wait_for(chain.fate(usual(NETWORK), AUTHORIZATION), 30)
    assert node.unclear >= 1
