"""A chain read over JSON-RPC: balances, code, receipts, and what became of an authorization.

Every question is put to one block by its hash (EIP-1898), so that a node behind, or on another branch, refuses
instead of answering for another state.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic as machine_monotonic
from typing import Final

from net.strict_json import Json
from x402.chain.logs import (
    AUTHORIZATION_CANCELED,
    Log,
    logs_of,
    received,
    topic,
)
from x402.chain.ports import Block, Cancelled, Fate, Unused, Used
from x402.chain.rpc import JsonRpc, hash_of, number_of
from x402.chain.search import LogSearch, block_at
from x402.codec import clean
from x402.eip3009 import transfer_calldata
from x402.errors import ChainUnclear
from x402.networks import Asset
from x402.wire import Authorization, Payment

__all__ = ["Mined", "RpcChain", "Trial"]

_BALANCE_OF: Final = "0x70a08231"
_AUTHORIZATION_STATE: Final = "0xe94a0102"
_DOMAIN_SEPARATOR: Final = "0x3644e515"

_PLAIN_SECONDS: Final = 300.0
"""How long an address without code is taken to have none. One that has is asked about again each time, so that
whoever removes a delegation can pay at once."""


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
        self._logs: Final = LogSearch(rpc)
        self._plain: tuple[str, float] | None = None  # one: a payer asks about itself

    async def head(self) -> Block:
        """The newest block."""
        return await block_at(self._rpc, "latest")

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

    async def fate(self, token: Asset, authorization: Authorization, named: str | None = None) -> Fate:
        """What became of an authorization, as of the newest block that has the confirmations asked for.

        `named` is a transaction that is said to have used it: its receipt is asked for first.

        Raises:
            ChainUnclear: the state says that it was used or cancelled and no log says which.
        """
        head = await self.head()
        deep = head.number - self._confirmations + 1
        seen = head if deep == head.number else await block_at(self._rpc, hex(max(0, deep)))
        nonce = authorization.nonce[2:].lower()
        state = await self._read(token.address, _AUTHORIZATION_STATE + _word(authorization.payer) + nonce, seen)
        if number_of(state, "authorizationState") == 0:
            return Unused(seen)
        if named is not None:
            with suppress(ChainUnclear):  # the logs may tell, where the receipt does not
                if used := await self._used_by(named, token, authorization, seen):
                    return used
        log = await self._logs.find(token, authorization, seen)
        if log.topics[0] == AUTHORIZATION_CANCELED:
            return Cancelled(log.transaction)
        used = await self._used_by(log.transaction, token, authorization, seen)
        if used is None:
            raise ChainUnclear(f"the receipt of {log.transaction} does not show what its log does")
        return used

    async def _used_by(
        self, transaction: str, token: Asset, authorization: Authorization, seen: Block
    ) -> Used | None:
        """The use of an authorization by this transaction, as its receipt shows it; None: it shows none."""
        mined = await self.mined(transaction)
        if mined is None or mined.block > seen.number:
            return None
        reached = received(mined.logs, token.address, authorization)
        return None if reached is None else Used(mined.transaction, mined.block, reached)

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
