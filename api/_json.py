"""JSON bodies, read so that money stays exact: numbers with a point become `Decimal`, never floats."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from decimal import Decimal
from typing import Any, Final, NoReturn

from fastapi import Request, Response
from fastapi.routing import APIRoute

from api._problems import ProblemError
from x402.codec import check_depth

__all__ = ["MAX_BODY", "ExactRoute"]

MAX_BODY: Final = 64 * 1024
"""Bytes that a request body may have."""

_WITH_BODY: Final = frozenset({"POST", "PATCH", "PUT"})


class _ExactRequest(Request):
    async def body(self) -> bytes:
        if not hasattr(self, "_body"):
            read = bytearray()
            async for chunk in self.stream():
                read += chunk
                if len(read) > MAX_BODY:
                    raise ProblemError("body_too_large", f"send at most {MAX_BODY} bytes")
            self._body = bytes(read)
        return self._body

    async def json(self) -> Any:
        if not hasattr(self, "_json"):
            body = await self.body()
            try:
                text = body.decode()
                check_depth(text)
                self._json = json.loads(
                    text,
                    parse_float=Decimal,
                    parse_constant=_refuse_constant,
                    object_pairs_hook=_refuse_twins,
                )
            except ValueError as exc:
                detail = f"the body is not JSON that we take: {exc}; send one JSON object"
                raise ProblemError("invalid_json", detail[:300]) from None
        return self._json


class ExactRoute(APIRoute):
    """A route whose body must be JSON, said to be JSON, and is read exactly."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap FastAPI's handler."""
        handler = super().get_route_handler()

        async def exact(request: Request) -> Response:
            if request.method in _WITH_BODY:
                _check_media_type(request.headers.get("content-type", ""))
            return await handler(_ExactRequest(request.scope, request.receive))

        return exact


def _check_media_type(said: str) -> None:
    if said.partition(";")[0].strip().lower() != "application/json":
        raise ProblemError("unsupported_media_type", "send the body as Content-Type: application/json")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _refuse_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return found
