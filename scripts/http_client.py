"""HTTP to whom the person at the terminal names: vendors that are paid, and nodes that are asked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Final
from urllib.request import getproxies_environment

import httpx

from agent.book.errors import ConfigurationError
from x402.client import BoundedTransport

__all__ = ["http_client"]

MAX_ANSWER: Final = 64 * 1024 * 1024
"""Longest answer that is read, in bytes."""

_THIS_MACHINE: Final = ("localhost", "127.0.0.1", "::1")
CONNECT_SECONDS: Final = 10.0
ANSWER_SECONDS: Final = 180.0
"""How long an answer may take where a request says nothing else: a vendor may wait two minutes for the chain."""


@asynccontextmanager
async def http_client() -> AsyncIterator[httpx.AsyncClient]:
    """A client that follows nothing, keeps no cookies, and reads a bounded answer.

    https goes through the environment's proxy where there is one, which sees the host and not what is said; plain
    http, which is for this machine, does not.

    Raises:
        ConfigurationError: HTTPS_PROXY names no proxy.
    """
    transport = BoundedTransport(httpx.AsyncHTTPTransport(), MAX_ANSWER)
    cookies = CookieJar(DefaultCookiePolicy(allowed_domains=()))
    phases = httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS)
    async with httpx.AsyncClient(transport=transport, timeout=phases, cookies=cookies, mounts=_proxies()) as http:
        yield http


def _proxies() -> dict[str, httpx.AsyncBaseTransport | None]:
    """By pattern of httpx, the way of https: the proxy, and for hosts of NO_PROXY and this machine none."""
    told = getproxies_environment()
    proxy, direct = told.get("https") or told.get("all"), told.get("no", "").replace(" ", "").split(",")
    if not proxy or "*" in direct:
        return {}
    try:
        through = BoundedTransport(httpx.AsyncHTTPTransport(proxy=proxy), MAX_ANSWER)
        found: dict[str, httpx.AsyncBaseTransport | None] = {"https://": through}
        for host in (*_THIS_MACHINE, *filter(None, direct)):
            found |= dict.fromkeys(_patterns(host))
        httpx.AsyncClient(mounts=found, trust_env=False)
    except (ImportError, ValueError, httpx.InvalidURL):
        why = "HTTPS_PROXY or NO_PROXY cannot be used: name a proxy like http://host:3128"
        raise ConfigurationError(why) from None
    return found


def _patterns(host: str) -> tuple[str, ...]:
    """What an entry of NO_PROXY stands for: a name and those below it, or an address. Networks are passed over."""
    name = host.removeprefix(".")
    if "/" in name:
        return ()
    if name.count(":") > 1:
        return (f"https://[{name.strip('[]')}]",)
    return (f"https://{name}", f"https://*.{name}") if name[:1].isalpha() else (f"https://{name}",)
