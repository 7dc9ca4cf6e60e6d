"""What can go wrong in the core, one family.

PurserError
├── ConfigurationError   a setting is missing or wrong; the message names it
├── RunNotFound          no run with that id
├── RunUnreadable        what is stored of a run is not what this version writes
├── RunBusy              another tick holds the lease; `retry_after` seconds
├── LeaseLost            this tick slept through its lease: it must stop, another one goes on
├── LedgerRefused        the books forbid the movement (not enough left, no such reservation, ...)
├── IdempotencyConflict  the same Idempotency-Key with another body
├── VendorExists         the vendor id is taken
├── VendorNotFound       no vendor with that id
├── NotAdmitted          the API key is unknown, revoked or expired
├── RateLimited          the API key has used up this minute's requests; `retry_after` seconds
├── TooManyRuns          the API key has as many runs under way as it may have; `retry_after` seconds
├── KeyNotFound          no API key with that id
├── KeyRevoked           the API key of a run was revoked: the run buys nothing more
├── LimitReached         a limit over many runs leaves too little for a payment
├── WalletShort          the wallet holds less than it would have to promise
├── WalletUnfit          the wallet's address has code, and its key's signature counts for nothing there
├── RestoreRefused       what an operator says of a restored database cannot be taken
└── StoreUnavailable     the database did not answer; the write may or may not have happened
"""

from __future__ import annotations

__all__ = [
    "ClockWrong",
    "ConfigurationError",
    "IdempotencyConflict",
    "KeyNotFound",
    "KeyRevoked",
    "LeaseLost",
    "LedgerRefused",
    "LimitReached",
    "NotAdmitted",
    "PurserError",
    "RateLimited",
    "RestoreRefused",
    "RunBusy",
    "RunNotFound",
    "RunUnreadable",
    "StoreUnavailable",
    "TooManyRuns",
    "VendorExists",
    "VendorNotFound",
    "WalletShort",
    "WalletUnfit",
]


class PurserError(Exception):
    """Base of the family."""


class ConfigurationError(PurserError):
    """A setting is missing or wrong. The message names the variable and says what to do."""


class RunNotFound(PurserError):
    """No run has that id."""

    def __init__(self, run_id: object) -> None:
        super().__init__(f"there is no run {run_id}; GET /api/runs lists the runs there are")


class RunUnreadable(PurserError):
    """What is stored of a run is not what this version writes."""

    def __init__(self, run_id: object) -> None:
        super().__init__(
            f"what is stored of run {run_id} cannot be read: another version wrote it, or another hand"
        )


class RunBusy(PurserError):
    """Another tick holds the run's lease."""

    def __init__(self, run_id: object, retry_after: int) -> None:
        """`retry_after`: whole seconds after which another try may do."""
        super().__init__(f"run {run_id} is being ticked; try again in {retry_after} s")
        self.retry_after = retry_after


class LeaseLost(PurserError):
    """A write came after the lease was taken over. Nothing was written; the new holder goes on."""

    def __init__(self, run_id: object) -> None:
        super().__init__(f"this tick no longer holds the lease of run {run_id}; nothing was written")


class LedgerRefused(PurserError):
    """The books forbid the movement of money that was asked for."""


class IdempotencyConflict(PurserError):
    """An Idempotency-Key was used again for another request."""

    def __init__(self) -> None:
        super().__init__("this Idempotency-Key was used for another request; send a new key for a new run")


class VendorExists(PurserError):
    """A vendor with that id is registered already."""

    def __init__(self, vendor_id: str) -> None:
        super().__init__(f"vendor {vendor_id} exists; PATCH /api/vendors/{vendor_id} changes it")


class VendorNotFound(PurserError):
    """No vendor has that id."""

    def __init__(self, vendor_id: str) -> None:
        super().__init__(f"there is no vendor {vendor_id}; GET /api/vendors lists them")


class NotAdmitted(PurserError):
    """The API key lets nobody in. The message says why, as far as whoever has it may know."""


class RateLimited(PurserError):
    """An API key has used up the requests of this minute."""

    def __init__(self, requests_per_minute: int, retry_after: int) -> None:
        """`retry_after`: whole seconds until the next minute."""
        super().__init__(
            f"this API key may make {requests_per_minute} requests a minute and has made them; "
            f"try again in {retry_after} s"
        )
        self.retry_after = retry_after


class TooManyRuns(PurserError):
    """An API key has as many runs under way as it may have. Nothing was stored."""

    retry_after = 60

    def __init__(self, most: int) -> None:
        """`most`: how many it may have."""
        super().__init__(
            f"this API key has {most} runs under way, as many as it may have: wait until one has ended, or cancel "
            "one (POST /api/agent-cancel), and send the same again"
        )


class KeyNotFound(PurserError):
    """No API key has that id."""

    def __init__(self, key_id: str) -> None:
        super().__init__(f"there is no API key {key_id}; GET /api/keys lists them")


class KeyRevoked(PurserError):
    """The API key that a run was started with was revoked, or is gone."""

    def __init__(self, key_id: str) -> None:
        super().__init__(f"the API key {key_id} that the run was started with was revoked; nothing more is bought")


class LimitReached(PurserError):
    """A limit over many runs leaves too little. Nothing was signed; the message names it and what is left."""


class WalletShort(PurserError):
    """The wallet holds less than it would have to promise. Nothing was signed; the message has the shortfall."""


class WalletUnfit(PurserError):
    """The wallet's address has code. Nothing was signed; the message says what to do."""


class RestoreRefused(PurserError):
    """What an operator says of a restored database cannot be taken. Nothing was changed; the message says why."""


class ClockWrong(PurserError):
    """Our clock, or theirs, is so far off that what is signed now would not be valid there."""


class StoreUnavailable(PurserError):
    """The database did not answer. A write that was under way may or may not have happened."""

    retry_after = 5
