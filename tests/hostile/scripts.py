"""What a lying vendor writes to its socket, put together from small parts, piece by piece."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from tests.hostile.liar import Scene, Script

__all__ = [
    "body",
    "drip",
    "edited",
    "headed",
    "honest_but",
    "hung",
    "pieces",
    "raw",
    "receipt",
    "redirect",
    "refusal",
    "terms",
    "text",
    "wrapped",
]

Change = Callable[[Scene, dict[str, Any]], object]
"""Edits the honest JSON in place; what it returns, if anything, is sent in its stead."""

PIECE = 64 * 1024
DRIP_SECONDS = 0.02


def raw(data: bytes) -> Script:
    """These bytes, then the connection closes."""
    return pieces(data, b"", 0)


def pieces(head: bytes, piece: bytes, times: int, tail: bytes = b"") -> Script:
    """`head`, the same piece so many times, `tail`."""

    async def script(scene: Scene) -> AsyncIterator[bytes]:
        yield head
        for _ in range(times):
            yield piece
        yield tail

    return script


def hung(head: bytes = b"") -> Script:
    """`head`, then nothing, and the connection stays open."""

    async def script(scene: Scene) -> AsyncIterator[bytes]:
        yield head
        await asyncio.Event().wait()

    return script


def drip(head: bytes, drop: bytes = b" ") -> Script:
    """`head`, then a drop now and then, for as long as anybody reads."""

    async def script(scene: Scene) -> AsyncIterator[bytes]:
        yield head
        while True:
            await asyncio.sleep(DRIP_SECONDS)
            yield drop

    return script


def headed(status: int, content: bytes, *lines: str, length: bool = True) -> bytes:
    """An HTTP answer as bytes."""
    head = [f"HTTP/1.1 {status} Whatever", "Content-Type: application/json", "Connection: close", *lines]
    head += [f"Content-Length: {len(content)}"] if length else []
    return "\r\n".join(head).encode("utf-8", "surrogateescape") + b"\r\n\r\n" + content


def body(content: bytes | str, status: int = 200) -> Script:
    """This body; what the honest answer says of money is said too."""

    async def script(scene: Scene) -> AsyncIterator[bytes]:
        data = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
        head = headed(status, data, *_lines(scene.receipt))
        yield head[: len(head) - len(data)]
        for start in range(0, len(data), PIECE):
            yield data[start : start + PIECE]

    return script


def honest_but(*lines: str, status: int | None = None) -> Script:
    """The honest answer with other headers too, or under another status."""

    async def script(scene: Scene) -> AsyncIterator[bytes]:
        yield headed(status or scene.honest.status_code, scene.honest.content, *_lines(scene.receipt), *lines)

    return script


def wrapped(wrap: Callable[[bytes], bytes], *lines: str, length: bool = True) -> Script:
    """The honest answer with its body changed byte by byte."""

    async def script(scene: Scene) -> AsyncIterator[bytes]:
        yield headed(
            scene.honest.status_code,
            wrap(scene.honest.content),
            *_lines(scene.receipt),
            *lines,
            length=length,
        )

    return script


def edited(change: Change) -> Script:
    """The honest JSON after `change`."""

    async def script(scene: Scene) -> AsyncIterator[bytes]:
        content = scene.json
        instead = change(scene, content)
        data = json.dumps(content if instead is None else instead).encode()
        yield headed(scene.honest.status_code, data, *_lines(scene.receipt))

    return script


def text(**fields: str) -> Script:
    """The honest JSON with fields replaced by JSON texts, as Python would not write them (NaN, 1e400)."""

    async def script(scene: Scene) -> AsyncIterator[bytes]:
        content = scene.json | {name: f"@{name}@" for name in fields}
        data = json.dumps(content)
        for name, value in fields.items():
            data = data.replace(f'"@{name}@"', value)
        yield headed(scene.honest.status_code, data.encode(), *_lines(scene.receipt))

    return script


def terms(change: Change) -> Script:
    """The honest 402 with the message in its header after `change`; the body says nothing."""
    return _message("payment-required", change)


def receipt(change: Change) -> Script:
    """The honest answer to a payment with its receipt after `change`."""
    return _message("payment-response", change)


def refusal(status: int, content: object) -> Script:
    """A clear no, whatever has been done with the money."""
    return raw(headed(status, json.dumps(content).encode()))


def redirect(status: int, target: str) -> Script:
    """Elsewhere; `{canary}` in the target is the internal service."""

    async def script(scene: Scene) -> AsyncIterator[bytes]:
        yield headed(status, b"{}", f"Location: {target.format(canary=scene.canary)}")

    return script


def _message(name: str, change: Change) -> Script:
    async def script(scene: Scene) -> AsyncIterator[bytes]:
        headers = dict(scene.receipt)
        message = json.loads(base64.b64decode(headers[name]))
        instead = change(scene, message)
        said = json.dumps(message if instead is None else instead, separators=(",", ":"))
        headers[name] = base64.b64encode(said.encode()).decode()
        content = b"{}" if name == "payment-required" else scene.honest.content
        yield headed(scene.honest.status_code, content, *_lines(headers))

    return script


def _lines(headers: Mapping[str, str]) -> list[str]:
    return [f"{name}: {value}" for name, value in headers.items()]
