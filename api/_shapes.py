"""The public shapes: what requests may hold and what answers show. Dollars here, micro-dollars behind."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any

from bson import ObjectId
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    StringConstraints,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel

from agent.audit import iso, public_observation
from agent.lifecycle import JobStatus, PaymentStatus, RunPhase, RunStatus
from agent.models import Job, Observation, Payment, Run
from agent.money import MAX_USD, parse_usd, usd_json
from vendors.models import Vendor

__all__ = [
    "Answer",
    "Hours",
    "JobOut",
    "ObservationOut",
    "PaymentOut",
    "RequestBody",
    "RunId",
    "RunOut",
    "Text",
    "UsdIn",
    "VendorOut",
]


def _usd_in(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValueError("must be a number of dollars")
    return parse_usd(value)


def _hours(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValueError("must be a number of hours")
    if not 0 < value <= 720 or Decimal(value) % Decimal("0.01") != 0:
        raise ValueError("must be above 0, at most 720, with at most 2 decimals")
    return float(value)


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


def _utc(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("must say its time zone, for example 2026-12-01T12:00:00Z")
    moment = value.astimezone(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def _printable(value: str) -> str:
    if any(not char.isprintable() and char not in "\n\t" for char in value):
        raise ValueError("must not hold control characters")
    return value


_DOLLARS = {"type": "number", "exclusiveMinimum": 0, "maximum": MAX_USD, "multipleOf": 0.000001}

UsdIn = Annotated[int, BeforeValidator(_usd_in), WithJsonSchema(_DOLLARS)]
"""Dollars in a request: a JSON number above 0 with at most 6 decimals."""

Usd = Annotated[int, PlainSerializer(usd_json, return_type=int | float), WithJsonSchema({"type": "number"})]
"""Dollars in an answer."""

Hours = Annotated[
    float, BeforeValidator(_hours), WithJsonSchema({"type": "number", "exclusiveMinimum": 0, "maximum": 720})
]
"""Hours: above 0, at most 720, at most 2 decimals."""

Share = Annotated[
    Decimal, BeforeValidator(_share), WithJsonSchema({"type": "number", "minimum": 0, "maximum": 0.5})
]
"""A share of a price, 0 to 0.5."""

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1), AfterValidator(_printable)]
"""Text that is not blank and holds no control characters."""

Moment = Annotated[datetime, PlainSerializer(iso), WithJsonSchema({"type": "string", "format": "date-time"})]
FutureMoment = Annotated[datetime, AfterValidator(_utc)]
Id = Annotated[ObjectId, PlainSerializer(str), WithJsonSchema({"type": "string", "pattern": "^[0-9a-f]{24}$"})]

RunId = Annotated[
    ObjectId, PlainValidator(_run_id), WithJsonSchema({"type": "string", "pattern": "^[0-9a-fA-F]{24}$"})
]
"""A run's id in a request."""


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


class ConstraintsOut(Answer):
    """What the user allows."""

    gpu_type: str | None
    job_type: str | None
    max_hours: float | None = Field(description="hours per job")
    max_price_per_hour: Usd | None = Field(description="dollars")
    vendor_ids: list[str] | None
    deadline: Moment | None
    price_tolerance: Annotated[Decimal, PlainSerializer(float)] = Field(
        description="share above the quote, 0..0.5"
    )


class ReasonOut(Answer):
    """A stable code and a message for people."""

    code: str
    message: str


class EndingOut(ReasonOut):
    """How a run is going to end once no money is open."""

    status: str


class ReservationOut(Answer):
    """Money set aside for a job. The signed authorization itself is never shown."""

    vendor_id: str
    amount: Usd
    authorized: bool
    valid_before: Moment | None = Field(description="until then the vendor can cash the authorization")


class AuditOut(Answer):
    """Number and hash of the newest observation."""

    seq: int
    hash: str


class RunOut(Answer):
    """A run. `budgetTotal = budgetRemaining + budgetReserved + budgetSpent`, in dollars."""

    id: Id = Field(alias="_id")
    user_id: str
    goal: str
    status: RunStatus
    phase: RunPhase
    budget_total: Usd
    budget_remaining: Usd
    budget_reserved: Usd
    budget_spent: Usd
    reservations: dict[str, ReservationOut]
    constraints: ConstraintsOut
    tick: int = Field(description="ticks so far")
    next_tick_at: Moment | None
    ending: EndingOut | None
    failure: ReasonOut | None
    audit: AuditOut
    created_at: Moment
    updated_at: Moment
    completed_at: Moment | None

    @classmethod
    def of(cls, run: Run) -> RunOut:
        """The public form of a run."""
        reservations = {
            job_id: ReservationOut(
                vendor_id=each.vendor_id,
                amount=each.amount,
                authorized=each.authorization is not None,
                valid_before=(
                    datetime.fromtimestamp(each.authorization.valid_before, UTC) if each.authorization else None
                ),
            )
            for job_id, each in run.reservations.items()
        }
        fields = {name: getattr(run, name) for name in cls.model_fields if name != "reservations"}
        return cls.model_validate({**fields, "reservations": reservations})


class JobParamsOut(Answer):
    """What was ordered."""

    job_type: str
    gpu_type: str
    max_hours: float
    goal: str


class JobOut(Answer):
    """One purchase at one vendor."""

    id: Id = Field(alias="_id")
    run_id: Id
    vendor_id: str
    vendor_job_id: str | None
    status: JobStatus
    expected_cost: Usd
    actual_cost: Usd | None
    job_params: JobParamsOut
    progress: float = Field(description="per cent")
    artifact_url: str | None
    final_metrics: dict[str, float | str] | None
    failure: ReasonOut | None
    created_at: Moment
    completed_at: Moment | None

    @classmethod
    def of(cls, job: Job) -> JobOut:
        """The public form of a job."""
        return cls.model_validate(job)


class PaymentOut(Answer):
    """One authorization and what became of it."""

    id: Id = Field(alias="_id")
    run_id: Id
    job_id: Id
    vendor_id: str
    amount: Usd
    currency: str
    status: PaymentStatus
    x402_tx_id: str | None
    network: str
    asset: str
    payer: str
    pay_to: str
    nonce: str
    valid_before: Moment
    created_at: Moment

    @classmethod
    def of(cls, payment: Payment) -> PaymentOut:
        """The public form of a payment."""
        return cls.model_validate(payment)


class ObservationOut(Answer):
    """One entry of the audit trail, exactly as it is hashed."""

    run_id: str
    seq: int
    type: str
    content: str
    data: dict[str, Any]
    timestamp: str
    prev_hash: str
    hash: str

    @classmethod
    def of(cls, entry: Observation) -> ObservationOut:
        """The public form of an observation."""
        return cls.model_validate(public_observation(entry))


class EvidenceOut(Answer):
    """How one job of a vendor ended."""

    job_id: str
    run_id: str
    outcome: str
    at: Moment


class RecordOut(Answer):
    """All outcomes of a vendor counted, and the newest of them."""

    completed: int
    failed: int
    evidence: list[EvidenceOut]


class VendorOut(Answer):
    """A vendor as registered, with its record. `basePricePerHour` in dollars."""

    vendor_id: str
    name: str
    endpoint: str
    base_price_per_hour: Usd
    reliability_score: float
    record: RecordOut
    supported_gpu_types: list[str]
    pay_to: str | None
    secret_ref: str
    created_at: Moment

    @classmethod
    def of(cls, vendor: Vendor) -> VendorOut:
        """The public form of a vendor."""
        return cls.model_validate(vendor)
