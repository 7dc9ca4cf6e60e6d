"""A chain read over JSON-RPC: balances, code, receipts, and what became of an authorization.

Every question is put to one block by its hash (EIP-1898), so that a node behind, or on another branch, refuses
instead of answering for another state.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic as machine_monotonic
from typing import Final

from x402.chain import Block, Cancelled, Fate, Unused, Used
from x402.chain_logs import (
    AUTHORIZATION_CANCELED,
    AUTHORIZATION_USED,
    Log,
    logs_of,
    received,
    topic,
)
from x402.chain_rpc import JsonRpc, hash_of, number_of
from x402.codec import Json, clean
from x402.eip3009 import transfer_calldata
from x402.errors import ChainUnclear
from x402.networks import Asset
from x402.wire import Authorization, Payment

__all__ = ["Mined", "RpcChain", "Trial"]

_BALANCE_OF: Final = "0x70a08231"
_AUTHORIZATION_STATE: Final = "0xe94a0102"
_DOMAIN_SEPARATOR: Final = "0x3644e515"

_LOG_BLOCKS: Final = 1_000
"""Blocks that one search for logs covers; public nodes refuse much wider ones."""
_MOST_SEARCHES: Final = 64

_PLAIN_SECONDS: Final = 300.0
"""How long an address without code is taken to have none. One that has is asked about again each time, so that
whoever removes a delegation can pay at once."""
_FIRST_STEP: Final = 256


@dataclass(frozen=True, slots=True)
class Mined:
    """A transaction that is in a block. `succeeded` is False when it was reverted."""

    transaction: str
    block: int
    succeeded: bool
    logs: tuple[Log, ...]


@dataclass(frozen=True, slots=True)
class Trial:
    """What would come of settling now: the token's reason for a revert, or what reaches the payee."""

    received: int
    reverted: str | None = None


