"""Where on a chain something stands: blocks by number or time, and the log that an authorization's nonce left.

Nodes bound how many blocks one search may cover, from 5 to 10,000 (scaffold-eth-2#1110, risc0-ethereum#656): a
range that is refused is halved, and what worked is remembered.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from net.strict_json import Json
from x402.chain.logs import AUTHORIZATION_CANCELED, AUTHORIZATION_USED, Log, logs_of, topic
from x402.chain.ports import Block
from x402.chain.rpc import JsonRpc, RpcRefused, hash_of, number_of
from x402.errors import ChainUnclear
from x402.negotiation import BACKDATE
from x402.networks import Asset
from x402.wire import Authorization

__all__ = ["LogSearch", "block_at"]

_MOST_BLOCKS: Final = 1_000
"""Blocks that one search covers where nodes allow it."""
_MOST_SEARCHES: Final = 64
_MOST_REMEMBERED: Final = 256
_FIRST_STEP: Final = 256


class LogSearch:
    """Finds the log that says what a nonce was spent on."""

    def __init__(self, rpc: JsonRpc) -> None:
        """Nothing is asked yet."""
        self._rpc: Final = rpc
        self._span = _MOST_BLOCKS
        self._reached: dict[tuple[str, int], int] = {}
        """How far the searches for a nonce have come, by range: the next one goes on there."""

    async def find(self, token: Asset, authorization: Authorization, until: Block) -> Log:
        """The log of the authorization's end, in `until` or before.

        Raises:
            ChainUnclear: there is none, or not within 64 searches.
            ChainError: no node answers.
        """
        query: dict[str, Json] = {
            "address": token.address,
            "topics": [
                [AUTHORIZATION_USED, AUTHORIZATION_CANCELED],
                topic(authorization.payer),
                authorization.nonce.lower(),
            ],
        }
        left, ranges = _MOST_SEARCHES, 0
        async for first, last in self._likely(authorization, until):
            ranges += 1
            start = max(first, self._reached.get((authorization.nonce, ranges), 0))
            while start <= last:
                self._keep((authorization.nonce, ranges), start)
                if left == 0:
                    raise ChainUnclear(f"the nonce is spent and {_MOST_SEARCHES} searches do not say on what")
                end = min(start + self._span - 1, last)
                left -= 1
                found = await self._search(query, start, end)
                if found is None:
                    continue  # the same start, fewer blocks
                if found:
                    self._span = min(self._span * 2, _MOST_BLOCKS)  # a refusal may have had another reason
                    return found[0]
                start = end + 1
        for number in range(1, ranges + 1):  # a node that lags has said nothing: the next search begins anew
            self._reached.pop((authorization.nonce, number), None)
        raise ChainUnclear("the nonce is spent and no log says on what")

    def _keep(self, where: tuple[str, int], start: int) -> None:
        self._reached.pop(where, None)
        self._reached[where] = start
        while len(self._reached) > _MOST_REMEMBERED:
            del self._reached[next(iter(self._reached))]

    async def _likely(self, authorization: Authorization, until: Block) -> AsyncIterator[tuple[int, int]]:
        """Ranges of blocks, the likeliest first. None can be older than `valid_after`.

        Most payers date it back from the moment of signing, and nothing was sent before that.
        """
        signed = await _first_after(self._rpc, authorization.valid_after + BACKDATE, until)
        yield signed, until.number
        first = await _first_after(self._rpc, authorization.valid_after, until)
        yield first, signed - 1

    async def _search(self, query: dict[str, Json], first: int, last: int) -> tuple[Log, ...] | None:
        """The logs of a range; None: it was refused, and the next one has half as many blocks."""
        try:
            blocks: dict[str, Json] = {"fromBlock": hex(first), "toBlock": hex(last)}
            return logs_of(await self._rpc.call("eth_getLogs", query | blocks))
        except RpcRefused:
            if first == last:  # not for its length: what was remembered of that is in doubt as well
                self._span = _MOST_BLOCKS
                raise
            self._span = (last - first + 1) // 2
            return None


async def block_at(rpc: JsonRpc, which: str) -> Block:
    """The block of that number (in hex) or name (`latest`). Raises `ChainError`."""
    answer = await rpc.call("eth_getBlockByNumber", which, False)
    if not isinstance(answer, dict):
        raise ChainUnclear(f"there is no block {which}")
    return Block(
        number=number_of(answer.get("number"), "a block's number"),
        hash=hash_of(answer.get("hash"), "a block's hash"),
        time=number_of(answer.get("timestamp"), "a block's time"),
    )


async def _first_after(rpc: JsonRpc, time: int, until: Block) -> int:
    """The number of the first block younger than `time`, looked for from `until` backwards."""
    low, high, step = until.number, until.number, _FIRST_STEP
    while low > 0 and (await block_at(rpc, hex(low))).time > time:
        high, low, step = low, max(0, low - step), step * 2
    while low < high:
        middle = (low + high) // 2
        if (await block_at(rpc, hex(middle))).time > time:
            high = middle
        else:
            low = middle + 1
    return low
