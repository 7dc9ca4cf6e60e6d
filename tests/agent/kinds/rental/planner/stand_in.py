"""A stand-in for Fireworks: an HTTP server on a free loopback port that answers what the test lays out."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

from pydantic import BaseModel

__all__ = ["DRIP", "DROP", "HANG", "Asked", "Reply", "StandIn", "completion", "stand_in"]


@dataclass(frozen=True)
class Reply:
    """What to answer to one request."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


HANG: Final = Reply(status=0)
"""Say nothing, for as long as the client stays."""

DROP: Final = Reply(status=-1)
"""Close the connection without an answer."""

DRIP: Final = Reply(status=-2)
"""A hundred bytes, one now and then: each in time, all of them too late."""


class Message(BaseModel):
    """A message of a chat."""

    role: str
    content: str


class Body(BaseModel):
    """What is looked at of the body of a request."""

    model: str
    messages: list[Message]
    response_format: dict[str, object]
    temperature: float
    max_tokens: int


@dataclass(frozen=True)
class Asked:
    """One request as it arrived."""

    target: str
    headers: Mapping[str, str]
    body: Body


class StandIn:
    """The server's script and what it was asked."""

    def __init__(self) -> None:
        self.replies: deque[Reply] = deque()
        self.asked: list[Asked] = []
        self.url = ""
        self._open: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read one request, answer it, close."""
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            await self._one(reader, writer)
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
            self._open.discard(task)

    async def hang_up(self) -> None:
        """End the connections that are open still: before Python 3.12 closing a server does not wait for them."""
        tasks = tuple(self._open)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:-2])}
            body = await reader.readexactly(int(headers["content-length"]))
            self.asked.append(Asked(head[0].split(" ")[1], headers, Body.model_validate_json(body)))
            await _answer(self.replies.popleft(), reader, writer)


async def _answer(reply: Reply, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    if reply is DROP:
        return
    if reply is HANG:
        await reader.read()
    elif reply is DRIP:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n")
        for _ in range(100):
            writer.write(b" ")
            await writer.drain()
            with suppress(TimeoutError):
                await asyncio.wait_for(reader.read(), 0.02)
    else:
        headers = {"content-length": str(len(reply.body)), "connection": "close", **reply.headers}
        lines = [f"HTTP/1.1 {reply.status} Status", *(f"{name}: {value}" for name, value in headers.items())]
        writer.write("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + reply.body)
        await writer.drain()


@asynccontextmanager
async def stand_in() -> AsyncIterator[StandIn]:
    """A running stand-in; gone, with its connections, at the end."""
    served = StandIn()
    server = await asyncio.start_server(served.serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()[:2]
    served.url = f"http://{host}:{port}/inference"
    async with server:
        try:
            yield served
        finally:
            await served.hang_up()


def completion(content: str, *, tokens: tuple[int, int] = (1_000, 50), finish_reason: str = "stop") -> Reply:
    """A chat completion that says `content`."""
    choice = {"index": 0, "finish_reason": finish_reason, "message": {"role": "assistant", "content": content}}
    usage = {"prompt_tokens": tokens[0], "completion_tokens": tokens[1], "total_tokens": sum(tokens)}
    body = {
        "id": "1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [choice],
        "usage": usage,
    }
    return Reply(body=json.dumps(body).encode(), headers={"content-type": "application/json"})
