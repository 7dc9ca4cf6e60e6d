"""Connections that never finish a request hold up nobody."""

from __future__ import annotations

import asyncio
import logging
import resource
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn

from scripts.serve import bounded_protocol
from scripts.serve.bounded_protocol import BoundedProtocol, OncePerSecond, most_connections

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answers everything with ok."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@asynccontextmanager
async def serving(most: int = 100) -> AsyncIterator[int]:
    """The app behind the protocol on a free port."""
    protocol = type("Bounded", (BoundedProtocol,), {"most": most})
    config = uvicorn.Config(app, http=protocol, log_config=None, lifespan="off")
    config.load()
    state = uvicorn.Server(config).server_state
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: protocol(config, state, {}), "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def answered(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(5):
        return (await reader.readuntil(b"\r\n\r\n"))[9:12] + await reader.readexactly(2)


async def _served(port: int) -> bool:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(GET)
    try:
        return await answered(reader) == b"200ok"
    except (asyncio.IncompleteReadError, ConnectionError):
        return False
    finally:
        writer.close()


async def closed(reader: asyncio.StreamReader) -> bool:
    async with asyncio.timeout(5):
        try:
            return await reader.read(1) == b""
        except ConnectionError:
            return True


async def test_a_head_that_drips_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """So has one that never begins, and the second one of a connection."""
    monkeypatch.setattr(bounded_protocol, "HEAD_SECONDS", 0.2)
    async with serving() as port:
        silent, _ = await asyncio.open_connection("127.0.0.1", port)
        dripping, drips = await asyncio.open_connection("127.0.0.1", port)
        kept, keeps = await asyncio.open_connection("127.0.0.1", port)
        drips.write(GET[:10])
        keeps.write(GET)
        assert await answered(kept) == b"200ok"
        keeps.write(GET[:10])
        assert [await closed(each) for each in (silent, dripping, kept)] == [True, True, True]


async def test_who_is_in_time_is_served_as_often_as_he_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time-out is one of a head, and not of a connection."""
    monkeypatch.setattr(bounded_protocol, "HEAD_SECONDS", 0.3)
    async with serving() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        loop = asyncio.get_running_loop()
        until = loop.time() + 0.8
        while loop.time() < until:
            writer.write(GET)
            assert await answered(reader) == b"200ok"
        writer.close()


async def test_there_is_a_most_of_connections(caplog: pytest.LogCaptureFixture) -> None:
    """More are closed at once, with a line a second at the most; when some have gone others may come."""
    async with serving(most=2) as port:
        kept = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        for _ in range(5):
            assert await closed((await asyncio.open_connection("127.0.0.1", port))[0])
        assert sum("connections refused" in each.message for each in caplog.records) == 1
        kept[0][1].close()
        await kept[0][1].wait_closed()
        async with asyncio.timeout(5):
            while not await _served(port):
                pass


def test_the_most_leaves_descriptors_for_all_else() -> None:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert 8 <= most_connections() < soft or soft < 200


def test_a_line_that_comes_thousands_of_times_is_written_once_a_second() -> None:
    now = 0.0
    once = OncePerSecond("out of", lambda: now)
    lines = [logging.LogRecord("asyncio", logging.ERROR, "", 0, text, (), None) for text in ("out of x", "other")]
    assert [once.filter(each) for each in lines * 3] == [True, True, False, True, False, True]
    now = 1.0
    assert once.filter(lines[0])
