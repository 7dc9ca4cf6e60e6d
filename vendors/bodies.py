"""The bodies of the vendor contract, read into values: JSON of unknown make goes in, checked dataclasses come out.

What a decision rests on (prices, ids, states) must be as the contract says. What is only shown is cleaned, cut or
left out, and never voids the message (docs/decisions/0019). Unknown keys are ignored, so that a vendor may add to
the contract without breaking it.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from contextlib import suppress
from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Decimal
from typing import Annotated, Final, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from net.strict_json import load_cut_json, load_exact_json, load_shown_json
from vendors.models import MAX_PRICE, JobReport, JobState, Quote
from vendors.text import clean, holds_payment

__all__ = ["MAX_LOGS", "Unreadable", "read_error", "read_quote", "read_report", "read_submission"]

MAX_LOGS: Final = 10_000
"""Log lines taken from one job: the first ones, so that their index keeps its meaning."""

_MICRO: Final = Decimal(1_000_000)
_MAX_REASON: Final = 300
_MAX_LOG_LINE: Final = 2_000
_MAX_ERROR: Final = 500
_MAX_STATUS: Final = 64
_MAX_METRICS: Final = 32
_MAX_METRIC_NAME: Final = 64
_MAX_METRIC_TEXT: Final = 200
_MAX_MINUTES: Final = 10 * 366 * 24 * 60
_MAX_URL: Final = 2_000
_DECIMAL: Final = re.compile(r"[0-9]{1,16}(?:\.[0-9]{1,32})?")
_URL_TEXT: Final = re.compile(r"[\x21-\x7e]+")


class Unreadable(ValueError):
    """A body that is not what the contract says. The message says where and why, in words of ours only."""


def _load(body: bytes) -> object:
    """JSON whose numbers are `int` or `Decimal`, never floats: prices are read from it."""
    try:
        return load_exact_json(body.decode(encoding="utf-8-sig"))
    except UnicodeDecodeError as exc:
        raise Unreadable("the body is not UTF-8") from exc
    except ValueError as exc:
        raise Unreadable(f"the body is not readable: {exc}") from exc


def _load_shown(body: bytes, *, cut: bool) -> object:
    """JSON of which little decides: torn characters and numbers out of all bounds are no reason to refuse it.

    `cut`: its end was not read. What arrived whole of it counts.
    """
    text = body.decode(encoding="utf-8-sig", errors="replace")
    try:
        return load_cut_json(text) if cut else load_shown_json(text)
    except ValueError as exc:
        raise Unreadable(f"the body is not readable: {exc}") from exc


def _number(value: object) -> float:
    """A JSON number as a finite float."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValueError("must be a number")
    number = float(value)
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
    """Micro-dollars of a price: above zero, rounded half to even, as vendors compute in floats.

    A quote binds nobody: the amount that is signed is the whole number in the vendor's payment terms.
    """
    micro = _micro(_dollars(value), ROUND_HALF_EVEN)
    if micro == 0:
        raise ValueError("must be above 0")
    return micro


def _cost(value: object) -> int:
    """Micro-dollars of a running cost: shown, never paid, so a fraction is rounded up and not refused."""
    return _micro(_dollars(value), ROUND_CEILING)


def _micro(dollars: Decimal, rounding: str) -> int:
    # quantize first: multiplied, 28 digits and more would be rounded away unseen
    return int(dollars.quantize(Decimal("0.000001"), rounding=rounding).scaleb(6))


def _log_lines(value: object) -> tuple[str, ...]:
    """One text a line. A line that is no text is shown as JSON would write it, so that each keeps its index."""
    if isinstance(value, str):
        value = value.splitlines()
    if not isinstance(value, list):
        raise ValueError("must be a list of lines")
    return tuple(clean(_text(line), _MAX_LOG_LINE) for line in value[:MAX_LOGS])


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _metrics(value: object) -> dict[str, float | str]:
    """Figures by name. Names become keys of a stored document, where a point or a dollar sign would mean something
    else: they become underscores. What is neither a figure nor a text is left out.
    """
    if not isinstance(value, dict):
        raise ValueError("must be an object of figures")
    found: dict[str, float | str] = {}
    for key, figure in value.items():
        name = clean(key.replace(".", "_").replace("$", "_"), _MAX_METRIC_NAME)
        if len(found) == _MAX_METRICS:
            break
        if not name or name in found:
            continue
        if isinstance(figure, str):
            found[name] = clean(figure, _MAX_METRIC_TEXT)
        elif isinstance(figure, int | Decimal) and not isinstance(figure, bool):
            with suppress(ValueError, ArithmeticError):
                found[name] = _number(figure)
    return found