class RpcChain:
    """A `ChainReader` over JSON-RPC, and what a facilitator asks beyond that. Raises `ChainError` everywhere."""

    def __init__(
        self, rpc: JsonRpc, confirmations: int = 1, *, monotonic: Callable[[], float] = machine_monotonic
    ) -> None:
        """`confirmations`: how many blocks deep `fate` looks; 1 is the newest block."""
        if confirmations < 1:
            raise ValueError("confirmations must be at least 1")
        self._rpc: Final = rpc
        self._confirmations: Final = confirmations
        self._monotonic: Final = monotonic
        self._plain: tuple[str, float] | None = None  # one: a payer asks about itself

    async def head(self) -> Block:
        """The newest block."""
        return await self._block("latest")

    async def balance(self, token: Asset, owner: str) -> int:
        """What `owner` holds in the newest block, in atomic units."""
        return number_of(await self._read(token.address, _BALANCE_OF + _word(owner), None), "balanceOf")

    async def code(self, owner: str) -> bytes:
        """The code at `owner` in the newest block; empty for a plain key, which is believed for five minutes."""
        now, owner = self._monotonic(), owner.lower()
        if self._plain is not None and self._plain[0] == owner and now < self._plain[1]:
            return b""
        code = _bytes_of(await self._rpc.call("eth_getCode", owner, "latest"), "eth_getCode")
        if not code:
            self._plain = owner, now + _PLAIN_SECONDS
        return code

    async def domain_separator(self, token: Asset) -> bytes:
        """What the token itself says its EIP-712 domain is."""
        said = await self._read(token.address, _DOMAIN_SEPARATOR, None)
        return bytes.fromhex(hash_of(said, "DOMAIN_SEPARATOR")[2:])

    async def fate(self, token: Asset, authorization: Authorization) -> Fate:
        """What became of an authorization, as of the newest block that has the confirmations asked for.

        Raises:
            ChainUnclear: the state says that it was used or cancelled and no log says which.
        """
        head = await self.head()
        deep = head.number - self._confirmations + 1
        seen = head if deep == head.number else await self._block(hex(max(0, deep)))
        nonce = authorization.nonce[2:].lower()
        state = await self._read(token.address, _AUTHORIZATION_STATE + _word(authorization.payer) + nonce, seen)
        if number_of(state, "authorizationState") == 0:
            return Unused(seen)
        log = await self._event(token, authorization, seen)
        if log.topics[0] == AUTHORIZATION_CANCELED:
            return Cancelled(log.transaction)
        mined = await self.mined(log.transaction)
        reached = None if mined is None else received(mined.logs, token.address, authorization)
        if mined is None or reached is None:
            raise ChainUnclear(f"the receipt of {log.transaction} does not show what its log does")
        return Used(log.transaction, mined.block, reached)

    async def mined(self, transaction: str) -> Mined | None:
        """The receipt of a transaction; None while it is in no block."""
        answer = await self._rpc.call("eth_getTransactionReceipt", transaction)
        if answer is None:
            return None
        if not isinstance(answer, dict):
            raise ChainUnclear("a receipt is no object")
        return Mined(
            transaction=hash_of(answer.get("transactionHash"), "transactionHash"),
            block=number_of(answer.get("blockNumber"), "blockNumber"),
            succeeded=number_of(answer.get("status"), "status") == 1,
            logs=logs_of(answer.get("logs")),
        )

    async def trial(self, token: Asset, payment: Payment, at: Block) -> Trial:
        """What would come of settling the payment in the block after `at` (`eth_simulateV1`); nothing is sent."""
        a = payment.authorization
        call = transfer_calldata(a, bytes.fromhex(payment.signature[2:]))
        look: Json = {"to": token.address, "data": _BALANCE_OF + _word(a.payee)}
        order: Json = {
            "blockStateCalls": [
                {
                    "blockOverrides": {"time": hex(at.time + 1)},
                    "calls": [look, {"to": token.address, "data": "0x" + call.hex()}, look],
                }
            ]
        }
        answer = await self._rpc.call("eth_simulateV1", order, hex(at.number))
        block = answer[0] if isinstance(answer, list) and len(answer) == 1 else None
        calls = block.get("calls") if isinstance(block, dict) else None
        if not isinstance(calls, list) or len(calls) != 3:
            raise ChainUnclear("a simulation has not one result for each call")
        before, settled, after = (each if isinstance(each, dict) else {} for each in calls)
        if number_of(settled.get("status"), "status") != 1:
            return Trial(0, _revert_reason(settled))
        amounts = (number_of(each.get("returnData"), "balanceOf") for each in (after, before))
        return Trial(next(amounts) - next(amounts))

    async def _event(self, token: Asset, authorization: Authorization, until: Block) -> Log:
        """The log that says what the nonce was spent on. It cannot be older than `valid_after`."""
        wanted: Json = [
            [AUTHORIZATION_USED, AUTHORIZATION_CANCELED],
            topic(authorization.payer),
            authorization.nonce.lower(),
        ]
        first = await self._first_after(authorization.valid_after, until)
        for start in range(first, until.number + 1, _LOG_BLOCKS)[:_MOST_SEARCHES]:
            end = min(start + _LOG_BLOCKS - 1, until.number)
            query: Json = {
                "address": token.address,
                "topics": wanted,
                "fromBlock": hex(start),
                "toBlock": hex(end),
            }
            if logs := logs_of(await self._rpc.call("eth_getLogs", query)):
                return logs[0]
        raise ChainUnclear("the nonce is spent and no log says on what")

    async def _first_after(self, time: int, until: Block) -> int:
        """The number of the first block younger than `time`, looked for from `until` backwards."""
        low, high, step = until.number, until.number, _FIRST_STEP
        while low > 0 and (await self._block(hex(low))).time > time:
            high, low, step = low, max(0, low - step), step * 2
        while low < high:
            middle = (low + high) // 2
            if (await self._block(hex(middle))).time > time:
                high = middle
            else:
                low = middle + 1
        return low

    async def _block(self, which: str) -> Block:
        answer = await self._rpc.call("eth_getBlockByNumber", which, False)
        if not isinstance(answer, dict):
            raise ChainUnclear(f"there is no block {which}")
        return Block(
            number=number_of(answer.get("number"), "a block's number"),
            hash=hash_of(answer.get("hash"), "a block's hash"),
            time=number_of(answer.get("timestamp"), "a block's time"),
        )

    async def _read(self, contract: str, data: str, at: Block | None) -> Json:
        where: Json = "latest" if at is None else {"blockHash": at.hash, "requireCanonical": True}
        return await self._rpc.call("eth_call", {"to": contract, "data": data}, where)


def _bytes_of(value: Json, what: str) -> bytes:
    try:
        if isinstance(value, str) and value.startswith("0x"):
            return bytes.fromhex(value[2:])
    except ValueError:
        pass  # an odd digit, or none
    raise ChainUnclear(f"{what} is no bytes")


def _word(address: str) -> str:
    return topic(address)[2:]


def _revert_reason(call: dict[str, Json]) -> str:
    """`Error(string)` of Solidity and Vyper, or what the node says."""
    data = call.get("returnData")
    if isinstance(data, str) and data.startswith("0x08c379a0"):
        try:
            raw = bytes.fromhex(data[10:])
            return clean(raw[64 : 64 + int.from_bytes(raw[32:64])].decode("utf-8", "replace"), 200)
        except ValueError:
            pass  # no such text after all
    error = call.get("error")
    said = error.get("message") if isinstance(error, dict) else None
    return clean(said, 200) if isinstance(said, str) else "the token gave no reason"
