"""A node that answers JSON-RPC from memory, with one EIP-3009 token on it; it can be told to answer anything else.

It checks windows, nonces and balances as the token does, but no signatures. The tests in tests/chain, on a real
chain, say whether it is like one; this one is for what a real chain does not do on demand.
"""

from __future__ import annotations

import copy
import json
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import httpx

from net.strict_json import Json
from tests.x402.samples import NETWORK, NOW, PAYER, USDC
from x402.chain.logs import AUTHORIZATION_CANCELED, AUTHORIZATION_USED, TRANSFER, Log
from x402.chain.ports import Signed
from x402.chain.rpc import JsonRpc
from x402.eip3009 import Domain, domain_separator
from x402.errors import ChainError
from x402.keccak import keccak256
from x402.networks import Asset, asset

URL = "https://rpc.example/v3/secret-api-key"
CHAIN = 84532
BLOCK_SECONDS = 2


def usdc() -> Asset:
    token = asset(NETWORK, USDC)
    assert token is not None
    return token


class Refuse(Exception):
    """The node answers with an error of JSON-RPC."""


@dataclass
class Tip:
    """All that a reorganisation takes back."""

    times: list[int] = field(default_factory=lambda: [NOW - BLOCK_SECONDS, NOW])
    balances: dict[str, int] = field(default_factory=lambda: {PAYER[2:].lower().rjust(64, "0"): 1_000_000})
    spent: set[tuple[str, str]] = field(default_factory=set)
    logs: list[Log] = field(default_factory=list)
    mined: dict[str, tuple[int, bool]] = field(default_factory=dict)


