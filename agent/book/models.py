"""The documents, field by field: camelCase when stored, snake_case here, amounts in micro-dollars.

A run document is the truth about its run: lease, budget, reservations, live authorizations, open jobs and the
head of the audit chain change in one conditional write. What that write has to say to the other collections
travels in its `outbox` and is copied there afterwards, as often as need be (docs/decisions/0002).
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Final, Literal

from bson import ObjectId
from pydantic import BaseModel, ConfigDict, Field, JsonValue, PlainSerializer
from pydantic.alias_generators import to_camel

from agent.book.lifecycle import JobStatus, PaymentStatus, RunPhase, RunStatus

__all__ = [
    "GENESIS",
    "INDEXES",
    "LAST_SECOND",
    "SCHEMA",
    "AuditHead",
    "Closing",
    "Constraints",
    "Document",
    "Ending",
    "Failure",
    "Job",
    "JobParams",
    "Json",
    "Lease",
    "Observation",
    "Outbox",
    "Outcome",
    "Payment",
    "PhaseEntered",
    "Reservation",
    "Rest",
    "Run",
    "SignedAuthorization",
    "Stumble",
]

SCHEMA: Final = 1
"""Version of the shapes below. A change that old code cannot read raises it and comes with a migration."""

GENESIS: Final = "0" * 64
"""`prevHash` of a run's first observation."""

INDEXES: Final[dict[str, tuple[tuple[tuple[str, int], ...], ...]]] = {
    "runs": (
        (("status", 1), ("nextTickAt", 1), ("userId", 1), ("_id", 1)),
        (("status", 1), ("cancelRequested", 1)),
        (("endedUntold", 1),),
        (("stumble.times", 1),),
        (("createdAt", -1), ("_id", -1)),
        (("userId", 1), ("createdAt", -1), ("_id", -1)),
        (("status", 1), ("createdAt", -1), ("_id", -1)),
    ),
    "jobs": ((("runId", 1), ("createdAt", 1)),),
    "payments": ((("runId", 1), ("createdAt", 1)),),
    "observations": (),
    "vendors": (),
    "allowances": (),
    "places": (),
    "keys": ((("createdAt", -1), ("_id", -1)),),
    "marks": (),
}
"""Every collection and its indexes; `purser init` makes them. What must be unique is so by its `_id`, not by
an index that somebody may have forgotten to make."""

Json = JsonValue
"""What observation data may hold: plain JSON, so that its hash can be recomputed anywhere."""

Micro = Annotated[int, Field(ge=0)]
"""An amount in micro-dollars. Stored ones that are below zero are nobody's: the document cannot be read."""

LAST_SECOND: Final = 253_370_764_800
"""The last time (unix s) that a datetime can hold with room to add to it: in the year 9998."""

UnixSeconds = Annotated[int, Field(ge=0, le=LAST_SECOND)]
"""A time that a datetime can hold, with room to add to it."""

DecimalText = Annotated[Decimal, PlainSerializer(str)]
"""A decimal kept as text: BSON would make it a float."""


class Document(BaseModel):
    """A frozen value that is a document, or a part of one."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        frozen=True,
        arbitrary_types_allowed=True,
    )

    def to_document(self) -> dict[str, Any]:
        """The BSON document."""
        return self.model_dump(by_alias=True)


class Constraints(Document):
    """What the user allows. `max_price_per_hour` in micro-dollars, `max_hours` in hours per job."""

    gpu_type: str | None = None
    job_type: str | None = None
    max_hours: float | None = None
    max_price_per_hour: Micro | None = None
    vendor_ids: tuple[str, ...] | None = None
    deadline: datetime | None = None
    price_tolerance: DecimalText = Decimal(0)


class Failure(Document):
    """Why something ended badly: a stable `code` and a `message` for people."""

    code: str
    message: str


class Ending(Document):
    """How the run is going to end as soon as no money is open any more."""

    status: Literal["completed", "failed", "cancelled"]
    code: str
    message: str


class Lease(Document):
    """Who may write, until when. `owner` is the fencing token of one tick."""

    owner: str
    until: datetime


class SignedAuthorization(Document):
    """A complete signed authorization, stored before it is sent; a cheque until `valid_before` (unix s).

    `header_name` and `header_value` are the bytes that are sent, and sent again, never made twice, and only to the
    vendor's endpoint `sent_to`.
    """

    header_name: str
    header_value: str = Field(repr=False)
    payer: str
    pay_to: str
    amount: Micro
    network: str
    asset: str
    currency: str
    nonce: str
    valid_before: UnixSeconds
    signed_at: datetime
    sent_to: str | None = None


class Reservation(Document):
    """Money set aside for one job. `amount` is the most that it may cost. `scopes` are the sums over many runs
    that it may count in (`agent.book.limits`): written here first, so that it can be taken back whoever dies.

    Of an authorization that is out, `held` says why it is not sent again, `unclear` why the last answer to it
    was none, and `transaction` is the settlement that a vendor showed before its answer broke. `chain_seen_at` is
    the time of the newest block in which the chain showed nothing of it yet.
    """

    amount: Micro
    vendor_id: str
    template_id: str
    created_at: datetime
    scopes: tuple[str, ...] = ()
    authorization: SignedAuthorization | None = None
    held: str | None = None
    unclear: str | None = None
    transaction: str | None = None
    chain_seen_at: datetime | None = None


class JobParams(Document):
    """What was ordered, frozen with the quote. `max_hours` in hours."""

    job_type: str
    gpu_type: str
    max_hours: float
    goal: str


class Job(Document):
    """One purchase at one vendor. Its id is also the vendor's Idempotency-Key and the seed of the nonce.

    `trouble` is why the vendor could not be asked how the job does, the last time it could not, `unknown_since`
    since when it says that it does not know the job. `signs` is a digest of its last report: any change is a
    sign of life, at `progress_at`. `news_at` is when it has something to tell, by its own word: the job's end,
    or log lines that one tick had no room for. `left_out` is what of its last report was not kept. `logs_seen`
    counts the lines taken of the log as it stands, `logs_restarted` how often it began again.
    """

    id: ObjectId = Field(alias="_id")
    run_id: ObjectId
    vendor_id: str
    vendor_job_id: str | None = None
    status: JobStatus = "pending"
    expected_cost: Micro
    actual_cost: Micro | None = None
    job_params: JobParams
    progress: float = 0.0
    progress_at: datetime
    news_at: datetime | None = None
    left_out: tuple[str, ...] = ()
    signs: str | None = None
    logs_seen: int = 0
    logs_restarted: int = 0
    trouble: str | None = None
    unknown_since: datetime | None = None
    artifact_url: str | None = None
    final_metrics: dict[str, float | str] | None = None
    failure: Failure | None = None
    created_at: datetime
    completed_at: datetime | None = None
    rev: int = 0


class Payment(Document):
    """The record of one authorization. Its id is its job's: one job, one payment."""

    id: ObjectId = Field(alias="_id")
    run_id: ObjectId
    job_id: ObjectId
    vendor_id: str
    amount: Micro
    currency: str
    status: PaymentStatus = "pending"
    x402_tx_id: str | None = None
    network: str
    asset: str
    payer: str
    pay_to: str
    nonce: str
    valid_before: datetime
    created_at: datetime
    rev: int = 0


