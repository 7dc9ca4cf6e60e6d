"""What answers show: runs, jobs, payments, observations, vendors, each made from its document."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import Field, PlainSerializer

from agent.audit import public_observation
from agent.lifecycle import JobStatus, PaymentStatus, RunPhase, RunStatus
from agent.models import Job, Observation, Payment, Run
from api._fields import Answer, Id, Moment, Usd
from vendors.models import Vendor

__all__ = ["JobOut", "ObservationOut", "PaymentOut", "RunOut", "VendorOut"]


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