@dataclass
class StandIn:
    """The node. `says` has answers in place of its own, one for each call: a value, or something to raise."""

    tip: Tip = field(default_factory=Tip)
    fee: int = 0
    chain: int = CHAIN
    log_blocks: int = 10_000
    """Most blocks that one search for logs may cover."""
    code: dict[str, bytes] = field(default_factory=dict)
    """By address in lower case."""
    calls: Counter[str] = field(default_factory=Counter)
    says: dict[str, deque[Json | Exception | httpx.Response]] = field(default_factory=dict)

    def answer(self, method: str, *values: Json | Exception | httpx.Response, times: int = 1) -> None:
        """Answer the next calls of `method` with these values."""
        self.says.setdefault(method, deque()).extend(values * times)

    def rpc(self, urls: Sequence[str] = (URL,)) -> JsonRpc:
        return JsonRpc(httpx.AsyncClient(transport=httpx.MockTransport(self.handle)), urls, CHAIN)

    def handle(self, request: httpx.Request) -> httpx.Response:
        order = json.loads(request.content)
        method = order["method"]
        self.calls[method] += 1
        scripted = self.says.get(method)
        try:
            result = scripted.popleft() if scripted else self._own(method, order["params"])
            if isinstance(result, httpx.Response):
                return result
            if isinstance(result, Exception):
                raise result
        except Refuse as exc:
            return httpx.Response(
                200, json={"jsonrpc": "2.0", "id": 1, "error": {"code": -32000, "message": str(exc)}}
            )
        return httpx.Response(200, json={"jsonrpc": "2.0", "id": 1, "result": result})

    def mine(self, blocks: int = 1, seconds: int = BLOCK_SECONDS) -> None:
        self.tip.times += [self.tip.times[-1] + seconds * n for n in range(1, blocks + 1)]

    def snapshot(self) -> Tip:
        return copy.deepcopy(self.tip)

    def carry_out(self, call: bytes, transaction: str | None = None) -> str:
        """Mine a transaction with this call of the token; its hash."""
        self.mine()
        name = transaction or "0x" + keccak256(call + len(self.tip.times).to_bytes(32)).hex()
        self.tip.mined[name] = len(self.tip.times) - 1, self._apply(self.tip, call, name) is None
        return name

    def cancel(self, payer: str, nonce: str) -> str:
        self.mine()
        transaction = "0x" + "ca" * 32
        self.tip.spent.add((payer[2:].lower().rjust(64, "0"), nonce[2:]))
        self._log(self.tip, transaction, (AUTHORIZATION_CANCELED, _topic(payer), nonce), "0x")
        return transaction

    def _apply(self, tip: Tip, call: bytes, transaction: str) -> str | None:
        payer, payee, value, after, before, nonce = (call[4 + 32 * n : 36 + 32 * n].hex() for n in range(6))
        amount, now = int(value, 16), tip.times[-1]
        if not int(after, 16) < now < int(before, 16):
            return "FiatTokenV2: authorization is expired"
        if (payer, nonce) in tip.spent:
            return "FiatTokenV2: authorization is used or canceled"
        if tip.balances.get(payer, 0) < amount:
            return "ERC20: transfer amount exceeds balance"
        tip.spent.add((payer, nonce))
        tip.balances[payer] -= amount
        tip.balances[payee] = tip.balances.get(payee, 0) + amount - self.fee
        self._log(tip, transaction, (AUTHORIZATION_USED, "0x" + payer, "0x" + nonce), "0x")
        self._log(tip, transaction, (TRANSFER, "0x" + payer, "0x" + payee), hex(amount - self.fee))
        return None

    def _log(self, tip: Tip, transaction: str, topics: tuple[str, ...], data: str) -> None:
        tip.logs.append(Log(USDC, topics, data, len(tip.logs), len(tip.times) - 1, transaction))

    def _own(self, method: str, params: list[Json]) -> Json:
        known: dict[str, Callable[..., Json]] = {
            "eth_chainId": lambda: hex(self.chain),
            "eth_getBlockByNumber": self._block,
            "eth_call": self._call,
            "eth_getCode": lambda address, _block: "0x" + self.code.get(address, b"").hex(),
            "eth_getLogs": self._logs,
            "eth_getTransactionReceipt": self._receipt,
            "eth_simulateV1": self._simulate,
        }
        return known[method](*params)

    def _block(self, which: str, _full: bool) -> Json:
        number = len(self.tip.times) - 1 if which == "latest" else int(which, 16)
        if number >= len(self.tip.times):
            return None
        return {"number": hex(number), "hash": _hash(number), "timestamp": hex(self.tip.times[number])}

    def _call(self, call: dict[str, str], where: Json) -> Json:
        data = call["data"]
        if data.startswith("0x3644e515"):
            token = usdc()
            return "0x" + domain_separator(Domain(token.name, token.version, CHAIN, token.address)).hex()
        if data.startswith("0x70a08231"):
            return hex(self.tip.balances.get(data[10:], 0))
        assert isinstance(where, dict)
        number = next(n for n in range(len(self.tip.times)) if _hash(n) == where["blockHash"])
        spent = ("0x" + data[10:74], "0x" + data[74:])
        return hex(any(log.topics[1:] == spent for log in self.tip.logs if log.block <= number))

    def _logs(self, query: dict[str, Json]) -> Json:
        match query:
            case {"topics": [kinds, payer, nonce], "fromBlock": str(first), "toBlock": str(last)}:
                numbers = range(int(first, 16), int(last, 16) + 1)
            case _:
                raise AssertionError("a query for logs of another kind")
        if len(numbers) > self.log_blocks:
            raise Refuse(f"eth_getLogs is limited to a {self.log_blocks} block range")
        found = [log for log in self.tip.logs if log.block in numbers and log.topics[1:] == (payer, nonce)]
        return [log_json(log) for log in found if isinstance(kinds, list) and log.topics[0] in kinds]

    def _receipt(self, transaction: str) -> Json:
        if transaction not in self.tip.mined:
            return None
        block, succeeded = self.tip.mined[transaction]
        return {
            "transactionHash": transaction,
            "blockNumber": hex(block),
            "status": hex(succeeded),
            "logs": [log_json(log) for log in self.tip.logs if log.transaction == transaction],
        }

    def _simulate(self, order: dict[str, list[dict[str, list[dict[str, str]]]]], _block: str) -> Json:
        look, settle, _ = order["blockStateCalls"][0]["calls"]
        trial, payee = self.snapshot(), look["data"][10:]
        before = hex(trial.balances.get(payee, 0))
        why = self._apply(trial, bytes.fromhex(settle["data"][2:]), "0x" + "00" * 32)
        words = b"" if why is None else bytes(31) + b"\x20" + len(why).to_bytes(32) + why.encode()
        told = "0x" if why is None else "0x08c379a0" + words.hex()
        after = hex(trial.balances.get(payee, 0))
        return [
            {
                "calls": [
                    {"status": "0x1", "returnData": before},
                    {"status": "0x0" if why else "0x1", "returnData": told},
                    {"status": "0x1", "returnData": after},
                ]
            }
        ]


@dataclass
class StandInRelayer:
    """Carries calls out at once. `before_send` is called before, `fails` has what `send` does instead."""

    node: StandIn
    before_send: Callable[[], object] = lambda: None
    fails: deque[ChainError | bool] = field(default_factory=deque)
    signs: int = 0
    sent: list[str] = field(default_factory=list)

    async def sign(self, _to: str, data: bytes) -> Signed:
        self.signs += 1
        return Signed("0x" + keccak256(data + self.signs.to_bytes(32)).hex(), data)

    async def send(self, signed: Signed) -> bool:
        self.before_send()
        if self.fails:
            outcome = self.fails.popleft()
            if isinstance(outcome, ChainError):
                raise outcome
            return outcome
        self.node.carry_out(signed.raw, signed.transaction)
        self.sent.append(signed.transaction)
        return True


def log_json(log: Log) -> dict[str, Json]:
    """A log as nodes write it."""
    return {
        "address": log.address,
        "topics": list(log.topics),
        "data": log.data,
        "logIndex": hex(log.index),
        "blockNumber": hex(log.block),
        "transactionHash": log.transaction,
    }


def _hash(number: int) -> str:
    return "0x" + keccak256(number.to_bytes(32)).hex()


def _topic(address: str) -> str:
    return "0x" + address[2:].lower().rjust(64, "0")
