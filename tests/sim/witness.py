"""Looks on at every step: each write of a run as the store has it, each entry that the vendors' journal gains.

What `Oracle` checks of a whole world takes milliseconds. Here only what is new is looked at, so that it can be
done after each of some hundred steps. Purser's word counts for nothing: whether a payment was due is asked of the
document that was stored before the payment came to the vendor, and what moved of the vendors and the chain.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from agent.book.audit import public_observation
from agent.book.models import Observation, Run
from agent.book.money import with_tolerance
from gpu_vendor_mock.faults import FaultName
from gpu_vendor_mock.journal import JobStarted, Journal, Presented, Settled
from tests.sim.oracle import Wrong
from x402.selling.offline import MemoryLedger

__all__ = ["Witness"]

_BOOKS: Final = ("budgetTotal", "budgetRemaining", "budgetReserved", "budgetSpent")
_NEVER_ENDED: Final = ("pending", "submitted", "running")
_LONGEST: Final = 900


@dataclass(slots=True)
class _Known:
    """A run as it was last written."""

    rev: int
    tick: int
    status: str
    books: tuple[int, ...]
    owner: str | None
    until: datetime | None
    seq: int
    head: str
    cancel: bool
    untold: bool
    ending: bool
    tolerance: Decimal
    buys_no_more: bool = False
    """It was ending, or its user had cancelled it, when its last tick began."""
    moved: int = 0
    """Settled at vendors, micro-dollars."""
    out: tuple[_Cheque, ...] = ()
    """All authorizations that ever arrived at a vendor."""


@dataclass(slots=True)
class _Cheque:
    """An authorization as a run document held it first."""

    run: str
    nonce: str
    amount: int
    sha256: str
    header: str = field(repr=False)
    valid_before: int = 0
    settled: bool = False


class Witness:
    """One world's. `Wrong` is raised by the call that saw it."""

    def __init__(
        self,
        journal: Journal,
        chain: MemoryLedger,
        payees: Mapping[str, str | None],
        unix: Callable[[], float],
        *,
        skew: timedelta,
        lapses: bool,
    ) -> None:
        """`payees`: whom each vendor is pinned to, None where it is not; `unix`: the true time; `skew`: most that
        two clocks differ; `lapses`: the chain can be read, so that what ran out unused may be freed."""
        self._journal = journal
        self._chain = chain
        self._payees = dict(payees)
        self._unix = unix
        self._skew = skew
        self._lapses = lapses
        self.runs: dict[str, _Known] = {}
        self.cheques: dict[str, _Cheque] = {}
        self.trails: dict[str, list[str]] = defaultdict(list)
        self._owners: dict[str, str] = {}
        self._nonces: dict[str, str] = {}
        self._jobs: dict[tuple[str, str], int] = defaultdict(int)
        self._ordered: set[str] = set()
        self._seen = [0, 0, 0, 0]

    def written(self, process: str, document: Mapping[str, Any], now: datetime) -> None:
        """A run was written by `process` (its name) at this moment of the true clock; so it stands now."""
        key = str(document["_id"])
        before, after = self.runs.get(key), _known(document)
        _books_balance(document)
        if before is not None:
            after.moved, after.out = before.moved, before.out
            claimed = after.tick != before.tick
            after.buys_no_more = after.ending or after.cancel if claimed else before.buys_no_more
            self._follows(process, before, after, now)
        self.runs[key] = after
        for job, reservation in document["reservations"].items():
            self._owners[job] = key
            if reservation["authorization"] is not None:
                self._laid_down(key, job, reservation["authorization"])
        live = [job for job in document["jobs"].values() if job["status"] in _NEVER_ENDED]
        _must(len(live) <= 1, "a run has one job at a time", [job["_id"] for job in live])
        self._trail_follows(key, before, after, document["outbox"]["observations"])
        self._bound(key)

    def look(self) -> None:
        """See what the vendors and the chain have written since the last look."""
        journal, seen = self._journal, self._seen
        if len(journal.payments) > seen[0]:
            for sent in journal.payments[seen[0] :]:
                self._presented(sent)
            seen[0] = len(journal.payments)
        if len(journal.settlements) > seen[1]:
            for moved in journal.settlements[seen[1] :]:
                self._moved(moved)
            seen[1] = len(journal.settlements)
        if len(journal.jobs) > seen[2]:
            for started in journal.jobs[seen[2] :]:
                self._started(started)
            seen[2] = len(journal.jobs)
        if len(self._chain.journal) > seen[3]:
            for transfer in self._chain.journal[seen[3] :]:
                owner = self._nonces.get(transfer.nonce)
                _must(owner is not None, "what moved was presented to a vendor before", transfer.nonce)
            seen[3] = len(self._chain.journal)

    def payee(self, vendor_id: str) -> str | None:
        """Who is pinned at the vendor, or was the first to be paid there."""
        return self._payees.get(vendor_id)

    def has_job(self, key: str) -> bool:
        """The vendor has a job under this idempotency key already."""
        return key in self._ordered

    def same_trail(self, run: Run, trail: Sequence[Observation]) -> None:
        """The trail of an ended run is what was seen of it, entry by entry, and tells no usable authorization."""
        said = self.trails[str(run.id)]
        _must([each.hash for each in trail] == said, "what was said is not unsaid", (len(trail), len(said)))
        text = json.dumps([public_observation(each) for each in trail])
        for cheque in self.cheques.values():
            _must(cheque.header not in text, "no usable authorization is told", cheque.nonce)

    def _follows(self, process: str, before: _Known, after: _Known, now: datetime) -> None:
        """A run is written by who claims it while it is free, by who holds its lease, or only in its margins."""
        _must(after.cancel or not before.cancel, "a cancel that was noted stays noted", process)
        _must(after.books[0] == before.books[0], "the budget is the user's", (before.books, after.books))
        if before.status != "running":
            same = (before.status, before.books) == (after.status, after.books)
            _must(same, "an ended run stays as it ended", (before.books, after.books))
        if after.rev == before.rev:  # told, or asked to cancel
            same = (before.books, before.seq, before.owner) == (after.books, after.seq, after.owner)
            _must(same, "what has a new revision is what decides", process)
            return
        _must(after.rev == before.rev + 1, "a revision follows the one before", (before.rev, after.rev))
        if after.tick != before.tick:
            over = before.until is None or before.until <= now + self._skew
            _must(over, "a lease is taken when it is free or over", (process, before.owner, before.until, now))
            _must(before.books == after.books, "a claim moves no money", (before.books, after.books))
            return
        holder = (before.owner or "").partition("/")[0]
        _must(holder == process, "only who holds the lease writes", f"{process} wrote, {before.owner} held it")

    def _trail_follows(
        self, key: str, before: _Known | None, after: _Known, outbox: Sequence[Mapping[str, Any]]
    ) -> None:
        trail = self.trails[key]
        seq, head = (0, None) if before is None else (before.seq, before.head)
        for entry in outbox:
            if entry["seq"] > seq:
                chained = entry["seq"] == seq + 1 and (head is None or entry["prevHash"] == head)
                _must(chained, "the trail is numbered and chained", (seq, entry["seq"]))
                seq, head = entry["seq"], entry["hash"]
                trail.append(head)
        _must((after.seq, after.head) == (seq, head), "the trail ends where the run says", (after.seq, seq))

    def _laid_down(self, run: str, job: str, signed: Mapping[str, Any]) -> None:
        if self.runs[run].buys_no_more:
            _must(job in self.cheques, "a run that is to end buys nothing more", job)
        sha = hashlib.sha256(signed["headerValue"].encode()).hexdigest()
        cheque = self.cheques.setdefault(
            job, _Cheque(run, signed["nonce"], signed["amount"], sha, signed["headerValue"])
        )
        _must(cheque.sha256 == sha, "one authorization a purchase", job)

    def _presented(self, sent: Presented) -> None:
        cheque = self.cheques.get(sent.key)
        if cheque is None:
            raise Wrong("an authorization is stored before it is sent", sent.key)
        _must(sent.sha256 == cheque.sha256, "what is sent is what is stored", sent.key)
        _must(sent.nonce == cheque.nonce, "what is sent is what is stored", (sent.key, sent.nonce))
        first = sent.nonce.lower() not in self._nonces
        owner = self._nonces.setdefault(sent.nonce.lower(), sent.key)
        _must(owner == sent.key, "a nonce belongs to one purchase", (sent.nonce, owner, sent.key))
        if first:
            left = sent.valid_before - sent.at
            _must(left <= _LONGEST + self._skew.total_seconds(), "no authorization is valid for long", left)
            cheque.valid_before = sent.valid_before
            self.runs[cheque.run].out += (cheque,)
            self._bound(cheque.run)

    def _moved(self, moved: Settled) -> None:
        cheque = self.cheques.get(moved.key)
        if cheque is None:
            raise Wrong("only what is in the books moves", moved.key)
        run = self.runs[cheque.run]
        _must(not cheque.settled, "one settlement a purchase", moved.key)
        cheque.settled = True
        _must((moved.nonce, moved.amount) == (cheque.nonce, cheque.amount), "what moves is what was signed", moved)
        most = with_tolerance(moved.quoted, run.tolerance)
        _must(moved.amount <= most, "no more than the quote is paid", (moved.amount, moved.quoted))
        pinned = self._payees.get(moved.vendor_id) or moved.pay_to
        self._payees[moved.vendor_id] = pinned
        _must(moved.pay_to == pinned, "only the pinned payee is paid", (moved.pay_to, pinned))
        run.moved += moved.amount
        self._bound(cheque.run)

    def _started(self, started: JobStarted) -> None:
        whose = started.vendor_id, started.key
        self._jobs[whose] += 1
        self._ordered.add(started.key)
        doubled = sum(
            fired.fault == FaultName.DUPLICATE_JOB and fired.vendor_id == started.vendor_id
            for fired in self._journal.faults
        )
        _must(self._jobs[whose] <= 1 + doubled, "one job a purchase", whose)
        _must(started.key in self._owners, "a job is ordered after its money is set aside", started.key)

    def _bound(self, key: str) -> None:
        """All that vendors took, and all that they still could take, is set aside or spent."""
        run = self.runs[key]
        total, _, reserved, spent = run.books
        _must(run.moved <= reserved + spent, "what moved is bound", (run.moved, run.books))
        out = sum(cheque.amount for cheque in run.out if self._can_be_cashed(cheque))
        _must(out <= reserved + spent, "whatever can be cashed is bound", (out, run.books))
        _must(reserved + spent <= total, "no more than the budget is bound", run.books)

    def _can_be_cashed(self, cheque: _Cheque) -> bool:
        """It was, or it still can be. Without a chain nobody can know that one was not, so it counts for ever."""
        return cheque.settled or not self._lapses or self._unix() < cheque.valid_before


