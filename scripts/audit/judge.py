"""The audit of a run from outside: chain, books, jobs, payments and trail held against each other.

`judge` is pure; `audit_run` and `audit_all` bring it what the API answers, a page at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from agent.audit import ChainCheck
from scripts.audit.books import books_of
from scripts.audit.money import Spent, money_faults
from scripts.audit.trail import TrailCheck
from scripts.client.api import Client
from scripts.client.errors import Refused

if TYPE_CHECKING:
    from pydantic import JsonValue

    from scripts.client.shapes import Payment, Records

__all__ = ["Audited", "Witness", "audit_all", "audit_run", "judge"]

Witness: TypeAlias = "Callable[[Sequence[Payment]], Sequence[str]]"
"""Who knows more of a run's payments than the server says: what is against them, one sentence each."""

MOST_FAULTS: Final = 100
"""Findings of one run that are told; a trail that is wrong from end to end needs no more."""


@dataclass(frozen=True, slots=True)
class Audited:
    """How much of a run was checked, and what is wrong with it, one sentence each."""

    run_id: str
    observations: int
    payments: int
    jobs: int
    faults: tuple[str, ...]

    def as_json(self) -> dict[str, JsonValue]:
        """For `--json`."""
        return {
            "runId": self.run_id,
            "verified": not self.faults,
            "observations": self.observations,
            "payments": self.payments,
            "jobs": self.jobs,
            "faults": list(self.faults),
        }


def judge(
    records: Records, entries: Iterable[dict[str, JsonValue]], spent: Spent, against: Iterable[str] = ()
) -> Audited:
    """Check a run: `entries` is its whole trail, read once and not kept; `spent` the payments of other runs.

    `against` is what a witness says of its payments.
    """
    run, jobs, payments = records.run, records.jobs, records.payments
    chain, trail = ChainCheck(run.id), TrailCheck()
    for entry in entries:
        chain.look(entry)
        trail.look(entry)
    faults = [
        *chain.verdict({"seq": run.audit.seq, "hash": run.audit.hash}),
        *books_of(run, payments).faults,
        *money_faults(run, jobs, payments),
        *trail.faults(run, jobs, payments),
        *spent.faults(payments),
        *against,
    ]
    if len(faults) > MOST_FAULTS:
        faults[MOST_FAULTS:] = [f"and {len(faults) - MOST_FAULTS} more"]
    return Audited(run.id, chain.checked, len(payments), len(jobs), tuple(faults))


def audit_run(client: Client, run_id: str, spent: Spent | None = None, witness: Witness | None = None) -> Audited:
    """Fetch a run and judge it; `witness` is asked about its payments.

    A run that cannot be read, or that the server fails over, is a finding and no error.

    Raises:
        ClientError: the server cannot be reached, or refuses.
    """
    try:
        records = client.snapshot(run_id).value
        trail = client.trail(run_id, records.run.audit.seq)
        return judge(records, trail, spent or Spent(), witness(records.payments) if witness else ())
    except Refused as exc:
        if exc.code not in ("run_unreadable", "internal_error"):
            raise
        return _unseen(run_id)


def audit_all(client: Client, witness: Witness | None = None) -> Iterator[Audited]:
    """Every run that the server lists, page by page, with what their payments share.

    Those that the server cannot read are findings.

    Raises:
        ClientError: the server cannot be reached, or refuses.
    """
    spent = Spent()
    for run_id, readable in client.every_run():
        yield audit_run(client, run_id, spent, witness) if readable else _unseen(run_id)


def _unseen(run_id: str) -> Audited:
    return Audited(run_id, 0, 0, 0, ("the server cannot show it: a document of it is not what it should be",))
