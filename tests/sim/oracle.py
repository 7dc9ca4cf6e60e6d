"""What must hold, said by those who would know: the vendors' journal and the chain, never Purser about itself.

`Oracle.check` holds at any instant, whoever died a moment ago; `Oracle.check_end` once a run has ended. Each rule
has a name, and what breaks one says so: `Wrong` reads `rule: what was found`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from bson import ObjectId

from agent.book.audit import public_observation, verify
from agent.book.models import Job, Observation, Payment, Run
from agent.store.collections import Database
from agent.store.runs import RunStore
from gpu_vendor_mock.faults import FaultName
from gpu_vendor_mock.journal import Journal, Settled
from tests.agent.audited import audit_faults
from x402.networks import default_asset
from x402.selling.offline import MemoryLedger

__all__ = ["Oracle", "Wrong"]

_NETWORK: Final = "eip155:84532"
_LONGEST: Final = 900
"""Seconds that an authorization may be valid."""
_MARGIN: Final = 60
"""Seconds beyond its `validBefore` for which an authorization counts as usable."""
_WAITED_FOR: Final = {"unresolved": _MARGIN, "lapsed": -_MARGIN}
"""Least seconds since `validBefore` when it is given up. A chain goes by its own clock; ours may be behind."""
_EARLIER: Final = {"pending": 0, "unresolved": 1, "completed": 1, "failed": 1}
_OPEN_JOB: Final = ("pending", "submitted", "running")


class Wrong(AssertionError):
    """A rule is broken. `rule` is its name."""

    def __init__(self, rule: str, found: str) -> None:
        super().__init__(f"{rule}: {found}")
        self.rule = rule


def _must(holds: bool, rule: str, found: object) -> None:
    if not holds:
        raise Wrong(rule, str(found))


class Oracle:
    """Watches the runs of one database, and remembers what it saw: nothing that was said may be unsaid."""

    def __init__(
        self,
        database: Database,
        record: Journal,
        chain: MemoryLedger,
        payees: Mapping[str, str | None],
        *,
        chain_read: bool = False,
    ) -> None:
        """`database` unwatched; `payees`: whom each vendor is really paid through; `chain_read`: Purser could read
        the chain, so what ran out unused may be free again."""
        self._books = RunStore(database)
        self._database = database
        self._record = record
        self._chain = chain
        self._payees = payees
        self._chain_read = chain_read
        self._trails: dict[ObjectId, list[Observation]] = {}
        self._statuses: dict[ObjectId, str] = {}

    async def check(self, run_id: ObjectId) -> Run:
        """Everything that holds at any instant. Returns the run as stored.

        Raises:
            Wrong: naming the rule.
        """
        run = await self._books.get(run_id)
        jobs = {str(job.id): job for job in await self._books.jobs(run)}
        payments = {str(each.id): each for each in await self._books.payments(run)}
        self._budget(run)
        await self._cheques(run, jobs, payments)
        self._vendors_side(jobs)
        self._settlements(run, jobs)
        self._progress(run, payments)
        await self._trail(run)
        return run

    async def check_end(self, run_id: ObjectId) -> None:
        """As `check`, and that the run has ended with its books equal to what moved, one for one.

        Raises:
            Wrong: naming the rule.
        """
        run = await self.check(run_id)
        _must(run.status != "running", "a run ends", f"{run.status} {run.phase}")
        _must(run.budget_reserved == 0 and not run.reservations, "nothing stays reserved", run.reservations)
        _must(run.lease is None and run.next_tick_at is None, "an ended run rests", (run.lease, run.next_tick_at))
        _must(run.outbox.empty and not run.ended_untold, "what was decided is told", run.outbox)
        jobs = {str(job.id): job for job in await self._books.jobs(run)}
        payments = {str(each.id): each for each in await self._books.payments(run)}
        _must(not [job for job in jobs.values() if job.status in _OPEN_JOB], "jobs end", list(jobs.values()))
        trail = await self._books.observations(run, 10_000)
        found = audit_faults(run, [*jobs.values()], [*payments.values()], trail)
        _must(not found, "the audit finds nothing", found)
        settled = {each.key: each for each in self._record.settlements if each.key in jobs}
        for key, moved in settled.items():
            _must(key in payments, "what moved is booked", key)
            _booked_as_it_moved(payments[key], moved)
        lies = {(each.vendor_id, each.fault) for each in self._record.faults}
        for key, payment in payments.items():
            ends = ("completed", "unresolved", "failed") if self._chain_read else ("completed", "unresolved")
            _must(payment.status in ends, "payments end", (key, payment.status))
            lapsed = payment.status == "failed"
            _must(not lapsed or key not in settled, "what moved is not given up", (key, payment.status))
            # without a chain nobody can tell
            forged = not self._chain_read and (payment.vendor_id, FaultName.FORGED_RECEIPT) in lies
            proven = payment.status != "completed" or key in settled or forged
            _must(proven, "only what moved is booked as paid", (key, payment.status))
        booked = sum(each.amount for each in payments.values() if each.status != "failed")
        _must(run.budget_spent == booked, "spent is what was paid or lost", (run.budget_spent, booked))
        costs = sum(job.actual_cost or 0 for job in jobs.values())
        _must(run.budget_spent == costs, "spent is what the jobs cost", (run.budget_spent, costs))
        self._work(run, jobs)
        await self._reputation(jobs)

    def _budget(self, run: Run) -> None:
        parts = (run.budget_remaining, run.budget_reserved, run.budget_spent)
        _must(sum(parts) == run.budget_total and min(parts) >= 0, "the budget adds up", parts)
        reserved = sum(each.amount for each in run.reservations.values())
        _must(reserved == run.budget_reserved, "reservations add up", (reserved, run.budget_reserved))
        if run.status == "running":
            _must(run.next_tick_at is not None, "a running run is due some time", run.phase)

    async def _cheques(self, run: Run, jobs: Mapping[str, Job], payments: Mapping[str, Payment]) -> None:
        """Each authorization that left us was stored before, is its job's only one, and its money is bound."""
        known = {key: each.authorization.nonce for key, each in run.reservations.items() if each.authorization}
        known |= {key: each.nonce for key, each in payments.items()}
        out: dict[str, int] = {}
        for sent in self._record.payments:
            if sent.key in jobs:
                _must(sent.nonce == known.get(sent.key), "what is sent is stored before", (sent, known))
                lapsed = sent.key in payments and payments[sent.key].status == "failed"
                out[sent.key] = 0 if lapsed and self._chain_read else sent.value
            else:
                _must(await self._of_another_run(sent.key), "what is sent is for a job in the books", sent)
        bound = run.budget_spent + run.budget_reserved
        _must(sum(out.values()) <= bound, "whatever can be cashed is bound", (out, bound))

    async def _of_another_run(self, key: str) -> bool:
        for each in await self._database.collection("runs").find({}, [("_id", 1)], 10_000):
            if any(str(job.id) == key for job in await self._books.jobs(Run.model_validate(each))):
                return True
        return False

    def _vendors_side(self, jobs: Mapping[str, Job]) -> None:
        """At the vendors: one payment, the same bytes, one settlement and one job a purchase."""
        bytes_: dict[str, str] = {}
        nonces: dict[str, str] = {}
        for sent in self._record.payments:
            first = bytes_.setdefault(sent.key, sent.sha256)
            _must(first == sent.sha256, "what is sent again is the same bytes", sent.key)
            owner = nonces.setdefault(sent.nonce, sent.key)
            _must(owner == sent.key, "a nonce belongs to one purchase", (sent.nonce, owner, sent.key))
            left = sent.valid_before - sent.at
            _must(left <= _LONGEST, "no authorization is valid for long", (sent.key, left))
        paid = Counter(each.key for each in self._record.settlements)
        _must(max(paid.values(), default=0) <= 1, "one settlement a purchase", paid)
        started = Counter((each.vendor_id, each.key) for each in self._record.jobs)
        doubled = Counter(each.vendor_id for each in self._record.faults if each.fault == FaultName.DUPLICATE_JOB)
        for (vendor_id, key), number in started.items():
            _must(number <= 1 + doubled[vendor_id], "one job a purchase", (vendor_id, key, number))
        moved = [(each.nonce.lower(), each.amount, each.pay_to) for each in self._record.settlements]
        chain = [(each.nonce, each.value, each.payee) for each in self._chain.journal]
        _must(sorted(moved) == sorted(chain), "the vendors' journal is the chain's", (moved, chain))

    def _settlements(self, run: Run, jobs: Mapping[str, Job]) -> None:
        """What moved was ordered, and was what the policy allows."""
        token = default_asset(_NETWORK)
        assert token is not None
        tolerance = 1 + run.constraints.price_tolerance
        for moved in self._record.settlements:
            job = jobs.get(moved.key)
            if job is None:
                continue
            _must(moved.vendor_id == job.vendor_id, "the vendor is the one that was chosen", moved)
            _must(moved.amount <= moved.quoted * tolerance, "no more than the quote is paid", moved)
            _must(moved.pay_to == self._payees[moved.vendor_id], "only the pinned payee is paid", moved)
            there = (moved.network, moved.asset.lower()) == (_NETWORK, token.address.lower())
            _must(there, "only allowed networks and tokens are used", moved)

    def _progress(self, run: Run, payments: Mapping[str, Payment]) -> None:
        """What was once recorded as final stays so."""
        for payment in payments.values():
            before = self._statuses.get(payment.id, "pending")
            final = _EARLIER[before] < _EARLIER[payment.status] or before == payment.status
            _must(final, "a payment's record does not go back", (payment.id, before, payment.status))
            self._statuses[payment.id] = payment.status
        before = self._statuses.get(run.id, "running")
        _must(before in ("running", run.status), "an ended run stays as it ended", (before, run.status))
        self._statuses[run.id] = run.status

    async def _trail(self, run: Run) -> None:
        trail = await self._books.observations(run, 10_000)
        before = self._trails.get(run.id, [])
        _must(trail[: len(before)] == before, "what was said is not unsaid", len(before))
        self._trails[run.id] = trail
        broken = verify(map(public_observation, trail), {"seq": run.audit.seq, "hash": run.audit.hash})
        _must(not broken, "the trail is numbered and chained", broken)
        for entry in trail[len(before) :]:
            if entry.data.get("event") in _WAITED_FOR:
                await self._waited_for(run, entry, _WAITED_FOR[str(entry.data["event"])])

    async def _waited_for(self, run: Run, entry: Observation, least: int) -> None:
        """An authorization is given up only once it cannot be used any more."""
        payments = {str(each.id): each for each in await self._books.payments(run)}
        payment = payments[str(entry.data["jobId"])]
        waited = (entry.timestamp - payment.valid_before).total_seconds()
        _must(waited >= least, "an authorization is waited for until it has expired", (payment.id, waited))

    def _work(self, run: Run, jobs: Mapping[str, Job]) -> None:
        """Jobs in the books are jobs at the vendors."""
        # a vendor that names another's job is believed: nobody could tell
        lying = {each.vendor_id for each in self._record.faults if each.fault == FaultName.OTHER_JOB}
        started = {each.vendor_job_id for each in self._record.jobs if each.key in jobs or each.vendor_id in lying}
        for job in jobs.values():
            if job.vendor_job_id is not None:
                _must(job.vendor_job_id in started, "a job in the books is a job at the vendor", job)
        done = [job for job in jobs.values() if job.status == "completed"]
        _must(bool(done) or run.status != "completed", "a run is completed by a job", run.status)

    async def _reputation(self, jobs: Mapping[str, Job]) -> None:
        """Each job counts at most once in its vendor's record, a completed one exactly once."""
        found = await self._database.collection("vendors").find({}, [("_id", 1)], 100)
        seen = Counter(_evidence(found))
        _must(max(seen.values(), default=0) <= 1, "a job counts once for its vendor", seen)
        registered = {each["_id"] for each in found}
        for key, job in jobs.items():
            counted = job.status != "completed" or job.vendor_id not in registered or seen[key] == 1
            _must(counted, "a completed job counts for its vendor", (key, seen[key]))


def _booked_as_it_moved(payment: Payment, moved: Settled) -> None:
    booked = (payment.amount, payment.nonce, payment.pay_to, payment.network, payment.asset.lower())
    real = (moved.amount, moved.nonce, moved.pay_to, moved.network, moved.asset.lower())
    _must(booked == real, "what moved is booked as it moved", (booked, real))
    proof = payment.status != "completed" or payment.x402_tx_id == moved.transaction
    _must(proof, "a paid payment names its transaction", (payment.x402_tx_id, moved.transaction))


def _evidence(vendors: Sequence[Mapping[str, Any]]) -> list[str]:
    return [each["jobId"] for vendor in vendors for each in vendor["evidence"]]
