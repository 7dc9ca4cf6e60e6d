"""The bodies of the vendor contract, read into values: JSON of unknown make goes in, checked dataclasses come out.

What a decision rests on (prices, ids, states) must be as the contract says. What is only shown is cleaned and cut,
and unknown keys are ignored, so that a vendor may add to the contract without breaking it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from decimal import ROUND_CEILING, Decimal
from typing import Annotated, Final, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from vendors.models import MAX_PRICE, JobReport, JobState, Quote
from vendors.text import clean, holds_payment
from x402.codec import load_exact_json

__all__ = ["MAX_LOGS", "Unreadable", "read_error", "read_quote", "read_report", "read_submission"]

MAX_LOGS: Final = 10_000
"""Log lines taken from one job: the first ones, so that their index keeps its meaning."""

_MICRO: Final = Decimal(1_000_000)
_MAX_REASON: Final = 300
_MAX_LOG_LINE: Final = 2_000
_MAX_ERROR: Final = 500
_MAX_STATUS: Final = 64
_MAX_METRICS: Final = 32
_MAX_METRIC_TEXT: Final = 200
_MAX_MINUTES: Final = 10 * 366 * 24 * 60
_MAX_URL: Final = 2_000
_DECIMAL: Final = re.compile(r"[0-9]{1,16}(?:\.[0-9]{1,32})?")
_URL_TEXT: Final = re.compile(r"[\x21-\x7e]+")
_METRIC: Final = re.compile(r"[A-Za-z0-9_]{1,64}")


class Unreadable(ValueError):
    """A body that is not what the contract says. The message says where and why, in words of ours only."""


def _load(body: bytes) -> object:
    """JSON whose numbers are `int` or `Decimal`, never floats: prices are read from it."""
    try:
        return load_exact_json(body.decode())
    except UnicodeDecodeError as exc:
        raise Unreadable("the body is not UTF-8") from exc
    except ValueError as exc:
        raise Unreadable(f"the body is not readable: {exc}") from exc


def _number(value: object) -> float:
    """A JSON number as a finite float."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValueError("must be a number")
    number = float(value)  # integers of any length were refused before
    if not math.isfinite(number):
        raise ValueError("must be a finite number")
    return number


def _dollars(value: object) -> Decimal:
    """Dollars as a JSON number or a string of decimal digits, at most a million, not negative."""
    wrong = isinstance(value, str) and not _DECIMAL.fullmatch(value)
    if wrong or isinstance(value, bool) or not isinstance(value, int | Decimal | str):
        raise ValueError("must be a decimal number of dollars")
    dollars = Decimal(value)
    if not 0 <= dollars <= MAX_PRICE / _MICRO:
        raise ValueError("must be between 0 and a million dollars")
    return dollars


def _price(value: object) -> int:
    """Micro-dollars of a price that will be paid: above zero and exact."""
    dollars = _dollars(value)
    micro = _rounded_up(dollars)
    if micro == 0:
        raise ValueError("must be above 0")
    if Decimal(micro).scaleb(-6) != dollars:
        raise ValueError("must have at most 6 decimals")
    return micro


def _cost(value: object) -> int:
    """Micro-dollars of a running cost: shown, never paid, so a fraction is rounded up and not refused."""
    return _rounded_up(_dollars(value))


def _rounded_up(dollars: Decimal) -> int:
    # quantize first: multiplied, 28 digits and more would be rounded away unseen
    return int(dollars.quantize(Decimal("0.000001"), rounding=ROUND_CEILING).scaleb(6))


def _first_logs(value: object) -> object:
    return value[:MAX_LOGS] if isinstance(value, list) else value


def _cleaned(limit: int) -> Callable[[str], str]:
    return lambda text: clean(text, limit)


def _metrics(value: object) -> object:
    """Figures by name. The names become keys of a stored document, so they are held to a pattern."""
    if value is None:
        return None
    if not isinstance(value, dict) or len(value) > _MAX_METRICS:
        raise ValueError(f"must be an object of at most {_MAX_METRICS} figures")
    if not all(map(_METRIC.fullmatch, value)):
        raise ValueError("must have names of 1 to 64 of A-Z a-z 0-9 _")
    return {
        name: clean(figure, _MAX_METRIC_TEXT) if isinstance(figure, str) else _number(figure)
        for name, figure in value.items()
    }


