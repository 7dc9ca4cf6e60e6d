"""The API's answers as the command reads them: what it shows, checked at the edge. Amounts in micro-dollars.

Fields that the API adds later are passed over; a field that is missing or of another kind is a `ValidationError`,
which `scripts.client.api` turns into an error of its own.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue
from pydantic.alias_generators import to_camel

from agent.book.money import parse_usd
from net.strict_json import load_exact_json, load_json

__all__ = [
    "AuditHead",
    "Booked",
    "BookedJob",
    "BookedRun",
    "Chain",
    "Health",
    "Job",
    "JobParams",
    "Observation",
    "Page",
    "Parked",
    "ParkedRun",
    "Payment",
    "Problem",
    "Reason",
    "Records",
    "Reservation",
    "Run",
    "Runs",
    "Shape",
    "Status",
    "Stumble",
    "Ticked",
    "Usd",
    "read_exactly",
    "read_plainly",
]

Read = TypeVar("Read", bound="Shape")


def read_exactly(shape: type[Read], text: str) -> Read:
    """The answer with its numbers as `Decimal`, so that amounts stay what was sent.

    Raises:
        ValueError: it is not JSON, or not of this shape.
    """
    return shape.model_validate(load_exact_json(text))


def read_plainly(shape: type[Read], text: str) -> Read:
    """The answer with its numbers as Python's json reads them, which is how the trail is hashed.

    Raises:
        ValueError: it is not JSON, or not of this shape.
    """
    return shape.model_validate(load_json(text))


def _micro(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValueError("must be a JSON number, read as int or Decimal")
    return parse_usd(value, zero=True)


Usd = Annotated[int, BeforeValidator(_micro)]
"""Dollars in the answer, micro-dollars here."""


class Shape(BaseModel):
    """Base of all answers."""

    # Built when first used: a command reads one or two of these shapes, and should start fast.
    model_config = ConfigDict(alias_generator=to_camel, frozen=True, extra="ignore", defer_build=True)


class Reason(Shape):
    """A stable code and a message for people."""

    code: str
    message: str


class FieldFault(Shape):
    """A field at fault."""

    field: str
    message: str


class Problem(Shape):
    """The body of an error (RFC 9457)."""

    code: str
    detail: str
    errors: tuple[FieldFault, ...] | None = None
    request_id: str | None = None


class Health(Shape):
    """The store that the server works on: `embedded` or `mongodb`."""

    store: str


class Reservation(Shape):
    """Money set aside for a job."""

    vendor_id: str
    amount: Usd
    authorized: bool
    chain_seen_at: datetime | None = None


class AuditHead(Shape):
    """The run's own record of its newest observation."""

    seq: int
    hash: str


class BookedRun(Shape):
    """A run as far as it is audited: what an export holds of it."""

    id: Annotated[str, Field(alias="_id", pattern="^[0-9a-f]{24}$")]
    goal: str
    status: str
    budget_total: Usd
    budget_remaining: Usd
    budget_reserved: Usd
    budget_spent: Usd
    reservations: dict[str, Reservation]
    failure: Reason | None
    audit: AuditHead
    created_at: datetime
    completed_at: datetime | None


class Run(BookedRun):
    """A run."""

    user_id: str
    phase: str
    tick: int
    next_tick_at: datetime | None


class Stumble(Reason):
    """Ticks in a row that could not be made: how many, the last time, and when the run is tried again."""

    times: int
    at: datetime
    until: datetime


class ParkedRun(Shape):
    """A run whose ticks keep failing."""

    id: str = Field(alias="_id")
    user_id: str
    status: str
    stumble: Stumble


class Parked(Shape):
    """Parked runs."""

    runs: tuple[ParkedRun, ...]


class JobParams(Shape):
    """What was ordered."""

    gpu_type: str
    max_hours: Decimal


class BookedJob(Shape):
    """One purchase at one vendor, as far as it is audited."""

    id: str = Field(alias="_id")
    run_id: str
    vendor_id: str
    vendor_job_id: str | None
    status: str
    expected_cost: Usd
    actual_cost: Usd | None
    job_params: JobParams
    failure: Reason | None


class Job(BookedJob):
    """One purchase at one vendor. `progress` in per cent."""

    progress: float
    artifact_url: str | None


class Payment(Shape):
    """One authorization and what became of it."""

    id: str = Field(alias="_id")
    run_id: str
    job_id: str
    vendor_id: str
    amount: Usd
    currency: str
    status: str
    transaction: str | None = Field(alias="x402TxId")
    network: str
    asset: str
    payer: str
    pay_to: str
    nonce: str
    valid_before: datetime


class Observation(Shape):
    """One entry of the trail, for showing. The audit is checked on the answer as sent, not on this."""

    seq: int
    type: str
    content: str
    data: dict[str, object]
    timestamp: datetime


class Page(Shape):
    """Which observations an answer holds, and how many there are."""

    last_seq: int | None
    total: int


class Booked(Shape):
    """A run with its jobs and payments, as far as they are audited."""

    run: BookedRun
    jobs: tuple[BookedJob, ...]
    payments: tuple[Payment, ...]


class Records(Booked):
    """A run with its jobs and payments."""

    run: Run
    jobs: tuple[Job, ...]


class Status(Records):
    """All that is known of a run."""

    observations: tuple[Observation, ...]
    page: Page


class Chain(Shape):
    """A page of a trail, plainly as it was sent: what is hashed."""

    observations: tuple[dict[str, JsonValue], ...]
    page: Page


class Ticked(Shape):
    """What a tick (or a cancel) did."""

    message: str
    action: dict[str, object] | None
    run: Run


class Runs(Shape):
    """A page of runs; `unreadable` are the ids of those that the server cannot read."""

    runs: tuple[Run, ...]
    unreadable: tuple[str, ...] = ()  # servers of before have no such field
    next_cursor: str | None
