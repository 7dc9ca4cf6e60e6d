"""JSON-RPC to the nodes of one chain: bounded in time and tries, checked to be that chain, errors translated.

Plain httpx, because a function that starts cold pays for every import (docs/decisions/0009). A node's URL often
holds an API key, so no error shows more of it than the host.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import unquote

import httpx

from net.strict_json import Json, load_json, to_json
from x402.chain.urls import check_url
from x402.codec import clean
from x402.errors import ChainError, ChainUnavailable, ChainUnclear, ResponseRefused, WrongChain

__all__ = ["JsonRpc", "RpcRefused", "hash_of", "number_of"]

_CALL_SECONDS: Final = 10.0
_TRY_SECONDS: Final = 5.0
_ROUNDS: Final = 2
_PAUSE_SECONDS: Final = 0.25
_QUANTITY: Final = re.compile(r"0x[0-9a-fA-F]{1,64}")
_HASH: Final = re.compile(r"0x[0-9a-fA-F]{64}")
_SECRET: Final = re.compile(r"[^/?&=:@]{8,}")


class RpcRefused(ChainUnclear):
    """A node answered a call with an error of JSON-RPC."""


class JsonRpc:
    """The nodes of one chain; each call goes to the first that answers it, and the one that last did comes first.

    The client's transport should be a `BoundedTransport`, and belongs to whoever made it.
    """

    def __init__(self, http: httpx.AsyncClient, urls: Sequence[str], chain: int) -> None:
        """`chain` is the number that every node must answer `eth_chainId` with. Raises `ValueError`."""
        if not urls:
            raise ValueError("a chain is read through at least one URL")
        self._http = http
        self._urls = tuple(map(check_url, urls))
        self._chain = chain
        self._right: set[str] = set()
        self._first = 0

    def __repr__(self) -> str:
        return f"JsonRpc({self._chain} at {', '.join(map(_host, self._urls))})"

    async def call(self, method: str, *params: Json) -> Json:
        """The result of a call that changes nothing, or that may be made twice.

        Raises:
            ChainUnavailable: no node answered, in 10 seconds at the most.
            ChainUnclear: the last one that answered said nothing of use; `RpcRefused` if it refused the call.
            WrongChain: a node serves another chain.
        """
        last: ChainError = ChainUnavailable(f"{self!r} gave no answer to {method}")
        first = self._first
        try:
            async with asyncio.timeout(_CALL_SECONDS):
                for round_ in range(_ROUNDS):
                    if round_:
                        await asyncio.sleep(_PAUSE_SECONDS)
                    for turn in range(len(self._urls)):
                        at = (first + turn) % len(self._urls)
                        try:
                            await self._check_chain(self._urls[at])
                            result = await self._ask(self._urls[at], method, params)
                            self._first = at
                            return result
                        except WrongChain:
                            raise
                        except ChainError as exc:
                            last = exc
        except TimeoutError as exc:
            raise ChainUnavailable(f"{self!r} gave no answer to {method} in {_CALL_SECONDS:g} s") from exc
        raise last

    async def _check_chain(self, url: str) -> None:
        if url in self._right:
            return
        served = number_of(await self._ask(url, "eth_chainId", ()), "eth_chainId")
        if served != self._chain:
            raise WrongChain(f"the node at {_host(url)} serves chain {served}, not {self._chain}")
        self._right.add(url)

    async def _ask(self, url: str, method: str, params: Sequence[Json]) -> Json:
        order = to_json({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        headers = {"Content-Type": "application/json"}
        try:
            async with asyncio.timeout(_TRY_SECONDS):  # httpx counts each read anew
                response = await self._http.post(
                    url, content=order, headers=headers, timeout=_TRY_SECONDS, follow_redirects=False
                )
        except (httpx.HTTPError, TimeoutError, ResponseRefused) as exc:
            raise ChainUnavailable(f"{_host(url)} gave no answer to {method}: {type(exc).__name__}") from None
        return _result(url, method, response)


def number_of(value: Json, what: str) -> int:
    """A quantity of JSON-RPC. Raises `ChainUnclear`."""
    if not isinstance(value, str) or not _QUANTITY.fullmatch(value):
        raise ChainUnclear(f"{what} is no number")
    return int(value, 16)


def hash_of(value: Json, what: str) -> str:
    """32 bytes, in lower case. Raises `ChainUnclear`."""
    if not isinstance(value, str) or not _HASH.fullmatch(value):
        raise ChainUnclear(f"{what} is no hash")
    return value.lower()


def _result(url: str, method: str, response: httpx.Response) -> Json:
    try:
        answer = load_json(response.content.decode())
    except ValueError:
        answer = None
    error = answer.get("error") if isinstance(answer, dict) else None
    if isinstance(error, dict) and response.status_code != httpx.codes.TOO_MANY_REQUESTS:
        said = _without_secrets(str(error.get("message", "no reason given")), url)
        raise RpcRefused(f"{_host(url)} refuses {method}: {said}")
    if response.status_code != httpx.codes.OK:
        raise ChainUnavailable(f"{_host(url)} answered {method} with status {response.status_code}")
    if not isinstance(answer, dict) or "result" not in answer:
        raise ChainUnclear(f"{_host(url)} answered {method} with no result")
    result: Json = answer["result"]
    return result


def _host(url: str) -> str:
    return httpx.URL(url).netloc.decode("ascii")


def _without_secrets(text: str, url: str) -> str:
    """A node's text; a provider may quote the key that stands in the URL."""
    rest = url.partition("://")[2].partition("/")[2]
    for secret in {*_SECRET.findall(rest), *_SECRET.findall(unquote(rest))}:
        text = text.replace(secret, "***")
    return clean(text, 200)