def _books_balance(document: Mapping[str, Any]) -> None:
    total, remaining, reserved, spent = (document[name] for name in _BOOKS)
    _must(total == remaining + reserved + spent, "the budget adds up", (total, remaining, reserved, spent))
    _must(min(remaining, reserved, spent) >= 0, "the budget adds up", (total, remaining, reserved, spent))
    set_aside = sum(each["amount"] for each in document["reservations"].values())
    _must(set_aside == reserved, "reservations add up", (set_aside, reserved))
    if document["status"] == "running":
        _must(document["nextTickAt"] is not None, "a running run is due some time", document["phase"])


def _known(document: Mapping[str, Any]) -> _Known:
    lease, audit = document["lease"], document["audit"]
    return _Known(
        rev=document["rev"],
        tick=document["tick"],
        status=document["status"],
        books=tuple(document[name] for name in _BOOKS),
        owner=None if lease is None else lease["owner"],
        until=None if lease is None else lease["until"],
        seq=audit["seq"],
        head=audit["hash"],
        cancel=document["cancelRequested"],
        untold=document["endedUntold"],
        ending=document["ending"] is not None,
        tolerance=Decimal(document["constraints"]["priceTolerance"]),
    )


def _must(holds: bool, rule: str, found: object) -> None:
    if not holds:
        raise Wrong(rule, str(found))
