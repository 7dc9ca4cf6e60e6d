"""Closing a connection without an answer, which ASGI has no message for.

The server puts a way to abort the connection into each request's scope, as an ASGI extension (see server.py); the
response here uses it.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import Final

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["ConnectionDropped", "NoAnswer", "with_abort"]

_EXTENSION: Final = "gpu_vendor_mock.abort"


class ConnectionDropped(ConnectionResetError):
    """What a caller without a socket (an app driven in memory) sees in place of a closed connection."""


class NoAnswer(Response):
    """A response that is none: the connection closes and not a byte is sent.

    Raises:
        ConnectionDropped: where the server cannot close connections.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  nothing is sent
        abort = scope.get("extensions", {}).get(_EXTENSION)
        if abort is None:
            raise ConnectionDropped("the mock vendor dropped the connection")
        abort()
        # Until the loop has told the server of the loss, a return without a response would make it answer 500.
        while (await receive())["type"] != "http.disconnect":
            pass


def with_abort(app: ASGIApp, abort: Callable[[], None]) -> ASGIApp:
    """`app`, able to close the connection that `abort` closes."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        extensions: MutableMapping[str, object] = scope.setdefault("extensions", {})
        extensions[_EXTENSION] = abort
        await app(scope, receive, send)

    return wrapped
