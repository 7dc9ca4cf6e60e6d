"""Every error is `application/problem+json` (RFC 9457) with a stable `code`, and no stack trace goes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.routing import compile_path
from starlette.types import Scope

from agent.book.errors import (
    ConfigurationError,
    IdempotencyConflict,
    KeyNotFound,
    LeaseLost,
    PurserError,
    RateLimited,
    RunBusy,
    RunNotFound,
    RunUnreadable,
    StoreUnavailable,
    TooManyRuns,
    VendorExists,
    VendorNotFound,
)

__all__ = ["ADVICE", "CODES", "FieldError", "Problem", "ProblemError", "fault", "install", "problem", "responses"]

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
    requestId: str | None = Field(  # noqa: N815
        None, description="of this request, as in X-Request-Id: name it to who keeps the logs", examples=["9f2c"]
    )


CODES: Final[dict[str, tuple[int, str]]] = {
    "invalid_json": (400, "The body is not JSON"),
    "two_lengths": (400, "The body has two lengths"),
    "unauthorized": (401, "The bearer token is missing or wrong"),
    "forbidden": (403, "The API key does not allow this"),
    "run_not_found": (404, "There is no such run"),
    "vendor_not_found": (404, "There is no such vendor"),
    "key_not_found": (404, "There is no such API key"),
    "not_found": (404, "There is no such route"),
    "method_not_allowed": (405, "The route does not take this method"),
    "body_too_slow": (408, "The body did not come in time"),
    "run_busy": (409, "Another tick is at this run"),
    "idempotency_conflict": (409, "The Idempotency-Key was used for another request"),
    "vendor_exists": (409, "The vendor id is taken"),
    "no_job_there": (409, "The run has had no job at this vendor"),
    "body_too_large": (413, "The body is too large"),
    "uri_too_long": (414, "Path and query are too long"),
    "unsupported_media_type": (415, "The body must be application/json"),
    "invalid_request": (422, "A field is missing, unknown or out of bounds"),
    "rate_limited": (429, "The API key has made its requests of this minute"),
    "too_many_runs": (429, "The API key has as many runs under way as it may have"),
    "headers_too_large": (431, "The headers are too large"),
    "run_unreadable": (500, "What is stored of the run cannot be read"),
    "internal_error": (500, "A fault of ours"),
    "not_configured": (503, "A setting is missing"),
    "store_unavailable": (503, "The database is away"),
}
"""Every code that an answer may bear: its status and what it means."""

ADVICE: Final[dict[str, str]] = {
    "invalid_json": "send one JSON object, UTF-8, no key twice, no NaN; `detail` says where reading ended",
    "two_lengths": "send `Content-Length` or `Transfer-Encoding`, on a new connection; nothing was done",
    "unauthorized": "send `Authorization: Bearer` with a token that is valid here; trying again is in vain",
    "forbidden": "use a key that has the scope, or the user, that the detail names",
    "run_not_found": "look for the id in `GET /api/runs`",
    "vendor_not_found": "look for the id in `GET /api/vendors`",
    "key_not_found": "`GET /api/keys` lists the keys there are",
    "not_found": "look for the route in `/openapi.json`",
    "method_not_allowed": "use one of the methods in `Allow`",
    "body_too_slow": "send the same again; nothing was done",
    "run_busy": "wait for `Retry-After` seconds, then send the same again; nothing is lost",
    "idempotency_conflict": "send a new key for a new run, or the first request again",
    "vendor_exists": "take another id, or change that vendor with `PATCH`",
    "no_job_there": "name a run with a job at that vendor; `GET /api/agent-status` shows a run's jobs",
    "body_too_large": "send at most 64 KB",
    "uri_too_long": "send path and query with at most 8 KB together",
    "unsupported_media_type": "send `Content-Type: application/json`",
    "invalid_request": "mend the fields that `errors` names; nothing was done",
    "rate_limited": "wait for the seconds of `Retry-After`: the next minute",
    "too_many_runs": "wait until a run has ended, or cancel one, then send the same again; nothing was started",
    "headers_too_large": "send at most 32 KB of headers",
    "run_unreadable": "for who runs the server: run the version that wrote it; the log has the fields at fault",
    "internal_error": "try again later; give `requestId` to who runs the server, whose log has the rest",
    "not_configured": "for who runs the server: set what `detail` names",
    "store_unavailable": "wait for `Retry-After` seconds; a start with an Idempotency-Key may be sent again",
}
"""What a caller should do about each: docs/api.md has it."""


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
    "not_found": "there is no such route; GET /openapi.json lists them",
    "method_not_allowed": "the route does not take this method; Allow says which it takes",
}

_OF_ERROR: Final[dict[type[PurserError], str]] = {
    RunNotFound: "run_not_found",
    RunUnreadable: "run_unreadable",
    VendorNotFound: "vendor_not_found",
    KeyNotFound: "key_not_found",
    RateLimited: "rate_limited",
    RunBusy: "run_busy",
    LeaseLost: "run_busy",
    IdempotencyConflict: "idempotency_conflict",
    VendorExists: "vendor_exists",
    ConfigurationError: "not_configured",
    StoreUnavailable: "store_unavailable",
    TooManyRuns: "too_many_runs",
}


_ANYWHERE: Final = ("two_lengths", "uri_too_long", "invalid_request", "headers_too_large", "internal_error")


@cache
def _schema() -> dict[str, Any]:
    """The schema of `Problem`, with what it refers to written out: FastAPI hoists the definitions of its own
    models only, and a reference to `#/$defs` leads nowhere in its document."""
    schema = Problem.model_json_schema()
    for part in schema["properties"]["errors"]["anyOf"]:
        if "items" in part:
            part["items"] = FieldError.model_json_schema()
    del schema["$defs"]
    return schema


def responses(*codes: str) -> dict[int | str, dict[str, Any]]:
    """The error answers of a route, for its OpenAPI description: these, and those that any route may give."""
    found: dict[int | str, dict[str, Any]] = {}
    for code in dict.fromkeys((*codes, *_ANYWHERE)):
        status, meaning = CODES[code]
        media: dict[str, Any] = {"schema": _schema(), "examples": {}}
        entry = found.setdefault(status, {"description": "", "content": {_MEDIA_TYPE: media}})
        entry["description"] = "; ".join(filter(None, (entry["description"], f"`{code}`: {meaning}")))
        example = {"type": _TYPE, "title": meaning, "status": status, "code": code, "detail": meaning}
        entry["content"][_MEDIA_TYPE]["examples"][code] = {"value": example}
    return found


def install(app: FastAPI) -> None:
    """Turn every error that leaves a route into a problem. What nobody foresaw goes on, to `fault`."""
    app.add_exception_handler(ProblemError, _on_problem)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(PurserError, _on_ours)


def problem(scope: Scope, exc: ProblemError) -> JSONResponse:
    """The answer that the error asks for."""
    return _answer(scope, exc.code, exc.detail, exc.errors, exc.headers)


def fault(scope: Scope) -> JSONResponse:
    """The answer to whatever nobody foresaw. It tells nothing of it."""
    return _answer(scope, "internal_error", "a fault of ours; it is logged, try again later")


def _answer(
    scope: Scope,
    code: str,
    detail: str,
    errors: Sequence[FieldError] = (),
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    status, title = CODES[code]
    body = Problem(
        type=_TYPE,
        title=title,
        status=status,
        code=code,
        detail=detail,
        errors=list(errors) or None,
        requestId=scope.get("state", {}).get("request_id"),
    )
    return JSONResponse(
        body.model_dump(exclude_none=True),
        status_code=status,
        headers=dict(headers or {}),
        media_type=_MEDIA_TYPE,
    )


async def _on_problem(request: Request, exc: Exception) -> JSONResponse:
    assert isinstance(exc, ProblemError)
    return problem(request.scope, exc)


async def _on_invalid(request: Request, exc: Exception) -> JSONResponse:
    assert isinstance(exc, RequestValidationError)
    if any(error["type"] == "json_invalid" for error in exc.errors()):
        return _answer(request.scope, "invalid_json", "the body is not JSON; send one JSON object")
    errors = [FieldError(field=_field(error["loc"]), message=_message(error)) for error in exc.errors()]
    return _answer(request.scope, "invalid_request", "; ".join(f"{e.field}: {e.message}" for e in errors), errors)


async def _on_http(request: Request, exc: Exception) -> JSONResponse:
    assert isinstance(exc, HTTPException)
    code = _OF_STATUS.get(exc.status_code, "invalid_request")
    headers = dict(exc.headers or {})
    if code == "method_not_allowed":
        headers["Allow"] = _allowed(request) or headers.get("Allow", "")
    return _answer(request.scope, code, _ADVICE.get(code, str(exc.detail)), headers=headers)


def _allowed(request: Request) -> str:
    """All methods that the path takes. Starlette names those of the first route that has it."""
    described: dict[str, dict[str, Any]] = request.app.openapi()["paths"]
    path = request.scope["path"]
    if path in described:
        return ", ".join(sorted(map(str.upper, described[path])))
    methods = {
        name.upper() for each, taken in described.items() if compile_path(each)[0].match(path) for name in taken
    }
    return ", ".join(sorted(methods))


async def _on_ours(request: Request, exc: Exception) -> JSONResponse:
    code = next((_OF_ERROR[kind] for kind in type(exc).__mro__ if kind in _OF_ERROR), None)
    if code is None:
        raise exc
    retry_after = getattr(exc, "retry_after", 1 if isinstance(exc, LeaseLost) else None)
    headers = {"Retry-After": str(retry_after)} if retry_after is not None else None
    return _answer(request.scope, code, str(exc), headers=headers)


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
