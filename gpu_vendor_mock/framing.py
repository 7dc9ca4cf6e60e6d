"""Refusing a request whose body has two lengths, before anything is read of it."""

from __future__ import annotations

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from gpu_vendor_mock.answer import Answer

__all__ = ["OneLength"]


class OneLength:
    """Closes the connection where `Content-Length` stands beside `Transfer-Encoding` (RFC 9112, 6.3): a proxy may
    go by the one and the server by the other, and then they see different requests in the same bytes.
    """

    def __init__(self, app: ASGIApp) -> None:
        """Around the app."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        names = {name for name, _ in scope.get("headers", ())}
        if not {b"content-length", b"transfer-encoding"} <= names:
            await self._app(scope, receive, send)
            return
        why = "send Content-Length or Transfer-Encoding, not both; this connection is closed"
        refusal = Answer.error(400, "two_lengths", why)
        response = Response(refusal.body, refusal.status, {"connection": "close"}, media_type="application/json")
        await response(scope, receive, send)