def _url(value: str) -> str:
    rule = f"must be an http or https URL of at most {_MAX_URL} characters"
    if len(value) > _MAX_URL or not _URL_TEXT.fullmatch(value):
        raise ValueError(rule)
    url = urlsplit(value)  # raises ValueError where the host is none
    if url.scheme not in ("http", "https") or not url.hostname:
        raise ValueError(rule)
    return _no_payment(value)


def _no_payment(value: str) -> str:
    if holds_payment(value):
        raise ValueError("must not hold what may be a payment of ours")
    return value


_Identifier = Annotated[str, Field(pattern=r"^[\x21-\x7e]{1,200}$"), AfterValidator(_no_payment)]
_Minutes = Annotated[float, BeforeValidator(_number), Field(ge=0, le=_MAX_MINUTES)]


class _Body(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel, extra="ignore", strict=True, frozen=True, hide_input_in_errors=True
    )


class _Quote(_Body):
    vendor_job_template_id: _Identifier
    price_estimate: Annotated[int, BeforeValidator(_price)]
    currency: Literal["USD", "USDC"]
    eta_minutes: _Minutes | None = None


class _Submission(_Body):
    vendor_job_id: _Identifier
    status: Annotated[str, AfterValidator(_cleaned(_MAX_STATUS))] | None = None


class _Report(_Body):
    status: JobState
    progress: Annotated[float, BeforeValidator(_number), Field(ge=0, le=100)]
    logs: Annotated[list[Annotated[str, AfterValidator(_cleaned(_MAX_LOG_LINE))]], BeforeValidator(_first_logs)]
    estimated_remaining_minutes: _Minutes | None = None
    cost_so_far: Annotated[int, BeforeValidator(_cost)] | None = None
    final_metrics: Annotated[dict[str, float | str] | None, BeforeValidator(_metrics)] = None
    artifact_url: Annotated[str, AfterValidator(_url)] | None = None
    error_message: Annotated[str, AfterValidator(_cleaned(_MAX_ERROR))] | None = None


_Read = TypeVar("_Read", bound=_Body)


def _parse(shape: type[_Read], body: bytes) -> _Read:
    loaded = _load(body)
    if not isinstance(loaded, dict):
        raise Unreadable("the body is not a JSON object")
    try:
        return shape.model_validate(loaded)
    except ValidationError as exc:
        fault = exc.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(map(str, fault["loc"]))
        raise Unreadable(f"{where}: {fault['msg'].removeprefix('Value error, ')}") from exc


def read_quote(body: bytes) -> Quote:
    """The answer to `/quote`.

    Raises:
        Unreadable: not the contract's JSON.
    """
    read = _parse(_Quote, body)
    return Quote(read.vendor_job_template_id, read.price_estimate, read.currency, read.eta_minutes)


def read_submission(body: bytes) -> tuple[str, str]:
    """The answer to `/submit-job`: the vendor's id of the job, and its word for the job's state.

    The word decides nothing, `/job-status` is asked for that, so it may be any.

    Raises:
        Unreadable: not the contract's JSON.
    """
    read = _parse(_Submission, body)
    return read.vendor_job_id, read.status or ""


def read_report(body: bytes) -> JobReport:
    """The answer to `/job-status`.

    Raises:
        Unreadable: not the contract's JSON.
    """
    read = _parse(_Report, body)
    return JobReport(
        status=read.status,
        progress=read.progress,
        logs=tuple(read.logs),
        remaining_minutes=read.estimated_remaining_minutes,
        cost_so_far=read.cost_so_far,
        metrics=read.final_metrics,
        artifact_url=read.artifact_url,
        error_message=read.error_message,
    )


def read_error(body: bytes) -> str:
    """Why the vendor says no, as one short line; "no reason given" where it does not say.

    Reads `{"error": {"code", "message"}}`, `{"error": "..."}`, `{"message": "..."}` and problem+json's `detail`.
    """
    try:
        said = _load(body)
    except Unreadable:
        said = None
    inner = said.get("error") if isinstance(said, dict) else None
    for place in (inner, said):
        if isinstance(place, str) and (reason := clean(place, _MAX_REASON)):
            return reason
        if isinstance(place, dict):
            for key in ("message", "detail", "title", "code"):
                text = place.get(key)
                if isinstance(text, str) and (reason := clean(text, _MAX_REASON)):
                    return reason
    return "no reason given"
