"""What answers show: runs, jobs, payments, observations, vendors, each made from its document."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import Field, PlainSerializer

from agent.book.audit import public_observation
from agent.book.lifecycle import JobStatus, PaymentStatus, RunPhase, RunStatus
from agent.book.models import Job, Observation, Payment, Run
from api._fields import Answer, Id, Moment, Usd
from vendors.models import Vendor

__all__ = ["JobOut", "ObservationOut", "PaymentOut", "RunOut", "StumbleOut", "VendorOut"]


class ConstraintsOut(Answer):
    """What the user allows."""

    gpu_type: str | None = Field(description="GPU type that a vendor must have; null: any")
    job_type: str | None = Field(description="kind of job ordered; null: fine_tune")
    max_hours: float | None = Field(description="hours per job")
    max_price_per_hour: Usd | None = Field(description="dollars")
    vendor_ids: list[str] | None = Field(description="only these vendors; null: any")
    deadline: Moment | None = Field(description="the run fails if it is not done by then")
    price_tolerance: Annotated[Decimal, PlainSerializer(float)] = Field(
        description="share above the quote, 0..0.5"
    )


class ReasonOut(Answer):
    """A stable code and a message for people."""

    code: str = Field(description="stable; what programs should look at")
    message: str = Field(description="for people")


class EndingOut(ReasonOut):
    """How a run is going to end once no money is open."""

    status: str = Field(description="completed, failed or cancelled")


class ReservationOut(Answer):
    """Money set aside for a job. The signed authorization itself is never shown."""

    vendor_id: str = Field(description="whom the money is set aside for")
    amount: Usd = Field(description="dollars, the most that the job may cost")
    authorized: bool = Field(description="a signed authorization is out")
    valid_before: Moment | None = Field(description="until then the vendor can cash the authorization")
    chain_seen_at: Moment | None = Field(
        description="time of the newest block in which the chain shows nothing of it; null: not read"
    )


class AuditOut(Answer):
    """Number and hash of the newest observation."""

    seq: int = Field(description="its number, which is also how many there are")
    hash: str = Field(description="its SHA-256, in hex")


class StumbleOut(ReasonOut):
    """Ticks in a row that could not be made. From the tenth on the run is parked: tried again once an hour."""

    times: int = Field(description="how many")
    at: Moment = Field(description="the last time")
    until: Moment = Field(description="when the run is tried again")


class PhaseOut(Answer):
    """A phase that the run came into."""

    phase: RunPhase = Field(description="planning, executing, waiting, success or failed")
    at: Moment = Field(description="when")
    tick: int = Field(description="in which tick")


class RunOut(Answer):
    """A run. `budgetTotal = budgetRemaining + budgetReserved + budgetSpent`, in dollars."""

    id: Id = Field(alias="_id", description="the run's id")
    user_id: str = Field(description="whose run it is")
    key_id: str | None = Field(description="the API key that it was started with; null: none")
    goal: str = Field(description="what is to be done")
    status: RunStatus = Field(description="running until it has ended")
    phase: RunPhase = Field(description="what it is at; waiting while a vendor works")
    history: list[PhaseOut] = Field(description="the last 50 phases that it came into, oldest first")
    budget_total: Usd = Field(description="dollars")
    budget_remaining: Usd = Field(description="dollars that are free")
    budget_reserved: Usd = Field(description="dollars set aside for open purchases")
    budget_spent: Usd = Field(description="dollars paid, or booked as paid")
    reservations: dict[str, ReservationOut] = Field(description="open purchases by job id")
    constraints: ConstraintsOut = Field(description="what the user allows")
    tick: int = Field(description="ticks so far")
    next_tick_at: Moment | None = Field(description="when the next tick is due; null: it has ended")
    ending: EndingOut | None = Field(description="how it ends once no money is open; null: not yet")
    failure: ReasonOut | None = Field(description="why it failed or was cancelled")
    stumble: StumbleOut | None = Field(description="why its last ticks could not be made; null: they could")
    audit: AuditOut = Field(description="head of the audit chain")
    created_at: Moment = Field(description="when it was started")
    updated_at: Moment = Field(description="when it was last written")
    completed_at: Moment | None = Field(description="when it ended")

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
                chain_seen_at=each.chain_seen_at,
            )
            for job_id, each in run.reservations.items()
        }
        fields = {name: getattr(run, name) for name in cls.model_fields if name != "reservations"}
        return cls.model_validate({**fields, "reservations": reservations})


class JobParamsOut(Answer):
    """What was ordered."""

    job_type: str = Field(description="kind of job")
    gpu_type: str = Field(description="GPU type")
    max_hours: float = Field(description="hours paid for")
    goal: str = Field(description="the run's goal")


class JobOut(Answer):
    """One purchase at one vendor."""

    id: Id = Field(alias="_id", description="the job's id, also the vendor's Idempotency-Key")
    run_id: Id = Field(description="its run")
    vendor_id: str = Field(description="its vendor")
    vendor_job_id: str | None = Field(description="the vendor's own id for it; null: not taken yet")
    status: JobStatus = Field(description="where it stands")
    expected_cost: Usd = Field(description="dollars quoted")
    actual_cost: Usd | None = Field(description="dollars paid for it; null: still open")
    job_params: JobParamsOut = Field(description="what was ordered")
    progress: float = Field(description="per cent")
    artifact_url: str | None = Field(description="what came of it")
    final_metrics: dict[str, float | str] | None = Field(description="as the vendor reported them")
    failure: ReasonOut | None = Field(description="why it failed")
    created_at: Moment = Field(description="when it was drawn up")
    completed_at: Moment | None = Field(description="when it ended")

    @classmethod
    def of(cls, job: Job) -> JobOut:
        """The public form of a job."""
        return cls.model_validate(job)


class PaymentOut(Answer):
    """One authorization and what became of it."""

    id: Id = Field(alias="_id", description="its job's id: one job, one payment")
    run_id: Id = Field(description="its run")
    job_id: Id = Field(description="its job")
    vendor_id: str = Field(description="who is paid")
    amount: Usd = Field(description="dollars")
    currency: str = Field(description="the token")
    status: PaymentStatus = Field(
        description="unresolved: the authorization expired with no proof either way, counted as spent"
    )
    x402_tx_id: str | None = Field(description="the settlement that the vendor showed")
    network: str = Field(description="CAIP-2 id")
    asset: str = Field(description="the token's address")
    payer: str = Field(description="our address")
    pay_to: str = Field(description="the payee's address")
    nonce: str = Field(description="EIP-3009 nonce, derived from the job")
    valid_before: Moment = Field(description="until then the authorization can be cashed")
    created_at: Moment = Field(description="when it was signed")

    @classmethod
    def of(cls, payment: Payment) -> PaymentOut:
        """The public form of a payment."""
        return cls.model_validate(payment)


class ObservationOut(Answer):
    """One entry of the audit trail, exactly as it is hashed."""

    run_id: str = Field(description="its run")
    seq: int = Field(description="its number, from 1, without gaps")
    type: str = Field(description="what kind of thing happened")
    content: str = Field(description="a sentence")
    data: dict[str, Any] = Field(description="what programs may want to know of it")
    timestamp: str = Field(description="UTC with milliseconds")
    prev_hash: str = Field(description="hash of the one before")
    hash: str = Field(description="SHA-256 of the canonical JSON of all other fields")

    @classmethod
    def of(cls, entry: Observation) -> ObservationOut:
        """The public form of an observation."""
        return cls.model_validate(public_observation(entry))


class EvidenceOut(Answer):
    """How one job of a vendor ended."""

    job_id: str = Field(description="the job")
    run_id: str = Field(description="its run")
    outcome: str = Field(description="completed or failed")
    at: Moment = Field(description="when it ended")


class RecordOut(Answer):
    """All outcomes of a vendor counted, and the newest of them."""

    completed: int = Field(description="jobs that completed")
    failed: int = Field(description="jobs that failed")
    evidence: list[EvidenceOut] = Field(description="the newest outcomes, oldest first")
    vote_count: int = Field(description="votes of users that count")
    vote_average: float | None = Field(description="their mean, 0 to 5; null: there are none")


class VendorOut(Answer):
    """A vendor as registered, with its record. `basePricePerHour` in dollars."""

    vendor_id: str = Field(description="its id")
    name: str = Field(description="its name")
    endpoint: str = Field(description="where its calls are")
    base_price_per_hour: Usd = Field(description="list price in dollars")
    reliability_score: float = Field(description="expected share of jobs that complete")
    record: RecordOut = Field(description="what the score rests on")
    supported_gpu_types: list[str] = Field(description="what it rents out")
    pay_to: str | None = Field(description="its pinned payee; null: pinned at the first payment")
    secret_ref: str | None = Field(description="variable that holds its bearer token; null: it is sealed")
    allow_tx_id: bool = Field(description="it may name payments by x402-tx-id alone, which proves nothing")
    sealed: bool = Field(description="its bearer token is kept in the registry, sealed")
    created_at: Moment = Field(description="when it was registered")

    @classmethod
    def of(cls, vendor: Vendor) -> VendorOut:
        """The public form of a vendor."""
        return cls.model_validate(vendor)
