"""A vendor on a real socket that does what a test tells it, decent or not: bytes are written as given."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

__all__ = ["DROP", "HANG", "Drip", "Raw", "Reply", "ScriptedVendor", "Seen", "reply"]


@dataclass(frozen=True)
class Raw:
    """Bytes as they go out; the connection is closed after them."""

    data: bytes


@dataclass(frozen=True)
class Drip:
    """`head`, then one more byte every few milliseconds, for as long as anybody reads."""

    head: bytes


@dataclass(frozen=True)
class Quiet:
    """No answer: the connection stays open, or is closed at once."""

    close: bool


Reply = Raw | Drip | Quiet

HANG = Quiet(close=False)
DROP = Quiet(close=True)


def reply(status: int, content: object = None, headers: Mapping[str, str] | None = None) -> Raw:
    """A decent HTTP answer; `content` is bytes, or anything that JSON can say."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return Raw("\r\n".join(lines).encode() + b"\r\n\r\n" + body)


@dataclass(frozen=True)
class Seen:
    """A request as it came in; header names in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> object:
        return json.loads(self.body)


@dataclass
class ScriptedVendor:
    """Answers each request with the next of its replies; the last one stays. Use as an async context manager."""

    replies: deque[Reply] = field(default_factory=deque)
    seen: list[Seen] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    port: int = 0
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def answers(self, *replies: Reply) -> None:
        """From now on, these in turn."""
        self.replies = deque(replies)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            self.seen.append(await _request(reader))
            self.asked.set()
            await _answer(self.replies.popleft() if len(self.replies) > 1 else self.replies[0], writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client has seen enough, or the test is over
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
            self._tasks.discard(task)


async def _request(reader: asyncio.StreamReader) -> Seen:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    first, *lines = head.strip().split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    return Seen(method, target, headers, await reader.readexactly(int(headers.get("content-length", "0"))))


async def _answer(answer: Reply, writer: asyncio.StreamWriter) -> None:
    if isinstance(answer, Quiet):
        if not answer.close:
            await asyncio.Event().wait()
        return
    writer.write(answer.head if isinstance(answer, Drip) else answer.data)
    await writer.drain()
    while isinstance(answer, Drip):
        await asyncio.sleep(0.01)
        writer.write(b" ")
        await writer.drain()
