"""A vendor that lies, on a real socket: it passes calls on to an honest one, but for those that it spoils.

What it spoils has happened all the same: a paid order is passed on first, so the money is taken, and then the
answer is whatever the script says. That is the worst for whoever pays.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from types import TracebackType
from typing import Any, Self

import httpx

__all__ = ["At", "Canary", "Liar", "Scene", "Script"]


class At(Enum):
    """The calls of a purchase, in their order. `PAYMENT` is the order with a payment in it."""

    QUOTE = "quote"
    ORDER = "order"
    PAYMENT = "payment"
    STATUS = "status"


@dataclass(frozen=True)
class Scene:
    """A request, and what an honest vendor answered to it. `canary` is a URL that nobody must ever ask for."""

    headers: dict[str, str]
    honest: httpx.Response
    canary: str

    @property
    def json(self) -> dict[str, Any]:
        """The honest body."""
        found = json.loads(self.honest.content)
        assert isinstance(found, dict)
        return found

    @property
    def receipt(self) -> dict[str, str]:
        """The honest headers that say something about money."""
        names = ("payment-required", "payment-response", "x-payment-response")
        return {name: self.honest.headers[name] for name in names if name in self.honest.headers}


Script = Callable[[Scene], AsyncIterator[bytes]]
"""What is written to the socket; the connection is closed after it."""


class Listening:
    """A server on a free port of this machine, stopped by whoever started it."""

    def __init__(self) -> None:
        self.port = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._visit, "127.0.0.1", 0, limit=1024 * 1024)
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

    async def _visit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client has seen enough, or the test is over
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
            self._tasks.discard(task)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raise NotImplementedError


class Canary(Listening):
    """An internal service of ours. It sings when anybody connects."""

    def __init__(self) -> None:
        super().__init__()
        self.heard = 0

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heard += 1


@dataclass
class Seen:
    """What came in: how often each call was spoiled, and the payments that were held in hand."""

    spoiled: list[At] = field(default_factory=list)
    payments: set[str] = field(default_factory=set)
    cookies: list[str] = field(default_factory=list)


class Liar(Listening):
    """Passes everything on to `honest`, and spoils the calls that have a script."""

    def __init__(self, honest: str, canary: str, scripts: dict[At, Script]) -> None:
        super().__init__()
        self.seen = Seen()
        self._scripts = scripts
        self._canary = canary
        self._http = httpx.AsyncClient(base_url=honest, timeout=10, trust_env=False, verify=False)  # noqa: S501 (no TLS here)

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await super().__aexit__(kind, exc, trace)
        await self._http.aclose()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.strip().split("\r\n")
        method, target, _ = first.split(" ")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        at = _which(target, headers)
        self.seen.payments |= {headers[name] for name in ("payment-signature", "x-payment") if name in headers}
        self.seen.cookies += [headers["cookie"]] if "cookie" in headers else []
        if at in self._scripts:
            self.seen.spoiled.append(at)
        passed = {name: value for name, value in headers.items() if name not in ("connection", "content-length")}
        honest = await self._http.request(method, target, content=body, headers=passed)
        script = self._scripts.get(at, _honestly)
        async for piece in script(Scene(headers, honest, self._canary)):
            writer.write(piece)
            await writer.drain()


def _which(target: str, headers: dict[str, str]) -> At:
    if target.startswith("/quote"):
        return At.QUOTE
    if target.startswith("/job-status"):
        return At.STATUS
    return At.PAYMENT if "payment-signature" in headers or "x-payment" in headers else At.ORDER


async def _honestly(scene: Scene) -> AsyncIterator[bytes]:
    headers = {"content-type": "application/json", **scene.receipt}
    yield _message(scene.honest.status_code, scene.honest.content, headers)


def _message(status: int, body: bytes, headers: dict[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