def _url(value: object) -> str:
    rule = f"must be an http or https URL of at most {_MAX_URL} characters"
    if not isinstance(value, str) or len(value) > _MAX_URL or not _URL_TEXT.fullmatch(value):
        raise ValueError(rule)
    url = urlsplit(value)  # raises ValueError where the host is none
    if url.scheme not in ("http", "https") or not url.hostname:
        raise ValueError(rule)
    return _no_payment(value)


def _no_payment(value: str) -> str:
    if holds_payment(value):
        raise ValueError("must not hold what may be a payment of ours")
    return value


def _identifier(value: object) -> object:
    """Whole numbers are ids too: many vendors number their jobs."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _minutes(value: object) -> float:
    minutes = _number(value)
    if not 0 <= minutes <= _MAX_MINUTES:
        raise ValueError("must be a number of minutes")
    return minutes


_T = TypeVar("_T")


def _shown(read: Callable[[object], _T]) -> BeforeValidator:
    """A field that decides nothing: what cannot be read is None."""

    def lenient(value: object) -> _T | None:
        try:
            return None if value is None else read(value)
        except (ValueError, ArithmeticError):
            return None

    return BeforeValidator(lenient)


def _line(limit: int) -> Callable[[object], str]:
    return lambda value: clean(_text(value), limit)


def _percentage(value: object) -> float:
    return min(100.0, max(0.0, _number(value)))


_Identifier = Annotated[
    str, BeforeValidator(_identifier), Field(pattern=r"^[\x21-\x7e]{1,200}$"), AfterValidator(_no_payment)
]
_Minutes = Annotated[float | None, _shown(_minutes)]


class _Body(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel, extra="ignore", strict=True, frozen=True, hide_input_in_errors=True
    )


class _Quote(_Body):
    vendor_job_template_id: _Identifier
    price_estimate: Annotated[int, BeforeValidator(_price)]
    currency: Literal["USD", "USDC"]
    eta_minutes: _Minutes = None


class _Submission(_Body):
    vendor_job_id: _Identifier
    status: Annotated[str | None, _shown(_line(_MAX_STATUS))] = None


class _Report(_Body):
    status: JobState
    progress: Annotated[float | None, _shown(_percentage)] = None
    logs: Annotated[tuple[str, ...] | None, _shown(_log_lines)] = None
    estimated_remaining_minutes: _Minutes = None
    cost_so_far: Annotated[int | None, _shown(_cost)] = None
    final_metrics: Annotated[dict[str, float | str] | None, _shown(_metrics)] = None
    artifact_url: Annotated[str | None, _shown(_url)] = None
    error_message: Annotated[str | None, _shown(_line(_MAX_ERROR))] = None


_SHOWN: Final = set(_Report.model_fields) - {"status"}
_Read = TypeVar("_Read", bound=_Body)


def _parse(shape: type[_Read], loaded: object) -> _Read:
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
    read = _parse(_Quote, _load(body))
    return Quote(read.vendor_job_template_id, read.price_estimate, read.currency, read.eta_minutes)


def read_submission(body: bytes, *, cut: bool = False) -> tuple[str, str]:
    """The answer to `/submit-job`: the vendor's id of the job, and its word for the job's state.

    The word decides nothing, `/job-status` is asked for that, so it may be any.

    Raises:
        Unreadable: not the contract's JSON.
    """
    read = _parse(_Submission, _load_shown(body, cut=cut))
    return read.vendor_job_id, read.status or ""


def read_report(body: bytes, *, cut: bool = False) -> JobReport:
    """The answer to `/job-status`.

    Raises:
        Unreadable: not the contract's JSON.
    """
    loaded = _load_shown(body, cut=cut)
    read = _parse(_Report, loaded)
    return JobReport(
        status=read.status,
        progress=read.progress,
        logs=read.logs or (),
        remaining_minutes=read.estimated_remaining_minutes,
        cost_so_far=read.cost_so_far,
        metrics=read.final_metrics,
        artifact_url=read.artifact_url,
        error_message=read.error_message,
        left_out=_left_out(loaded, read, cut=cut),
    )


def _left_out(loaded: object, read: _Report, *, cut: bool) -> tuple[str, ...]:
    """What of a report was not taken over, by name."""
    said = loaded if isinstance(loaded, dict) else {}
    shown = read.model_dump(by_alias=True, include=_SHOWN)
    found = [name for name, value in shown.items() if value is None and said.get(name) is not None]
    lines, figures = said.get("logs"), said.get("finalMetrics")
    if isinstance(lines, list) and len(lines) > MAX_LOGS:
        found.append(f"logs beyond line {MAX_LOGS}")
    if isinstance(figures, dict) and (more := len(figures) - len(read.final_metrics or {})) > 0:
        found.append(f"{more} of {len(figures)} figures in finalMetrics")
    return (*found, *(["what comes after the first part of a body that is too long"] if cut else []))


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
