"""Connections to vendors: to addresses that were checked, and to no others.

A name is resolved here, all addresses that it stands for are checked, and the connection is made to one of them,
not to the name, so nobody can answer differently in between. This lies below TLS and HTTP, which go on using the
name, and below anything that could redirect: whatever asks for a connection gets it here or not at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from ipaddress import ip_address
from typing import Final

import httpcore
import httpx

from net.addresses import Address, literal, why_refused_all
from net.names import Names
from net.tls import tls_context

__all__ = ["GuardedTransport"]

_MOST_TRIED: Final = 4
"""Addresses of one name that are tried. The time for connecting is shared among them."""

_CONNECTIONS: Final = 512  # more than a process has ticks under way: a slow vendor must not hold up others
_KEPT: Final = 64
_KEPT_SECONDS: Final = 5.0


class GuardedTransport(httpx.AsyncHTTPTransport):
    """httpx's transport over connections that are checked. It knows no proxies: one would connect in our stead.

    Raises:
        httpx.ConnectError: among others, where no address of the host may be called; the message says why.
    """

    def __init__(self, *, loopback: bool) -> None:
        """`loopback` allows vendors on this machine."""
        super().__init__(verify=tls_context())
        self._pool = httpcore.AsyncConnectionPool(  # httpx has no parameter for the backend
            ssl_context=tls_context(),
            max_connections=_CONNECTIONS,
            max_keepalive_connections=_KEPT,
            keepalive_expiry=_KEPT_SECONDS,
            network_backend=_CheckedNetwork(loopback=loopback),
        )


class _CheckedNetwork(httpcore.AsyncNetworkBackend):
    def __init__(self, *, loopback: bool) -> None:
        self._loopback = loopback
        self._names = Names()
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 (httpcore's face)
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        try:
            async with asyncio.timeout(timeout) as limit:
                addresses = await _addresses_of(self._names, host, port)
        except TimeoutError as exc:
            raise httpcore.ConnectTimeout(f"{host} was not resolved in time") from exc
        if why := why_refused_all(host, addresses, loopback=self._loopback):
            raise httpcore.ConnectError(why)
        failed: httpcore.ConnectError | httpcore.ConnectTimeout | None = None
        tried = addresses[:_MOST_TRIED]
        for position, address in enumerate(tried):
            until, now = limit.when(), asyncio.get_running_loop().time()
            share = None if until is None else max(0.0, until - now) / (len(tried) - position)
            try:
                return await self._network.connect_tcp(str(address), port, share, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as exc:
                failed = exc
        raise failed or httpcore.ConnectError(f"{host} has no address")


async def _addresses_of(names: Names, host: str, port: int) -> Sequence[Address]:
    """What `host` stands for, in the order in which the machine's resolver would have it tried, each once.

    Raises:
        httpcore.ConnectError: it stands for nothing, or is an address spelt so that programs differ on it.
    """
    try:
        known = literal(host)
    except ValueError:
        raise httpcore.ConnectError(f"{host} is neither a name nor an address") from None
    if known is not None:
        return (known,)
    try:
        found = await names.find(host, port)
    except (OSError, UnicodeError) as exc:
        raise httpcore.ConnectError(str(exc)) from exc
    return tuple(dict.fromkeys(ip_address(where[0]) for *_, where in found))
