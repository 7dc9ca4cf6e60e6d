"""What is known of a vendor and what it answers, as values that cannot be built wrong.

Amounts are micro-dollars, times are UTC, hours and minutes are what the names say.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import urlsplit

from net.addresses import literal, on_this_machine, why_refused
from vendors.errors import InvalidVendor
from x402.codec import is_address

if TYPE_CHECKING:
    from x402.wire import Receipt

__all__ = [
    "MAX_PRICE",
    "Evidence",
    "JobReport",
    "JobState",
    "Outcome",
    "Quote",
    "Record",
    "Rejected",
    "Submitted",
    "UserShare",
    "Vendor",
    "Vote",
    "is_token",
]

MAX_PRICE: Final = 1_000_000 * 1_000_000
"""The most that a price may be, in micro-dollars: a million dollars."""

JobState = Literal["queued", "running", "completed", "failed"]
"""What a vendor may say of a job."""

Outcome = Literal["completed", "failed"]
"""How a job ended, seen from here."""

_MAX_URL: Final = 2_000
_URL_TEXT: Final = re.compile(r"[\x21-\x7e]+")
_VENDOR_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_GPU_TYPE: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_SECRET_REF: Final = re.compile(r"[A-Z][A-Z0-9_]{0,99}")
_TOKEN: Final = re.compile(r"[\x21-\x7e]{1,4096}")
_HOST_NAME: Final = re.compile(r"(?=.{1,253}$)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*")


@dataclass(frozen=True, slots=True)
class Evidence:
    """How one job ended: what a reliability score rests on."""

    job_id: str
    run_id: str
    outcome: Outcome
    at: datetime


@dataclass(frozen=True, slots=True)
class UserShare:
    """The outcomes in a record that one user's runs brought. `user` is a hash: nobody is named here."""

    user: str
    completed: int
    failed: int


@dataclass(frozen=True, slots=True)
class Vote:
    """What a user thought of a vendor after a run, 0 to 5. One for each run and user."""

    user: str
    run_id: str
    score: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Record:
    """All jobs of a vendor counted, and the newest of them as evidence, oldest first; whose they were, and what
    users said of them.
    """

    completed: int = 0
    failed: int = 0
    evidence: tuple[Evidence, ...] = ()
    shares: tuple[UserShare, ...] = ()
    votes: tuple[Vote, ...] = ()

    @property
    def vote_count(self) -> int:
        """How many votes count."""
        return len(self.votes)

    @property
    def vote_average(self) -> float | None:
        """Their mean, 0 to 5; None: there are none."""
        return round(sum(vote.score for vote in self.votes) / len(self.votes), 2) if self.votes else None


@dataclass(frozen=True, slots=True)
class Vendor:
    """A vendor as registered, with what was learned of it since.

    `base_price_per_hour` in micro-dollars. `reliability_prior` is the score it was registered with,
    `reliability_score` the one that its record has moved that to, both 0..1. `pay_to` is the payee that payments
    are pinned to (whether it may ever be paid is looked at where it comes in, and when it is paid),
    `former_pay_to` the one before an operator changed it. Its bearer token is either in the variable that
    `secret_ref` names, or sealed in `sealed_secret`, which only who has the keys can read. `allow_tx_id`: it may
    be from before x402, and name a payment by `x402-tx-id` alone. `rev` counts the writes of the stored
    document.

    Raises:
        InvalidVendor: naming the field that is not as it must be.
    """

    vendor_id: str
    name: str
    endpoint: str
    base_price_per_hour: int
    reliability_score: float
    reliability_prior: float
    supported_gpu_types: tuple[str, ...]
    pay_to: str | None
    secret_ref: str | None
    created_at: datetime
    record: Record = Record()
    rev: int = 0
    sealed_secret: str | None = field(default=None, repr=False)
    former_pay_to: str | None = None
    allow_tx_id: bool = False

    def __post_init__(self) -> None:
        for name, valid, rule in (
            ("vendor_id", _VENDOR_ID.fullmatch(self.vendor_id), "must be 1 to 64 of A-Z a-z 0-9 _ -"),
            (
                "name",
                0 < len(self.name) <= 100 and self.name.isprintable(),
                "must be 1 to 100 printable characters",
            ),
            (
                "base_price_per_hour",
                0 < self.base_price_per_hour <= MAX_PRICE,
                "must be above 0 and at most a million dollars",
            ),
            ("reliability_score", 0 <= self.reliability_score <= 1, "must be between 0 and 1"),
            ("reliability_prior", 0 <= self.reliability_prior <= 1, "must be between 0 and 1"),
            (
                "supported_gpu_types",
                0 < len(self.supported_gpu_types) <= 64
                and all(map(_GPU_TYPE.fullmatch, self.supported_gpu_types)),
                "must be 1 to 64 names, each 1 to 64 of A-Z a-z 0-9 _ . -",
            ),
            (
                "secret_ref",
                self.secret_ref is None or _SECRET_REF.fullmatch(self.secret_ref),
                "must be the name of an environment variable",
            ),
            (
                "secret_ref",
                (self.secret_ref is None) != (self.sealed_secret is None),
                "or a sealed secret must be there, and not both",
            ),
        ):
            if not valid:
                raise InvalidVendor(name, rule)
        if self.pay_to is not None and not is_address(self.pay_to):
            raise InvalidVendor("pay_to", "must be an address: 0x and 40 hex digits")
        if problem := _endpoint_problem(self.endpoint):
            raise InvalidVendor("endpoint", problem)

    @property
    def sealed(self) -> bool:
        """Whether its bearer token is sealed in the registry."""
        return self.sealed_secret is not None

    @property
    def token_for(self) -> str:
        """Whom its sealed token is for: the vendor where it is now. Moved, it is somebody else."""
        url = urlsplit(self.endpoint)
        return f"{self.vendor_id} at {url.scheme}://{url.netloc.lower()}"

    @property
    def local(self) -> bool:
        """Whether its endpoint is on this machine, by its own words."""
        return on_this_machine(urlsplit(self.endpoint).hostname or "")


