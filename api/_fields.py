"""The kinds of fields that requests and answers are made of. Dollars outside, micro-dollars inside."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated

from bson import ObjectId
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    PlainValidator,
    SecretStr,
    Strict,
    StringConstraints,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel

from agent.book.audit import iso
from agent.book.money import MAX_USD, parse_usd, usd_json
from vendors.models import is_token

__all__ = [
    "VENDOR_ID",
    "Answer",
    "Hours",
    "Id",
    "Moment",
    "MomentIn",
    "Name",
    "RequestBody",
    "RunId",
    "Secret",
    "Share",
    "Text",
    "Usd",
    "UsdIn",
    "Whole",
]


def _usd_in(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValueError("must be a number of dollars")
    return parse_usd(value)


def _hours(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValueError("must be a number of hours")
    if not Decimal("0.01") <= value <= 720 or Decimal(value) % Decimal("0.01") != 0:
        raise ValueError("must be at least 0.01, at most 720, with at most 2 decimals")
    return float(value)


_MOST_DIGITS = 18


def _whole(value: object) -> object:
    # JSON knows no integers: 60.0 is one, and comes as a Decimal. 1e999999 is none that anybody would wait for.
    if not isinstance(value, Decimal) or value.adjusted() >= _MOST_DIGITS:
        return value
    return int(value) if value == value.to_integral_value() else value


def _share(value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | Decimal) or not 0 <= value <= Decimal("0.5"):
        raise ValueError("must be a number from 0 to 0.5 (0.1 allows 10 % above the quote)")
    return Decimal(value)


def _run_id(value: object) -> ObjectId:
    if isinstance(value, ObjectId):
        return value
    if not isinstance(value, str) or not ObjectId.is_valid(value):
        raise ValueError("must be a run id: 24 hex digits")
    return ObjectId(value)


def _written(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError("must be text such as 2026-12-01T12:00:00Z")
    return value


def _utc(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("must say its time zone, for example 2026-12-01T12:00:00Z")
    try:
        moment = value.astimezone(UTC)
    except OverflowError:
        raise ValueError("is out of all bounds") from None
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def _harmless(value: str) -> str:
    text = value.replace("\r\n", "\n")
    if _UNSEEN.search(text):
        raise ValueError("must not hold control characters or marks that turn the direction of text")
    return text


_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def _secret(value: object) -> SecretStr:
    if not isinstance(value, str) or not is_token(value):
        raise ValueError("must be a token: 1 to 4096 visible ASCII characters")
    return SecretStr(value)


_DOLLARS = {"type": "number", "exclusiveMinimum": 0, "maximum": MAX_USD, "multipleOf": 0.000001}

UsdIn = Annotated[int, BeforeValidator(_usd_in), WithJsonSchema(_DOLLARS)]
"""Dollars in a request: a JSON number above 0 with at most 6 decimals."""

Usd = Annotated[int, PlainSerializer(usd_json, return_type=int | float), WithJsonSchema({"type": "number"})]
"""Dollars in an answer."""

Hours = Annotated[
    float,
    BeforeValidator(_hours),
    WithJsonSchema({"type": "number", "minimum": 0.01, "maximum": 720, "multipleOf": 0.01}),
]
"""Hours: above 0, at most 720, at most 2 decimals."""

Share = Annotated[
    Decimal, BeforeValidator(_share), WithJsonSchema({"type": "number", "minimum": 0, "maximum": 0.5})
]
"""A share of a price, 0 to 0.5."""

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1), AfterValidator(_harmless)]
"""Text that is not blank and holds no control characters."""

Whole = Annotated[int, BeforeValidator(_whole), Strict()]
"""A whole number in a request's body."""

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.:@-]{1,100}$")]
"""A user's id."""

Moment = Annotated[datetime, PlainSerializer(iso), WithJsonSchema({"type": "string", "format": "date-time"})]
MomentIn = Annotated[datetime, BeforeValidator(_written), AfterValidator(_utc)]
"""A time in a request: ISO 8601 with its zone."""

Id = Annotated[ObjectId, PlainSerializer(str), WithJsonSchema({"type": "string", "pattern": "^[0-9a-f]{24}$"})]

VENDOR_ID = r"^[A-Za-z0-9_-]{1,64}$"
"""What a vendor's id looks like."""

RunId = Annotated[
    ObjectId, PlainValidator(_run_id), WithJsonSchema({"type": "string", "pattern": "^[0-9a-fA-F]{24}$"})
]
"""A run's id in a request."""


Secret = Annotated[
    SecretStr,
    PlainValidator(_secret),
    WithJsonSchema(
        {"type": "string", "format": "password", "writeOnly": True, "pattern": "^[\\x21-\\x7e]{1,4096}$"}
    ),
]
"""A bearer token in a request. It never comes out again."""


class RequestBody(BaseModel):
    """Base of request bodies: camelCase outside, unknown fields refused."""

    model_config = ConfigDict(
        alias_generator=to_camel, validate_by_name=False, extra="forbid", arbitrary_types_allowed=True
    )


class Answer(BaseModel):
    """Base of answers: camelCase outside."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        arbitrary_types_allowed=True,
        from_attributes=True,
        serialize_by_alias=True,
    )
