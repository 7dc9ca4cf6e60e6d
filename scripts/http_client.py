"""HTTP to whom the person at the terminal names: vendors that are paid, and nodes that are asked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Final

import httpx

from x402.client import BoundedTransport

__all__ = ["http_client"]

MAX_ANSWER: Final = 64 * 1024 * 1024
"""Longest answer that is read, in bytes."""

CONNECT_SECONDS: Final = 10.0
ANSWER_SECONDS: Final = 180.0
"""How long an answer may take where a request says nothing else: a vendor may wait two minutes for the chain."""


@asynccontextmanager
async def http_client() -> AsyncIterator[httpx.AsyncClient]:
    """A client that follows nothing, keeps no cookies, and reads a bounded answer."""
    transport = BoundedTransport(httpx.AsyncHTTPTransport(), MAX_ANSWER)
    cookies = CookieJar(DefaultCookiePolicy(allowed_domains=()))
    phases = httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS)
    async with httpx.AsyncClient(transport=transport, timeout=phases, cookies=cookies) as http:
        yield http
