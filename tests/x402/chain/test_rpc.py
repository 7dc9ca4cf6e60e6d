"""JSON-RPC to nodes that are slow, wrong, or strange."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from tests.x402.chain.standin import CHAIN, URL, Refuse, StandIn
from tests.x402.server import Reply, Seen, serving
from x402.chain import rpc as chain_rpc
from x402.chain.rpc import JsonRpc, RpcRefused, hash_of, number_of
from x402.chain.urls import check_url, parse_urls
from x402.client import BoundedTransport
from x402.errors import ChainUnavailable, ChainUnclear, WrongChain

OTHER = "https://other.example/"


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain_rpc, "_PAUSE_SECONDS", 0)


async def test_a_result_is_handed_on() -> None:
    assert await StandIn().rpc().call("eth_chainId") == hex(CHAIN)


async def test_the_chain_is_checked_once_for_each_node() -> None:
    node = StandIn()
    rpc = node.rpc()
    for _ in range(3):
        await rpc.call("eth_getBlockByNumber", "latest", False)
    assert node.calls["eth_chainId"] == 1


async def test_another_chain_is_a_mistake_and_not_tried_again() -> None:
    node = StandIn(chain=1)
    with pytest.raises(WrongChain, match="serves chain 1, not 84532"):
        await node.rpc([URL, OTHER]).call("eth_getBlockByNumber", "latest", False)
    assert node.calls == {"eth_chainId": 1}


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (httpx.ConnectError("no"), ChainUnavailable),
        (httpx.Response(503, text="busy"), ChainUnavailable),
        (httpx.Response(429, json={"jsonrpc": "2.0", "id": 1, "result": "0x1"}), ChainUnavailable),
        (httpx.Response(302, headers={"Location": "https://elsewhere.example"}), ChainUnavailable),
        (httpx.Response(200, text="<html>"), ChainUnclear),
        (httpx.Response(200, content=b"\xff\xfe"), ChainUnclear),
        (httpx.Response(200, text="[" * 100_000), ChainUnclear),
        (httpx.Response(200, json=[]), ChainUnclear),
        (httpx.Response(200, json={"jsonrpc": "2.0", "id": 1}), ChainUnclear),
        (httpx.Response(200, json={"error": {"code": 1}}), RpcRefused),
        (Refuse("header not found"), RpcRefused),
    ],
)
async def test_a_bad_answer_is_asked_for_again_and_then_named(
    bad: Exception | httpx.Response, error: type
) -> None:
    node = StandIn()
    node.answer("eth_getLogs", bad, times=2)
    with pytest.raises(error, match="eth_getLogs"):
        await node.rpc().call("eth_getLogs", {})
    node.answer("eth_chainId", "0x14a34", bad)
    assert await node.rpc().call("eth_chainId") == hex(CHAIN)


async def test_the_next_node_is_asked_first() -> None:
    asked = []

    def handle(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.host)
        if request.url.host == "rpc.example":
            raise httpx.ConnectError("down")
        return httpx.Response(200, json={"result": hex(CHAIN)})

    http = httpx.AsyncClient(transport=httpx.MockTransport(handle))
    await JsonRpc(http, [URL, OTHER], CHAIN).call("eth_chainId")
    assert asked == ["rpc.example", "other.example", "other.example"]


async def test_the_node_that_answered_last_is_asked_first() -> None:
    """One that is away is not asked before every call; when the other fails it has its turn."""
    asked, down = [], {"rpc.example"}

    def handle(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.host)
        if request.url.host in down:
            return httpx.Response(429)
        return httpx.Response(200, json={"result": hex(CHAIN)})

    rpc = JsonRpc(httpx.AsyncClient(transport=httpx.MockTransport(handle)), [URL, OTHER], CHAIN)
    await rpc.call("eth_chainId")
    asked.clear()
    await rpc.call("eth_gasPrice")
    assert asked == ["other.example"]
    down.symmetric_difference_update({"rpc.example", "other.example"})
    asked.clear()
    await rpc.call("eth_gasPrice")
    await rpc.call("eth_gasPrice")
    assert asked == ["other.example", "rpc.example", "rpc.example", "rpc.example"]  # once for its chain


async def test_a_node_that_hangs_is_left_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain_rpc, "_TRY_SECONDS", 0.05)
    monkeypatch.setattr(chain_rpc, "_CALL_SECONDS", 0.08)

    async def hang(_: Seen) -> Reply:
        await asyncio.Event().wait()
        raise AssertionError

    async with serving(hang) as url, httpx.AsyncClient(trust_env=False) as http:
        with pytest.raises(ChainUnavailable, match=r"in 0\.08 s"):
            await JsonRpc(http, [url], CHAIN).call("eth_chainId")


async def test_an_answer_without_end_is_not_read() -> None:
    async def flood(_: Seen) -> Reply:
        return Reply(body=b"x" * 5_000)

    async with (
        serving(flood) as url,
        httpx.AsyncClient(transport=BoundedTransport(httpx.AsyncHTTPTransport(), 1_000)) as http,
    ):
        with pytest.raises(ChainUnavailable, match="ResponseTooLarge"):
            await JsonRpc(http, [url], CHAIN).call("eth_chainId")


async def test_the_key_in_a_nodes_url_is_never_shown() -> None:
    node = StandIn()
    rpc = node.rpc(["https://rpc.example/v3/secret-api-key?token=another%2Dsecret"])
    node.answer("eth_chainId", Refuse("invalid project id: secret-api-key (another-secret)"), times=2)
    with pytest.raises(RpcRefused, match=r"invalid project id: \*\*\* \(\*\*\*\)") as refused:
        await rpc.call("eth_chainId")
    node.answer("eth_chainId", httpx.ConnectError(URL), times=2)
    with pytest.raises(ChainUnavailable) as away:
        await rpc.call("eth_chainId")
    for shown in (str(refused.value), str(away.value), repr(away.value.__cause__), repr(rpc)):
        assert "secret" not in shown


@pytest.mark.parametrize(
    "url",
    [
        "http://rpc.example",
        "ftp://rpc.example",
        "rpc.example",
        "https://",
        "https://me:pw@rpc.example",
        "https://[",
        "",
    ],
)
def test_a_url_that_must_not_be_used(url: str) -> None:
    with pytest.raises(ValueError, match="node's URL") as refused:
        check_url(url)
    assert "pw" not in str(refused.value)


@pytest.mark.parametrize(
    "url", ["https://rpc.example/key", "http://127.0.0.1:8545", "http://localhost:1", "http://[::1]:1"]
)
def test_a_url_that_may_be_used(url: str) -> None:
    assert check_url(url) == url


def test_a_chain_needs_a_node() -> None:
    with pytest.raises(ValueError, match="at least one"):
        StandIn().rpc([])


@pytest.mark.parametrize("value", [None, 1, True, "", "0x", "12", "0x" + "f" * 65, "0xg", ["0x1"]])
def test_no_number(value: object) -> None:
    with pytest.raises(ChainUnclear, match="the thing is no number"):
        number_of(value, "the thing")  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [None, 1, "0x", "0x" + "f" * 63, "0x" + "f" * 65, "f" * 64])
def test_no_hash(value: object) -> None:
    with pytest.raises(ChainUnclear, match="the thing is no hash"):
        hash_of(value, "the thing")  # type: ignore[arg-type]


def test_nodes_are_named_by_their_chain() -> None:
    text = "eip155:8453=https://a.example/k=v,eip155:1=https://b.example\n eip155:8453=https://c.example"
    assert parse_urls(text) == {
        "eip155:8453": ("https://a.example/k=v", "https://c.example"),
        "eip155:1": ("https://b.example",),
    }
    assert parse_urls("  ") == {}


@pytest.mark.parametrize(
    "text", ["https://secret.example", "base=https://secret.example", "eip155:1=http://secret.example"]
)
def test_nodes_that_are_named_otherwise_are_refused_unseen(text: str) -> None:
    with pytest.raises(ValueError, match="must be") as refused:
        parse_urls(text)
    assert "secret" not in str(refused.value)
