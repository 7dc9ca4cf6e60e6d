"""Asks chains what a payer can pay with: its balance of each token, and whether its address has code there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from typing import Final, TypeVar

from x402.chain.ports import ChainReader
from x402.errors import ChainError, ChainUnavailable, ChainUnclear
from x402.keccak import checksum_address
from x402.networks import Asset
from x402.purse import Funds, HasCode

__all__ = ["MOST_TOKENS", "look_up"]

MOST_TOKENS: Final = 8
"""Tokens that are asked about for one purchase, the first ones: a seller decides how many it offers."""

_SECONDS: Final = 8.0
_DELEGATED: Final = bytes.fromhex("ef0100")  # EIP-7702: this, and the delegate's address
_NONE: Final[Mapping[Asset, int]] = {}

_T = TypeVar("_T")


async def look_up(
    chains: Mapping[str, ChainReader],
    payer: str,
    tokens: Sequence[Asset],
    promised: Mapping[Asset, int] = _NONE,
    *,
    seconds: float = _SECONDS,
) -> dict[Asset, Funds | HasCode | ChainError]:
    """The payer's purse for these tokens, so far as `chains` (by CAIP-2 id) can be read; nothing is raised.

    All questions are asked at once, each for at most `seconds`: one for each token, and one for each network.
    """
    readable = [token for token in tokens if token.network in chains]
    asked, left = readable[:MOST_TOKENS], readable[MOST_TOKENS:]
    networks = list(dict.fromkeys(token.network for token in asked))
    codes, held = await asyncio.gather(
        asyncio.gather(*(_within(chains[network].code(payer), network, seconds) for network in networks)),
        asyncio.gather(
            *(_within(chains[token.network].balance(token, payer), token.network, seconds) for token in asked)
        ),
    )
    code_on = dict(zip(networks, codes, strict=True))
    purse = {
        token: _entry(code_on[token.network], amount, promised.get(token, 0))
        for token, amount in zip(asked, held, strict=True)
    }
    too_many = ChainUnclear(f"no more than {MOST_TOKENS} tokens are asked about for one purchase")
    return {**purse, **dict.fromkeys(left, too_many)}


def _entry(code: bytes | ChainError, held: int | ChainError, promised: int) -> Funds | HasCode | ChainError:
    """Code counts even where the balance is not known: no balance would help."""
    if isinstance(code, bytes) and code:
        delegated = len(code) == len(_DELEGATED) + 20 and code.startswith(_DELEGATED)
        return HasCode(checksum_address("0x" + code[-20:].hex()) if delegated else None)
    if isinstance(code, ChainError):
        return code
    return held if isinstance(held, ChainError) else Funds(held, promised)


async def _within(question: Awaitable[_T], network: str, seconds: float) -> _T | ChainError:
    try:
        async with asyncio.timeout(seconds):
            return await question
    except TimeoutError:
        return ChainUnavailable(f"{network} did not answer in {seconds:g} s")
    except ChainError as exc:
        return exc
