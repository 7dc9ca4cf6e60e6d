"""The audit of a run from outside: chain, books, jobs, payments and trail held against each other.

`judge` is pure; `audit_run` and `audit_all` bring it what the API answers, a page at a time, `judge_export` what a
file holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Final, TypeAlias

from agent.book.audit import ChainCheck
from scripts.audit.books import books_of
from scripts.audit.export import Evidence, Object, evidence_of
from scripts.audit.exported import Export, Malformed
from scripts.audit.kept import Kept, KeptTrail
from scripts.audit.money import Spent, money_faults
from scripts.audit.retelling import Retelling
from scripts.audit.trail import TrailCheck
from scripts.client.api import Client
from scripts.client.errors import Refused

if TYPE_CHECKING:
    from pydantic import JsonValue

    from scripts.client.shapes import Payment

__all__ = ["Audited", "Judge", "Witness", "audit_all", "audit_run", "judge", "judge_export"]

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


class Judge:
    """A run under audit: its trail is looked at entry by entry and not kept, then held against its records."""

    def __init__(self, run_id: str, kept: Kept | None = None) -> None:
        """`kept` is what somebody has of it from before."""
        self._chain, self._trail, self._retelling = ChainCheck(run_id), TrailCheck(), Retelling()
        self._kept = KeptTrail(kept, run_id) if kept is not None else None

    def look(self, entry: Object) -> None:
        """Take the next observation."""
        self._chain.look(entry)
        self._trail.look(entry)
        self._retelling.look(entry)
        if self._kept is not None:
            self._kept.look(entry)

    def verdict(self, found: Evidence, spent: Spent, against: Iterable[str] = ()) -> Audited:
        """All that is wrong. `spent` are the payments of other runs; `against` is what others found."""
        run, jobs, payments = found.records.run, found.records.jobs, found.records.payments
        faults = [
            *self._chain.verdict({"seq": run.audit.seq, "hash": run.audit.hash}),
            *books_of(run, payments).faults,
            *money_faults(run, jobs, payments),
            *self._trail.faults(run, jobs, payments),
            *spent.faults(payments),
        ]
        # Field by field, where no rule has found anything: what one has named needs no second sentence.
        faults = faults or [*self._retelling.differences(found)]
        faults += [*(self._kept.faults(found) if self._kept is not None else ()), *against]
        if len(faults) > MOST_FAULTS:
            faults[MOST_FAULTS:] = [f"and {len(faults) - MOST_FAULTS} more"]
        return Audited(run.id, self._chain.checked, len(payments), len(jobs), tuple(faults))


def judge(
    found: Evidence,
    entries: Iterable[Object],
    spent: Spent,
    against: Iterable[str] = (),
    kept: Kept | None = None,
) -> Audited:
    """Check a run: `entries` is its whole trail, read once and not kept; for the rest see `Judge`."""
    case = Judge(found.records.run.id, kept)
    for entry in entries:
        case.look(entry)
    return case.verdict(found, spent, against)


def judge_export(file: BinaryIO, name: str, kept: Kept | None = None) -> Audited:
    """Check an exported file by itself. What does not say of which run it is is called `name`."""
    try:
        export = Export(file)
        name = export.run_id or name
        case = Judge(export.run_id, kept)
        for entry in export.observations():
            case.look(entry)
        return case.verdict(export.evidence(), Spent(), export.faults())
    except Malformed as exc:
        return _unseen(name, str(exc))


def audit_run(
    client: Client,
    run_id: str,
    spent: Spent | None = None,
    witness: Witness | None = None,
    kept: Kept | None = None,
) -> Audited:
    """Fetch a run and judge it; `witness` is asked about its payments.

    A run that cannot be read, or that the server fails over, is a finding and no error.

    Raises:
        ClientError: the server cannot be reached, or refuses.
    """
    try:
        found = evidence_of(client.snapshot(run_id).text)
        trail = client.trail(run_id, found.records.run.audit.seq)
        against = witness(found.records.payments) if witness else ()
        return judge(found, trail, spent or Spent(), against, kept)
    except Refused as exc:
        if exc.code not in ("run_unreadable", "internal_error"):
            raise
        return _unseen(run_id, _UNREADABLE)


def audit_all(client: Client, witness: Witness | None = None, kept: Kept | None = None) -> Iterator[Audited]:
    """Every run that the server lists, page by page, with what their payments share.

    Those that the server cannot read are findings, and those that were kept and are not listed.

    Raises:
        ClientError: the server cannot be reached, or refuses.
    """
    spent, gone = Spent(), {} if kept is None else {**kept.trails}
    for run_id, run in client.every_run():
        gone.pop(run_id, None)
        yield _unseen(run_id, _UNREADABLE) if run is None else audit_run(client, run_id, spent, witness, kept)
    for run_id, hashes in gone.items():
        yield _unseen(run_id, f"it is gone: {kept.name if kept else ''} has it with {max(hashes)} observations")


_UNREADABLE: Final = "the server cannot show it: a document of it is not what it should be"


def _unseen(run_id: str, why: str) -> Audited:
    return Audited(run_id, 0, 0, 0, (why,))