@dataclass(frozen=True, slots=True)
class Quote:
    """An offer to run a job: `price` in micro-dollars for the whole of it, `eta_minutes` None where not said."""

    template_id: str
    price: int
    currency: Literal["USD", "USDC"]
    eta_minutes: float | None


@dataclass(frozen=True, slots=True)
class Submitted:
    """The vendor has the job. `status` is its own word for it, "" where it gave none.

    `paid` is true when a payment was sent for it. `receipt` is then the settlement that the vendor showed, or
    None, with the reason in `receipt_problem`: a job without a receipt is not a payment that did not happen.
    `tx_id` is what an old vendor that is allowed to names in `x402-tx-id`; it proves nothing.
    """

    vendor_job_id: str
    status: str
    paid: bool
    receipt: Receipt | None = None
    receipt_problem: str | None = None
    tx_id: str | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """The vendor refused after a payment was sent.

    The authorization can still be cashed until it expires, and was if there is a `receipt`: this frees no money.
    """

    reason: str
    status: int
    receipt: Receipt | None = None


@dataclass(frozen=True, slots=True)
class JobReport:
    """How a job is doing. `progress` 0..100 (None: not said), `cost_so_far` in micro-dollars.

    Only `status` decides anything; what a vendor said of the rest that could not be read is None, and named in
    `left_out`.

    `logs` are all lines so far, oldest first, so that their index tells which were seen before.
    """

    status: JobState
    progress: float | None
    logs: tuple[str, ...]
    remaining_minutes: float | None
    cost_so_far: int | None
    metrics: dict[str, float | str] | None
    artifact_url: str | None
    error_message: str | None
    left_out: tuple[str, ...] = ()


def is_token(text: str) -> bool:
    """Whether it can be sent as a bearer token: 1 to 4096 visible ASCII characters."""
    return _TOKEN.fullmatch(text) is not None


def _endpoint_problem(endpoint: str) -> str | None:
    """Why bearer tokens and payments must not be sent to `endpoint`, if so. Names are resolved at each call."""
    if len(endpoint) > _MAX_URL or not _URL_TEXT.fullmatch(endpoint):
        return f"must be a URL of at most {_MAX_URL} ASCII characters without blanks"
    try:
        url = urlsplit(endpoint)
        host, _ = url.hostname or "", url.port
        address, local = literal(host), on_this_machine(host)
    except ValueError:
        return "must be a URL with a valid host and port"
    if url.scheme not in ("http", "https") or not (address or _HOST_NAME.fullmatch(host)):
        return "must be an http or https URL with a host"
    if "@" in url.netloc or "?" in endpoint or "#" in endpoint:
        return "must have no user, query or fragment: calls are made below its path"
    if address and (what := why_refused(address, loopback=True)):
        return f"must be at a public address: {address} is {what}"
    if url.scheme == "http" and not local:
        return "must be https: over http anyone on the way could read the token and cash the payment"
    return None
