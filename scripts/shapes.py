"""The API's answers as the command reads them: what it shows, checked at the edge. Amounts in micro-dollars.

Fields that the API adds later are passed over; a field that is missing or of another kind is a `ValidationError`,
which `scripts.client` turns into an error of its own.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue
from pydantic.alias_generators import to_camel

from agent.money import parse_usd
from x402.codec import load_exact_json, load_json

__all__ = [
    "AuditHead",
    "Chain",
    "Health",
    "Job",
    "JobParams",
    "Journal",
    "Key",
    "Keys",
    "NewKey",
    "Observation",
    "Page",
    "Parked",
    "ParkedRun",
    "Payment",
    "Plain",
    "PlainRun",
    "Problem",
    "Reason",
    "Records",
    "Resealed",
    "Reservation",
    "Run",
    "Runs",
    "Settlement",
    "Status",
    "Stumble",
    "Ticked",
    "Unopened",
    "Vendor",
    "VendorRecord",
    "Vendors",
    "read_exactly",
    "read_plainly",
]

Shape = TypeVar("Shape", bound=BaseModel)


def read_exactly(shape: type[Shape], text: str) -> Shape:
    """The answer with its numbers as `Decimal`, so that amounts stay what was sent.

    Raises:
        ValueError: it is not JSON, or not of this shape.
    """
    return shape.model_validate(load_exact_json(text))


def read_plainly(shape: type[Shape], text: str) -> Shape:
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


class _Shape(BaseModel):
    # Built when first used: a command reads one or two of these shapes, and should start fast.
    model_config = ConfigDict(alias_generator=to_camel, frozen=True, extra="ignore", defer_build=True)


class Reason(_Shape):
    """A stable code and a message for people."""

    code: str
    message: str


class FieldFault(_Shape):
    """A field at fault."""

    field: str
    message: str


class Problem(_Shape):
    """The body of an error (RFC 9457)."""

    code: str
    detail: str
    errors: tuple[FieldFault, ...] | None = None
    request_id: str | None = None


class Health(_Shape):
    """The store that the server works on: `embedded` or `mongodb`."""

    store: str


class Reservation(_Shape):
    """Money set aside for a job."""

    vendor_id: str
    amount: Usd
    authorized: bool


class AuditHead(_Shape):
    """The run's own record of its newest observation."""

    seq: int
    hash: str


class Run(_Shape):
    """A run."""

    id: Annotated[str, Field(alias="_id", pattern="^[0-9a-f]{24}$")]
    user_id: str
    goal: str
    status: str
    phase: str
    budget_total: Usd
    budget_remaining: Usd
    budget_reserved: Usd
    budget_spent: Usd
    reservations: dict[str, Reservation]
    tick: int
    next_tick_at: datetime | None
    failure: Reason | None
    audit: AuditHead
    created_at: datetime
    completed_at: datetime | None


class Stumble(Reason):
    """Ticks in a row that could not be made: how many, the last time, and when the run is tried again."""

    times: int
    at: datetime
    until: datetime


class ParkedRun(_Shape):
    """A run whose ticks keep failing."""

    id: str = Field(alias="_id")
    user_id: str
    status: str
    stumble: Stumble


class Parked(_Shape):
    """Parked runs."""

    runs: tuple[ParkedRun, ...]


class JobParams(_Shape):
    """What was ordered."""

    gpu_type: str
    max_hours: Decimal


class Job(_Shape):
    """One purchase at one vendor. `progress` in per cent."""

    id: str = Field(alias="_id")
    run_id: str
    vendor_id: str
    vendor_job_id: str | None
    status: str
    expected_cost: Usd
    actual_cost: Usd | None
    job_params: JobParams
    progress: float
    artifact_url: str | None
    failure: Reason | None


class Payment(_Shape):
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


class Observation(_Shape):
    """One entry of the trail, for showing. The audit is checked on the answer as sent, not on this."""

    seq: int
    type: str
    content: str
    data: dict[str, object]
    timestamp: datetime


class Page(_Shape):
    """Which observations an answer holds, and how many there are."""

    last_seq: int | None
    total: int


class Records(_Shape):
    """A run with its jobs and payments."""

    run: Run
    jobs: tuple[Job, ...]
    payments: tuple[Payment, ...]


class Status(Records):
    """All that is known of a run."""

    observations: tuple[Observation, ...]
    page: Page


class Chain(_Shape):
    """A page of a trail, plainly as it was sent: what is hashed."""

    observations: tuple[dict[str, JsonValue], ...]
    page: Page


class PlainRun(_Shape):
    """A run plainly as it was sent; what is not named here is in `model_extra`."""

    model_config = ConfigDict(extra="allow")

    id: str = Field(alias="_id")
    audit: AuditHead
    reservations: dict[str, dict[str, JsonValue]]


class Plain(_Shape):
    """A run with its jobs and payments, plainly as they were sent: what is exported."""

    run: PlainRun
    jobs: tuple[dict[str, JsonValue], ...]
    payments: tuple[dict[str, JsonValue], ...]


class Ticked(_Shape):
    """What a tick (or a cancel) did."""

    message: str
    action: dict[str, object] | None
    run: Run


class Runs(_Shape):
    """A page of runs."""

    runs: tuple[Run, ...]
    next_cursor: str | None


class VendorRecord(_Shape):
    """All outcomes of a vendor, counted."""

    completed: int
    failed: int


class Vendor(_Shape):
    """A vendor as registered."""

    vendor_id: str
    name: str
    endpoint: str
    base_price_per_hour: Usd
    reliability_score: float
    record: VendorRecord
    supported_gpu_types: tuple[str, ...]
    pay_to: str | None


class Vendors(_Shape):
    """The registry."""

    vendors: tuple[Vendor, ...]


class Unopened(_Shape):
    """A vendor whose sealed secret does not open."""

    vendor_id: str
    reason: str


class Resealed(_Shape):
    """What a rotation of the sealing keys did."""

    resealed: int
    current: int
    failed: tuple[Unopened, ...]


class Key(_Shape):
    """An API key. What may be spent with it is None where it has no limit."""

    id: str = Field(alias="_id")
    user_id: str
    name: str
    scopes: tuple[str, ...]
    max_per_day: Usd | None
    max_total: Usd | None
    requests_per_minute: int
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


class NewKey(Key):
    """An API key as it was made: `token` is shown this once."""

    token: str


class Keys(_Shape):
    """A page of API keys."""

    keys: tuple[Key, ...]
    next_cursor: str | None


class Settlement(_Shape):
    """Money that moved, as the mock vendors' journal has it: the amount is in micro-dollars there."""

    vendor_id: str
    amount: int
    network: str
    asset: str
    payer: str
    pay_to: str
    nonce: str
    transaction: str


class Journal(_Shape):
    """What the demo needs of the mock vendors' journal."""

    settlements: tuple[Settlement, ...]
