"""What holds for every request and every answer, whatever the route: ids, limits, headers, faults and the log.

It is the outermost layer but one: Starlette's own comes before it, which would answer faults without these headers
and let the server log them a second time. Here they are answered, and go no further.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Callable
from typing import Final
from urllib.parse import parse_qsl, unquote

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agent.process.logs import about
from api._problems import FieldError, ProblemError, fault, problem

__all__ = ["MAX_HEADERS", "MAX_URL", "Envelope"]

MAX_URL: Final = 8 * 1024
"""Bytes that path and query may have together."""

MAX_HEADERS: Final = 32 * 1024
"""Bytes that the names and values of all headers may have together."""

MAX_PARAMETERS: Final = 100
"""Parameters that a query may have."""

_log = logging.getLogger(__name__)

_ID: Final = "x-request-id"
_WELL_FORMED: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_SLASH: Final = re.compile(rb"%2[Ff]")
_SHOWN_PATH: Final = 200
_SHOWN_METHOD: Final = 20
"""Longer than any method there is. A server may pass on one of 64 KB, and a line is searched for secrets whole."""

_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Of every answer. No script runs, on our own page neither, which has a style sheet (`api._docs`) and no more. No
Access-Control headers: other sites' pages read nothing."""

_HSTS: Final = {"Strict-Transport-Security": "max-age=63072000"}


class Envelope:
    """Pure ASGI around the app."""

    def __init__(
        self, app: ASGIApp, *, monotonic: Callable[[], float], new_id: Callable[[], str], deployed: bool
    ) -> None:
        """`deployed`: strangers reach us over https only, and browsers are told to keep to it."""
        self._app = app
        self._monotonic = monotonic
        self._new_id = new_id
        self._deployed = deployed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get(_ID, "")
        request_id = given if _WELL_FORMED.fullmatch(given) else self._new_id()
        scope.setdefault("state", {})["request_id"] = request_id
        head = scope["method"] == "HEAD"
        if head:  # as to GET, without a body (RFC 9110, 9.3.2); FastAPI answers neither by itself
            scope = {**scope, "method": "GET"}
        secure = self._deployed or scope.get("scheme") == "https"
        answer = _Answer(
            _without_body(send) if head else send, {**_HEADERS, **(_HSTS if secure else {})}, request_id
        )
        began = self._monotonic()
        with about(requestId=request_id):
            try:
                await self._serve(scope, receive, answer)
            finally:
                took = round((self._monotonic() - began) * 1_000)
                method, path = (
                    "HEAD" if head else scope["method"][:_SHOWN_METHOD],
                    str(scope.get("path", ""))[:_SHOWN_PATH],
                )
                shown = {"method": method, "path": path, "status": answer.status, "ms": took}
                _log.info("request", extra=shown)

    async def _serve(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        try:
            _check_framing(scope)
            _check_size(scope)
            scope = {**scope, "path": _path(scope)}
            _check_query(scope.get("query_string", b""))
            await self._app(scope, receive, answer)
        except ProblemError as exc:
            await problem(scope, exc)(scope, receive, answer)
        except Exception as exc:
            _log.error("a request ended in a fault of ours", exc_info=exc)
            if answer.status is not None:
                raise  # too late for another answer: the server breaks this one off
            await fault(scope)(scope, receive, answer)


def _without_body(send: Send) -> Send:
    async def heads(message: Message) -> None:
        await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

    return heads


class _Answer:
    """Sends, with our headers; knows the status once it is out."""

    def __init__(self, send: Send, headers: dict[str, str], request_id: str) -> None:
        self.status: int | None = None
        self._send = send
        self._headers = headers
        self._request_id = request_id

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in self._headers.items():
                headers.setdefault(name, value)
            headers[_ID] = self._request_id
        await self._send(message)


def _check_framing(scope: Scope) -> None:
    """A body has one length. Of two, a proxy may go by the one and the server by the other: what is a part of the
    body to the first is another request to the second. The connection is closed (RFC 9112, 6.3)."""
    if {b"content-length", b"transfer-encoding"} <= {name.lower() for name, _ in scope["headers"]}:
        raise ProblemError(
            "two_lengths",
            "send Content-Length or Transfer-Encoding, not both; this connection is closed",
            headers={"Connection": "close"},
        )


def _path(scope: Scope) -> str:
    """The path decoded, but for encoded slashes: such a one belongs to its segment, it separates nothing (RFC
    3986, 2.2). Servers decode it too, and what is one segment to a proxy in front would be two to the routes here.
    """
    path: str = scope["path"]
    raw: bytes = scope.get("raw_path") or b""
    if not _SLASH.search(raw):
        return path
    return unquote(_SLASH.sub(b"%252F", raw).decode("utf-8", "replace"))


def _check_size(scope: Scope) -> None:
    url = len(scope.get("raw_path") or scope["path"].encode()) + len(scope.get("query_string", b""))
    if url > MAX_URL:
        raise ProblemError("uri_too_long", f"path and query may have {MAX_URL} bytes; send less")
    if sum(len(name) + len(value) for name, value in scope["headers"]) > MAX_HEADERS:
        raise ProblemError("headers_too_large", f"all headers together may have {MAX_HEADERS} bytes; send less")


def _check_query(query: bytes) -> None:
    """No route takes a list: of a parameter that is given twice, one would be ignored without a word."""
    if not query:
        return
    try:
        pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True, max_num_fields=MAX_PARAMETERS)
    except ValueError:
        raise ProblemError("invalid_request", f"a query may have {MAX_PARAMETERS} parameters") from None
    twice = [name for name, times in Counter(name for name, _ in pairs).items() if times > 1]
    if twice:
        errors = [FieldError(field=f"query.{name}", message="must be given once") for name in twice]
        raise ProblemError("invalid_request", "; ".join(f"{e.field}: {e.message}" for e in errors), errors)
