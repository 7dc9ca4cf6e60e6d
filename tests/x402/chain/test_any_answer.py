"""Whatever a node answers, nothing but a `ChainError` comes out: nobody's purchase dies of it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator
from itertools import cycle

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from net.strict_json import Json
from tests.x402.chain.standin import CHAIN, URL, usdc
from tests.x402.samples import NOW, PAYER, offer, payment_for
from x402.chain import rpc as chain_rpc
from x402.chain.ports import Block
from x402.chain.reader import RpcChain
from x402.chain.rpc import JsonRpc
from x402.errors import ChainError

HASH = "0x" + "77" * 32
FIELDS = ["number", "hash", "timestamp", "address", "topics", "data", "logIndex", "blockNumber", "calls"]
FIELDS += ["transactionHash", "status", "logs", "returnData", "error", "message"]


_hex = st.text("0123456789abcdefABCDEF", max_size=80).map("0x".__add__)
_plain = st.none() | st.booleans() | st.integers() | st.text(max_size=6) | _hex | st.sampled_from(["0x1", HASH])
_any = st.recursive(
    _plain,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=6),
    max_leaves=12,
)
_block = st.fixed_dictionaries({"number": st.just("0x7"), "hash": st.just(HASH), "timestamp": st.just("0x1")})


@pytest.fixture(scope="module", autouse=True)
def _no_pause() -> Iterator[None]:
    """A node is asked twice, at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chain_rpc, "_PAUSE_SECONDS", 0)
        yield


@given(
    st.lists(_any | _block, min_size=1, max_size=6) | st.binary(max_size=40),
    st.sampled_from(["balance", "code", "fate", "trial", "separator"]),
)
async def test_any_answer_of_a_node_is_read_or_refused(answers: list[Json] | bytes, question: str) -> None:
    """As results one after another, or as a body that is none."""
    coming = cycle(answers if isinstance(answers, list) else [None])

    def answer(request: httpx.Request) -> httpx.Response:
        if json.loads(request.content)["method"] == "eth_chainId":
            return httpx.Response(200, json={"jsonrpc": "2.0", "id": 1, "result": hex(CHAIN)})
        if isinstance(answers, bytes):
            return httpx.Response(200, content=answers)
        return httpx.Response(200, json={"jsonrpc": "2.0", "id": 1, "result": next(coming)})

    payment = await payment_for(offer())
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        chain = RpcChain(JsonRpc(http, [URL], CHAIN))
        questions: dict[str, Callable[[], Awaitable[object]]] = {
            "balance": lambda: chain.balance(usdc(), PAYER),
            "code": lambda: chain.code(PAYER),
            "fate": lambda: chain.fate(usdc(), payment.authorization),
            "trial": lambda: chain.trial(usdc(), payment, Block(7, HASH, NOW)),
            "separator": lambda: chain.domain_separator(usdc()),
        }
        try:
            await questions[question]()
        except ChainError:
            return
