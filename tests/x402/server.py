"""A real HTTP server on a free loopback port, for clients to talk to; it runs in the test's own event loop."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from net.strict_json import JsonObject, to_json


@dataclass(frozen=True, slots=True)
class Seen:
    """A request as it came over the socket; header names in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """What the server says; None for a `body` closes the connection without an answer."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = b"{}"


def json_reply(message: JsonObject, status: int = 200) -> Reply:
    return Reply(status, {"Content-Type": "application/json"}, to_json(message))


Handler = Callable[[Seen], Awaitable[Reply]]


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[str]:
    """The base URL of a server that answers with `handler`, until the block ends."""

    connections: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                request_line, *lines = head.rstrip("\r\n").split("\r\n")
                headers = {
                    name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
                }
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                method, path, _ = request_line.split(" ")
                reply = await handler(Seen(method, path, headers, body))
                if reply.body is None:
                    return
                sent = {"Content-Length": str(len(reply.body)), **reply.headers}
                status = f"HTTP/1.1 {reply.status} X\r\n" + "".join(f"{k}: {v}\r\n" for k, v in sent.items())
                body_out = reply.body
                if re.search(r"transfer-encoding", status, re.IGNORECASE):
                    body_out = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body_out), body_out)
                    status = re.sub(r"Content-Length: \d+\r\n", "", status)
                writer.write(status.encode() + b"\r\n" + body_out)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # the client went away, or the block ended
        finally:
            writer.close()
            with suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.close()
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections)
