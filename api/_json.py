"""JSON bodies, read so that money stays exact: numbers with a point become `Decimal`, never floats."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

from fastapi import Request, Response
from fastapi.routing import APIRoute

from api._problems import FieldError, ProblemError
from net.strict_json import load_exact_json

__all__ = ["MAX_BODY", "ExactRoute"]

MAX_BODY: Final = 64 * 1024
"""Bytes that a request body may have."""

BODY_SECONDS: Final = 20.0
"""How long it may take to come: whoever has not shown a key yet holds a connection for no longer."""

_WITH_BODY: Final = frozenset({"POST", "PATCH", "PUT"})


class _ExactRequest(Request):
    async def body(self) -> bytes:
        if not hasattr(self, "_body"):
            try:
                async with asyncio.timeout(BODY_SECONDS):
                    self._body = await self._bounded()
            except TimeoutError:
                raise ProblemError("body_too_slow", f"send the body within {BODY_SECONDS:g} s") from None
        return self._body

    async def _bounded(self) -> bytes:
        read = bytearray()
        async for chunk in self.stream():
            read += chunk
            if len(read) > MAX_BODY:
                raise ProblemError("body_too_large", f"send at most {MAX_BODY} bytes")
        return bytes(read)

    async def json(self) -> Any:
        if not hasattr(self, "_json"):
            body = await self.body()
            try:
                self._json = load_exact_json(body.decode())
            except ValueError as exc:
                why = "not UTF-8" if isinstance(exc, UnicodeDecodeError) else exc
                raise ProblemError(
                    "invalid_json", f"the body is not readable: {why}; send one JSON object"
                ) from None
        if not isinstance(self._json, dict):  # pydantic would read attributes off whatever else it is
            fault = FieldError(field="body", message="must be a JSON object")
            raise ProblemError("invalid_request", f"{fault.field}: {fault.message}", [fault])
        return self._json


class ExactRoute(APIRoute):
    """A route whose body must be JSON, said to be JSON, and is read exactly."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap FastAPI's handler."""
        handler = super().get_route_handler()

        async def exact(request: Request) -> Response:
            if request.method in _WITH_BODY and _has_body(request):
                _check_media_type(request.headers.get("content-type", ""))
            return await handler(_ExactRequest(request.scope, request.receive))

        return exact


def _has_body(request: Request) -> bool:
    headers = request.headers
    empty = "transfer-encoding" not in headers and headers.get("content-length", "0").strip() == "0"
    return "content-type" in headers or not empty


def _check_media_type(said: str) -> None:
    if said.partition(";")[0].strip().lower() != "application/json":
        raise ProblemError("unsupported_media_type", "send the body as Content-Type: application/json")
