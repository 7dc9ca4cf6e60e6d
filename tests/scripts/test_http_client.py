"""The client for whom the person at the terminal names: through the environment's proxy, where there is one."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from agent.book.errors import ConfigurationError
from scripts.http_client import http_client


class Proxy:
    """Notes who is asked for, and lets nobody through."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked.append((await reader.readline()).split(b" HTTP")[0])
        writer.write(b"HTTP/1.1 502 No\r\n\r\n")
        writer.close()


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment without proxies."""
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.mark.parametrize(
    ("url", "no_proxy", "through"),
    [
        ("https://seller.invalid/x", "", True),
        ("https://api.seller.invalid/x", "other.invalid", True),
        ("https://seller.invalid/x", "seller.invalid", False),
        ("https://api.seller.invalid/x", ".seller.invalid", False),
        ("https://seller.invalid/x", "*", False),
        ("https://127.0.0.1:1/x", "", False),
        ("https://seller.invalid/x", "localhost,127.0.0.1,::1,[::1],10.0.0.0/8, .internal", True),
        ("https://localhost:1/x", "", False),
        ("http://127.0.0.1:1/x", "", False),
    ],
)
async def test_https_goes_through_the_proxy_of_the_environment(
    clean: pytest.MonkeyPatch, url: str, no_proxy: str, through: bool
) -> None:
    """TLS goes through it unread; this machine and what NO_PROXY names are asked directly."""
    proxy = Proxy()
    server = await asyncio.start_server(proxy, "127.0.0.1", 0)
    async with server:
        clean.setenv("HTTPS_PROXY", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        clean.setenv("NO_PROXY", no_proxy)
        async with http_client() as http:
            with pytest.raises(httpx.HTTPError):
                await http.get(url)
    host = httpx.URL(url).host.encode()
    assert proxy.asked == ([b"CONNECT " + host + b":443"] if through else [])


async def test_a_proxy_that_is_none_is_named(clean: pytest.MonkeyPatch) -> None:
    for proxy in ("gopher://nowhere", "socks5://127.0.0.1:1080"):
        clean.setenv("HTTPS_PROXY", proxy)
        with pytest.raises(ConfigurationError, match="HTTPS_PROXY"):
            async with http_client():
                pass