class Observation(Document):
    """An entry of the audit trail: written once, numbered without gaps, chained by hash to the last."""

    run_id: ObjectId
    seq: int
    type: str
    content: str
    data: dict[str, Json]
    timestamp: datetime
    prev_hash: str
    hash: str


class Outcome(Document):
    """How a vendor did on one job: evidence for its reliability."""

    vendor_id: str
    user_id: str = ""
    run_id: ObjectId
    job_id: ObjectId
    completed: bool
    at: datetime


class Closing(Document):
    """A purchase that counted in sums over many runs is over: of its `amount` it has spent `spent`."""

    job_id: ObjectId
    scopes: tuple[str, ...]
    amount: Micro
    spent: Micro


class Stumble(Document):
    """Ticks in a row that could not even be made: how often, why (our words, never an exception's), the last time,
    and when the run is tried again. Written from outside of a tick; the next one that is made clears it."""

    times: int
    code: str
    message: str
    at: datetime
    until: datetime


class Rest(Document):
    """A vendor that could not be reached: how often in a row, since when, and until when it is not asked again."""

    times: int
    since: datetime
    until: datetime
    why: str = ""


class PhaseEntered(Document):
    """A phase that the run came into, when, and in which tick."""

    phase: RunPhase
    at: datetime
    tick: int


class AuditHead(Document):
    """Number and hash of the newest observation."""

    seq: int = 0
    hash: str = GENESIS


class Outbox(Document):
    """What the run has decided and the other collections may not have been told yet."""

    observations: tuple[Observation, ...] = ()
    jobs: tuple[Job, ...] = ()
    payments: tuple[Payment, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    closings: tuple[Closing, ...] = ()

    @property
    def empty(self) -> bool:
        """Nothing to tell."""
        return not self.observations and self.can_wait

    @property
    def can_wait(self) -> bool:
        """Nothing to tell that anybody misses: observations are read from here as well."""
        return not (self.jobs or self.payments or self.outcomes or self.closings)


class Run(Document):
    """A goal with a budget. `budget_total = budget_remaining + budget_reserved + budget_spent`, always.

    `key_id` is the API key that it was started with, if it was, whose limits bound what it may spend.
    `jobs_unreached` are those of `jobs_started` whose vendor could not be reached: nothing was ordered by them.
    `history` are the newest phases that it came into, `finished_tick` is the last tick that came to its end.
    `wait_until` is what the planner asked to wait for, `idle_waits` how often in a row it did, `rests` the vendors
    that could not be reached, by id, `faults` how many ticks in a row ended in a fault of ours, `ended_untold`
    that the run has ended and its outbox may be full.
    """

    id: ObjectId = Field(alias="_id")
    schema_version: int = SCHEMA
    user_id: str
    key_id: str | None = None
    goal: str
    status: RunStatus = "running"
    phase: RunPhase = "idle"
    history: tuple[PhaseEntered, ...] = ()
    budget_total: Micro
    budget_remaining: Micro
    budget_reserved: Micro = 0
    budget_spent: Micro = 0
    reservations: dict[str, Reservation] = {}
    jobs: dict[str, Job] = {}
    jobs_started: int = 0
    jobs_unreached: int = 0
    idle_waits: int = 0
    wait_until: datetime | None = None
    rests: dict[str, Rest] = {}
    faults: int = 0
    ended_untold: bool = False
    stumble: Stumble | None = None
    constraints: Constraints = Constraints()
    lease: Lease | None = None
    rev: int = 0
    tick: int = 0
    finished_tick: int | None = None
    next_tick_at: datetime | None = None
    cancel_requested: bool = False
    ending: Ending | None = None
    failure: Failure | None = None
    audit: AuditHead = AuditHead()
    outbox: Outbox = Outbox()
    request_hash: str
    created_at: datetime
    updated_at: datetime
    completed_at: datetime | None = None
