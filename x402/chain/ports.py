"""What payers and facilitators want of a chain: balances, what became of an authorization, a transaction sent.

`authorizationState` alone says little: it is true for a used nonce and for a cancelled one (x402#3226). What
became of an authorization is told by the token's own logs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from x402.networks import Asset
from x402.wire import Authorization

__all__ = ["Block", "Cancelled", "ChainReader", "Fate", "Relayer", "Signed", "Unused", "Used"]


@dataclass(frozen=True, slots=True)
class Block:
    """A block: its number, its hash and its time in unix seconds. A chain's time never runs back."""

    number: int
    hash: str
    time: int


@dataclass(frozen=True, slots=True)
class Unused:
    """Neither used nor cancelled as of `seen`.

    If `seen.time` is `valid_before` or later, it never will be: the token wants a block before that.
    """

    seen: Block

    def for_ever(self, valid_before: int) -> bool:
        """Whether it can no longer be used. Says the chain's clock, nobody else's."""
        return self.seen.time >= valid_before


@dataclass(frozen=True, slots=True)
class Used:
    """Used by `transaction` in the block `number`. `received` is what reached the payee, in atomic units."""

    transaction: str
    number: int
    received: int


@dataclass(frozen=True, slots=True)
class Cancelled:
    """Cancelled by the payer, by `transaction`. No money moved and none can."""

    transaction: str


Fate: TypeAlias = Unused | Used | Cancelled


class ChainReader(Protocol):
    """One chain, read only. Every method raises `ChainError`, and then nothing is known."""

    async def head(self) -> Block:
        """The newest block."""
        ...

    async def balance(self, token: Asset, owner: str) -> int:
        """What `owner` holds now, in atomic units."""
        ...

    async def code(self, owner: str) -> bytes:
        """The code at `owner`, empty for a plain key. That it is empty may be some minutes old."""
        ...

    async def fate(self, token: Asset, authorization: Authorization, named: str | None = None) -> Fate:
        """What became of an authorization, as of a block that has the confirmations asked for.

        `named` is a transaction that is said to have used it, where one is: it is looked at first.
        """
        ...


@dataclass(frozen=True, slots=True)
class Signed:
    """A transaction that may be sent, as often as need be. Its hash is known before it is sent."""

    transaction: str
    raw: bytes = field(repr=False)


class Relayer(Protocol):
    """An account that sends transactions and pays their gas. Raises `ChainError`."""

    async def sign(self, to: str, data: bytes) -> Signed:
        """A transaction with this call, after all that this account has sent. Nothing is sent.

        Two that are signed before either is sent have the same nonce, and only one of them can be mined.
        """
        ...

    async def send(self, signed: Signed) -> bool:
        """Hand it to a node. False: another transaction has its nonce, so it must be signed anew.

        After `ChainUnavailable` the node may have it.
        """
        ...
