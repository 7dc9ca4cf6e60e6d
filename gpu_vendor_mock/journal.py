"""What happened at the vendors, written as it happened: the oracle that a client's books are held against.

Five lists, oldest first, nothing ever changed or removed. Amounts are micro-dollars, `at` is Unix seconds. No
signature is kept, so the journal holds no authorization that anyone could use.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

from pydantic.alias_generators import to_camel

__all__ = ["FaultFired", "JobStarted", "Journal", "Presented", "Refusal", "Settled"]


@dataclass(frozen=True, slots=True)
class Presented:
    """A request carried a payment, whatever came of it.

    `sha256` is of the header value: all presentations of one purchase should show the same one.
    """

    at: float
    vendor_id: str
    key: str
    payer: str
    nonce: str
    value: int
    valid_before: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """A payment was turned down. Whether money moved all the same is said by the settlements alone."""

    at: float
    vendor_id: str
    key: str
    nonce: str
    reason: str


@dataclass(frozen=True, slots=True)
class Settled:
    """Money moved. `quoted` is what the quote had promised, `amount` what was paid, `pay_to` who got it."""

    at: float
    vendor_id: str
    key: str
    template_id: str
    quoted: int
    amount: int
    network: str
    asset: str
    payer: str
    pay_to: str
    nonce: str
    transaction: str
    x402_version: int


@dataclass(frozen=True, slots=True)
class JobStarted:
    """A job exists at the vendor. Only the fault `duplicate_job` makes a second one under the same key."""

    at: float
    vendor_id: str
    key: str
    vendor_job_id: str
    template_id: str
    price: int
    paid: bool
    forgotten: bool


@dataclass(frozen=True, slots=True)
class FaultFired:
    """A fault was injected; a test that asked for one can see that it happened."""

    at: float
    vendor_id: str
    fault: str


@dataclass(slots=True)
class Journal:
    """The five lists. Append only."""

    payments: list[Presented] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    settlements: list[Settled] = field(default_factory=list)
    jobs: list[JobStarted] = field(default_factory=list)
    faults: list[FaultFired] = field(default_factory=list)

    def as_json(self) -> dict[str, list[dict[str, str | int | float | bool]]]:
        """The answer of GET /journal: each list under its name, its entries' fields in camelCase."""
        return {
            name: [{to_camel(key): value for key, value in entry.items()} for entry in entries]
            for name, entries in asdict(self).items()
        }
