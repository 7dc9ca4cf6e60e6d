"""Every error is `application/problem+json` (RFC 9457) with a stable `code`, and no stack trace goes out."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from agent.errors import (
    ConfigurationError,
    IdempotencyConflict,
    LeaseLost,
    PurserError,
    RunBusy,
    RunNotFound,
    StoreUnavailable,
    VendorExists,
    VendorNotFound,
)

__all__ = ["FieldError", "Problem", "ProblemError", "install", "responses"]

_log = logging.getLogger(__name__)

_MEDIA_TYPE: Final = "application/problem+json"
_TYPE: Final = "about:blank"


class FieldError(BaseModel):
    """One field at fault."""

    field: str = Field(
        description="The field, or `body`, `header.<name>`, `query.<name>`", examples=["budgetTotal"]
    )
    message: str = Field(description="what is wrong with it", examples=["must be greater than 0"])


class Problem(BaseModel):
    """The body of every error."""

    type: str = Field(description="always about:blank: the code says it", examples=["about:blank"])
    title: str = Field(description="what the code means", examples=["Unprocessable Content"])
    status: int = Field(description="the HTTP status", examples=[422])
    code: str = Field(description="Stable; what programs should look at", examples=["invalid_request"])
    detail: str = Field(
        description="what happened here, and what to do", examples=["budgetTotal: must be greater than 0"]
    )
    errors: list[FieldError] | None = Field(None, description="the fields at fault, where fields are")


CODES: Final[dict[str, tuple[int, str]]] = {
    "invalid_json": (400, "The body is not JSON"),
    "unauthorized": (401, "The bearer token is missing or wrong"),
    "run_not_found": (404, "There is no such run"),
    "vendor_not_found": (404, "There is no such vendor"),
    "not_found": (404, "There is no such route"),
    "method_not_allowed": (405, "The route does not take this method"),
    "run_busy": (409, "Another tick is at this run"),
    "idempotency_conflict": (409, "The Idempotency-Key was used for another request"),
    "vendor_exists": (409, "The vendor id is taken"),
    "body_too_large": (413, "The body is too large"),
    "unsupported_media_type": (415, "The body must be application/json"),
    "invalid_request": (422, "A field is missing, unknown or out of bounds"),
    "internal_error": (500, "A fault of ours"),
    "not_configured": (503, "A setting is missing"),
    "store_unavailable": (503, "The database is away"),
}
"""Every code that an answer may bear: its status and what it means."""


class ProblemError(HTTPException):
    """Answer this request with a problem. An HTTPException: FastAPI lets no other out of reading a body."""

    def __init__(
        self,
        code: str,
        detail: str,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """`code` is one of `CODES`, which also gives the status."""
        super().__init__(CODES[code][0], detail, headers)
        self.code, self.errors = code, errors


_OF_STATUS: Final = {404: "not_found", 405: "method_not_allowed", 413: "body_too_large", 400: "invalid_json"}

_ADVICE: Final = {
    "not_found": "there is no such route; GET /docs lists them",
    "method_not_allowed": "the route does not take this method; GET /docs lists what each takes",
}

_OF_ERROR: Final[dict[type[PurserError], str]] = {
    RunNotFound: "run_not_found",
    VendorNotFound: "vendor_not_found",
    RunBusy: "run_busy",
    LeaseLost: "run_busy",
    IdempotencyConflict: "idempotency_conflict",
    VendorExists: "vendor_exists",
    ConfigurationError: "not_configured",
    StoreUnavailable: "store_unavailable",
}


def responses(*codes: str) -> dict[int | str, dict[str, Any]]:
    """The error answers of a route, for its OpenAPI description."""
    found: dict[int | str, dict[str, Any]] = {}
    for code in codes:
        status, meaning = CODES[code]
        media: dict[str, Any] = {"schema": Problem.model_json_schema(), "examples": {}}
        entry = found.setdefault(status, {"description": "", "content": {_MEDIA_TYPE: media}})
        entry["description"] = "; ".join(filter(None, (entry["description"], f"`{code}`: {meaning}")))
        example = Problem(type=_TYPE, title=meaning, status=status, code=code, detail=meaning)
        entry["content"][_MEDIA_TYPE]["examples"][code] = {"value": example.model_dump(exclude_none=True)}
    return found


def install(app: FastAPI) -> None:
    """Turn every error that leaves a route into a problem."""
    app.add_exception_handler(ProblemError, _on_problem)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(PurserError, _on_ours)
    app.add_exception_handler(Exception, _on_fault)


def _answer(
    code: str, detail: str, errors: Sequence[FieldError] = (), headers: Mapping[str, str] | None = None
) -> JSONResponse:
    status, title = CODES[code]
    body = Problem(type=_TYPE, title=title, status=status, code=code, detail=detail, errors=list(errors) or None)
    return JSONResponse(
        body.model_dump(exclude_none=True),
        status_code=status,
        headers=dict(headers or {}),
        media_type=_MEDIA_TYPE,
    )


async def _on_problem(_: Request, exc: Exception) -> JSONResponse:
    assert isinstance(exc, ProblemError)
    return _answer(exc.code, exc.detail, exc.errors, exc.headers)


async def _on_invalid(_: Request, exc: Exception) -> JSONResponse:
    assert isinstance(exc, RequestValidationError)
    if any(error["type"] == "json_invalid" for error in exc.errors()):
        return _answer("invalid_json", "the body is not JSON; send one JSON object")
    errors = [FieldError(field=_field(error["loc"]), message=_message(error)) for error in exc.errors()]
    return _answer("invalid_request", "; ".join(f"{e.field}: {e.message}" for e in errors), errors)


async def _on_http(_: Request, exc: Exception) -> JSONResponse:
    assert isinstance(exc, HTTPException)
    code = _OF_STATUS.get(exc.status_code, "invalid_request")
    return _answer(code, _ADVICE.get(code, str(exc.detail)), headers=exc.headers)


async def _on_ours(_: Request, exc: Exception) -> JSONResponse:
    code = next((_OF_ERROR[kind] for kind in type(exc).__mro__ if kind in _OF_ERROR), "internal_error")
    retry_after = getattr(exc, "retry_after", 1 if isinstance(exc, LeaseLost) else None)
    headers = {"Retry-After": str(retry_after)} if retry_after is not None else None
    return _answer(code, str(exc), headers=headers)


async def _on_fault(_: Request, exc: Exception) -> JSONResponse:
    _log.error("a request ended in a fault of ours", exc_info=exc)
    # The server closes a connection on which something was raised: one who would use it again must know.
    headers = {"Connection": "close"}
    return _answer("internal_error", "a fault of ours; it is logged, try again later", headers=headers)


def _field(loc: Sequence[int | str]) -> str:
    place, *path = (str(part) for part in loc)
    name = ".".join(path)
    return (name or "body") if place == "body" else f"{place}.{name}"


def _message(error: Mapping[str, Any]) -> str:
    wording, bounds = _WORDING.get(error["type"]), error.get("ctx", {})
    return str(error["msg"]).removeprefix("Value error, ") if wording is None else wording.format(**bounds)


_WORDING: Final = {
    "extra_forbidden": "is not a field of this request",
    "missing": "is required",
    "string_type": "must be text",
    "string_too_short": "must not be empty",
    "string_too_long": "must be at most {max_length} characters",
    "string_pattern_mismatch": "has characters that are not allowed here, or too many; it must match {pattern}",
    "too_short": "must have at least {min_length} entries",
    "too_long": "must have at most {max_length} entries or characters",
    "int_parsing": "must be a whole number",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
}
"""pydantic's error types in words for the sender."""
