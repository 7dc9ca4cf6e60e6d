"""What the logs of an EIP-3009 token say of an authorization. Pure.

FiatToken writes `AuthorizationUsed` and then the `Transfer` that belongs to it; one transaction may settle several
authorizations of one payer, so a transfer counts for the authorization it follows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from net.strict_json import Json
from x402.chain.rpc import hash_of, number_of
from x402.codec import is_address
from x402.errors import ChainUnclear
from x402.wire import Authorization

__all__ = [
    "AUTHORIZATION_CANCELED",
    "AUTHORIZATION_USED",
    "TRANSFER",
    "Log",
    "logs_of",
    "received",
    "topic",
]

AUTHORIZATION_USED: Final = "0x98de503528ee59b575ef0c0a2576a82497bfc029a5685b209e9ec333479b10a5"
"""keccak256 of `AuthorizationUsed(address,bytes32)`, both indexed (EIP-3009)."""
AUTHORIZATION_CANCELED: Final = "0x1cdd46ff242716cdaa72d159d339a485b3438398348d68f09d7c8c0a59353d81"
"""keccak256 of `AuthorizationCanceled(address,bytes32)`, both indexed (EIP-3009)."""
TRANSFER: Final = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
"""keccak256 of `Transfer(address,address,uint256)` (ERC-20)."""

_MOST_TOPICS: Final = 4


@dataclass(frozen=True, slots=True)
class Log:
    """One entry of a contract's log; addresses and topics in lower case."""

    address: str
    topics: tuple[str, ...]
    data: str
    index: int
    block: int
    transaction: str


def topic(address: str) -> str:
    """An address as an indexed parameter."""
    return "0x" + address[2:].lower().rjust(64, "0")


def logs_of(value: Json) -> tuple[Log, ...]:
    """The logs of a node's answer, in the order they were written. Raises `ChainUnclear`."""
    if not isinstance(value, list):
        raise ChainUnclear("logs are no list")
    return tuple(sorted(map(_log_of, value), key=lambda log: (log.block, log.index)))


def _log_of(value: Json) -> Log:
    """One log of a node's answer. Raises `ChainUnclear`."""
    entry = value if isinstance(value, dict) else {}
    address, topics, data = entry.get("address"), entry.get("topics"), entry.get("data")
    if not isinstance(address, str) or not is_address(address) or not isinstance(data, str):
        raise ChainUnclear("a log has no address or no data")
    if not isinstance(topics, list) or len(topics) > _MOST_TOPICS or entry.get("removed") is True:
        raise ChainUnclear("a log has no topics, or a reorganisation has removed it")
    return Log(
        address=address.lower(),
        topics=tuple(hash_of(each, "a topic") for each in topics),
        data=data,
        index=number_of(entry.get("logIndex"), "logIndex"),
        block=number_of(entry.get("blockNumber"), "blockNumber"),
        transaction=hash_of(entry.get("transactionHash"), "transactionHash"),
    )


def received(logs: Sequence[Log], token: str, authorization: Authorization) -> int | None:
    """What reached the payee by this authorization, in atomic units, from the logs of one transaction.

    None: the authorization was not used there.

    Raises:
        ChainUnclear: a transfer's amount cannot be read.
    """
    mine = [log for log in logs if log.address == token.lower() and log.topics]
    used = (AUTHORIZATION_USED, topic(authorization.payer), authorization.nonce.lower())
    start = next((at for at, log in enumerate(mine) if log.topics == used), None)
    if start is None:
        return None
    moved = (TRANSFER, topic(authorization.payer), topic(authorization.payee))
    total = 0
    for log in mine[start + 1 :]:
        if log.topics[0] == AUTHORIZATION_USED:
            break
        if log.topics == moved:
            total += number_of(log.data, "a transfer's amount")
    return total
