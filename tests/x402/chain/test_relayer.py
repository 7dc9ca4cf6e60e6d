"""The relayer's side of web3: what it signs, and what it makes of a node's answers."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from eth_account import Account
from eth_account.typed_transactions.typed_transaction import TypedTransaction
from hexbytes import HexBytes

import x402
from net.strict_json import Json
from tests.x402.samples import USDC
from tests.x402.server import Reply, Seen, json_reply, serving
from x402.chain.relayer import Web3Relayer
from x402.errors import ChainUnavailable, ChainUnclear

ROOT = Path(x402.__file__).parent.parent
KEY = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d"
CALL = bytes.fromhex("e3ee160e") + bytes(32)


@dataclass
class Node:
    """Answers by method: a result, an error's text in a list, or None to hang up."""

    url: str = ""
    results: dict[str, Json] = field(
        default_factory=lambda: {
            "eth_chainId": hex(84532),
            "eth_getTransactionCount": "0x5",
            "eth_estimateGas": "0x186a0",
            "eth_maxPriorityFeePerGas": "0x3e8",
            "eth_getBlockByNumber": {"number": "0x1", "baseFeePerGas": "0x7d0"},
            "eth_sendRawTransaction": "0x" + "11" * 32,
        }
    )
    sent: list[Json] = field(default_factory=list)


@asynccontextmanager
async def relaying() -> AsyncIterator[tuple[Node, Web3Relayer]]:
    node = Node()

    async def answer(seen: Seen) -> Reply:
        order = json.loads(seen.body)
        result = node.results[order["method"]]
        if order["method"] == "eth_sendRawTransaction":
            node.sent.append(order["params"][0])
        if result is None:
            return Reply(body=None)
        if isinstance(result, list):
            return json_reply(
                {"jsonrpc": "2.0", "id": order["id"], "error": {"code": -32000, "message": result[0]}}
            )
        return json_reply({"jsonrpc": "2.0", "id": order["id"], "result": result})

    async with serving(answer) as url:
        node.url = url
        relayer = Web3Relayer(url, KEY, 84532)
        try:
            yield node, relayer
        finally:
            await relayer.aclose()


async def test_it_signs_the_call_for_its_chain_with_its_next_nonce() -> None:
    async with relaying() as (node, relayer):
        signed = await relayer.sign(USDC, CALL)
        assert await relayer.send(signed)
        assert node.sent == ["0x" + signed.raw.hex()]
    assert Account.recover_transaction(signed.raw) == relayer.address == Account.from_key(KEY).address
    transaction = TypedTransaction.from_bytes(HexBytes(signed.raw))
    fields = transaction.as_dict()
    assert (fields["chainId"], fields["nonce"], fields["gas"], fields["value"]) == (84532, 5, 125_000, 0)
    assert (fields["maxPriorityFeePerGas"], fields["maxFeePerGas"]) == (1_000, 5_000)
    assert (bytes(fields["to"]), bytes(fields["data"])) == (bytes.fromhex(USDC[2:]), CALL)


@pytest.mark.parametrize(("said", "sent"), [("already known", True), ("nonce too low: next 6", False)])
async def test_what_a_node_says_of_a_transaction_it_has_or_cannot_have(said: str, sent: bool) -> None:
    async with relaying() as (node, relayer):
        signed = await relayer.sign(USDC, CALL)
        node.results["eth_sendRawTransaction"] = [said]
        assert await relayer.send(signed) is sent


@pytest.mark.parametrize(
    ("method", "answer", "error"),
    [
        ("eth_estimateGas", ["execution reverted"], ChainUnclear),
        ("eth_estimateGas", ["insufficient funds for gas"], ChainUnclear),
        ("eth_getBlockByNumber", {"number": "0x1"}, ChainUnclear),
        ("eth_getTransactionCount", None, ChainUnavailable),
        ("eth_sendRawTransaction", ["intrinsic gas too low"], ChainUnclear),
        ("eth_sendRawTransaction", None, ChainUnavailable),
    ],
)
async def test_errors_of_web3_come_out_as_ours(method: str, answer: Json, error: type[Exception]) -> None:
    async with relaying() as (node, relayer):
        node.results[method] = answer
        with pytest.raises(error) as raised:
            await relayer.send(await relayer.sign(USDC, CALL))
        assert node.url.rpartition(":")[2] not in str(raised.value)
        assert raised.value.__suppress_context__


@pytest.mark.parametrize("key", ["", "0x12", "0x" + "zz" * 32, "0x" + "00" * 32])
def test_a_key_that_is_none_is_not_quoted(key: str) -> None:
    with pytest.raises(ValueError, match="not 64 hex digits of a key") as refused:
        Web3Relayer("http://127.0.0.1:1", key, 1)
    assert refused.value.__suppress_context__


def test_its_key_does_not_show() -> None:
    assert repr(Web3Relayer("https://rpc.example/key", KEY, 1)) == f"Web3Relayer({Account.from_key(KEY).address})"


def test_loading_web3_does_not_raise_the_recursion_limit() -> None:
    """py_ecc raises it to 100,000, and then a stranger's brackets could end the process."""
    limit = "sys.getrecursionlimit()"
    script = f"import sys; before = {limit}; import x402.chain.relayer; print(before, {limit})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    before, after = done.stdout.split()
    assert before == after
