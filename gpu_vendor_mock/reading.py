"""Requests, from bytes to checked values. Everything that is not within the contract is refused here."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Annotated, Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, field_validator
from pydantic.alias_generators import to_camel
from starlette.requests import Request

from gpu_vendor_mock.errors import Refused

__all__ = ["QuoteRequest", "SubmitRequest", "idempotency_key", "parse_body", "read_body"]

_MAX_BODY: Final = 64 * 1024
_KEY: Final = re.compile(r"[\x21-\x7e]{1,128}")

_Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9_. -]{1,64}$")]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel)


class QuoteRequest(_Body):
    """The body of POST /quote."""

    job_type: _Word
    gpu_type: _Word
    max_hours: Annotated[Decimal, Field(gt=0, le=720, decimal_places=6, allow_inf_nan=False)]


class SubmitRequest(_Body):
    """The body of POST /submit-job. `jobParams` may say anything, but must not contradict the quote."""

    vendor_job_template_id: Annotated[str, Field(min_length=1, max_length=64)]
    job_params: Annotated[dict[str, JsonValue], Field(max_length=64)]

    @field_validator("job_params")
    @classmethod
    def _finite(cls, params: dict[str, JsonValue]) -> dict[str, JsonValue]:
        """NaN equals nothing, itself included, so a repeated request could not be recognized."""
        json.dumps(params, allow_nan=False)
        return params


_BodyT = TypeVar("_BodyT", bound=_Body)


async def read_body(request: Request) -> bytes:
    """The body of `request`.

    Raises:
        Refused: 415 when it is not declared as JSON, 413 when it is over 64 KiB.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Refused(415, "unsupported_media_type", "send Content-Type: application/json")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_BODY:
            raise Refused(413, "body_too_large", f"at most {_MAX_BODY} bytes")
    return bytes(body)


def parse_body(body: bytes, model: type[_BodyT]) -> _BodyT:
    """The JSON in `body` as a `model`.

    Raises:
        Refused: 400 for what is not JSON, 422 naming the first field that does not fit.
    """
    try:
        return model.model_validate_json(body)
    except ValidationError as exc:
        error = exc.errors(include_url=False, include_input=False, include_context=False)[0]
        if error["type"] == "json_invalid":
            raise Refused(400, "invalid_json", error["msg"]) from exc
        where = ".".join(map(str, error["loc"])) or "body"
        raise Refused(422, "invalid_request", f"{where}: {error['msg']}") from exc


def idempotency_key(request: Request) -> str | None:
    """The Idempotency-Key of `request`, if it has one.

    Raises:
        Refused: it is not 1 to 128 visible ASCII characters.
    """
    key = request.headers.get("idempotency-key")
    if key is not None and not _KEY.fullmatch(key):
        raise Refused(400, "bad_idempotency_key", "an Idempotency-Key is 1 to 128 visible characters, or left out")
    return key
