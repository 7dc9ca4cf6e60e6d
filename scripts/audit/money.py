"""The rules that a run, its jobs and its payments keep among each other. Pure; what breaks one is a sentence.

The sums are in `scripts.audit.books`; what the trail says to each is held against them in `scripts.audit.trail`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from agent.book.lifecycle import ENDED_JOB
from agent.book.money import usd_text
from scripts.client.shapes import BookedJob, BookedRun, Payment, Run

__all__ = ["Spent", "money_faults"]


def money_faults(run: BookedRun, jobs: Sequence[BookedJob], payments: Sequence[Payment]) -> Iterator[str]:
    """What does not fit together, each naming the payment, the job or the field."""
    by_id = {job.id: job for job in jobs}
    paid = {payment.job_id: payment for payment in payments}
    for payment in payments:
        yield from _payment(run, by_id.get(payment.job_id), payment)
    for job in jobs:
        yield from _job(run, job, paid.get(job.id))
    for job_id, reservation in run.reservations.items():
        name = f"the reservation for job {job_id}"
        if job_id not in by_id:
            yield f"{name}: there is no such job"
        elif by_id[job_id].vendor_id != reservation.vendor_id:
            yield f"{name}: vendorId is {reservation.vendor_id}, the job's is {by_id[job_id].vendor_id}"
        if reservation.authorized and (job_id not in paid or paid[job_id].status != "pending"):
            yield f"{name}: an authorization is out, and there is no pending payment"
    yield from _end(run, jobs)


class Spent:
    """Nonces and transactions of all payments seen so far: each serves one payment, in whatever run."""

    def __init__(self) -> None:
        """None seen yet. What is kept grows with the payments."""
        self._seen: dict[tuple[str, str], str] = {}

    def faults(self, payments: Sequence[Payment]) -> Iterator[str]:
        """Take the payments of one more run; which of them use again what another one did."""
        for payment in payments:
            uses = [("nonce", payment.nonce), ("x402TxId", payment.transaction)]
            for field, value in uses:
                if value is None:
                    continue
                key, here = (field, value.lower()), f"payment {payment.id} of run {payment.run_id}"
                first = self._seen.setdefault(key, here)
                if first != here:
                    yield f"{here}: {field} {value} is that of {first} as well"


_PAYMENT_STATES: Final = ("pending", "completed", "failed", "unresolved")


def _payment(run: BookedRun, job: BookedJob | None, payment: Payment) -> Iterator[str]:
    name = f"payment {payment.id}"
    if payment.run_id != run.id:
        yield f"{name}: runId is {payment.run_id}"
    if payment.id != payment.job_id:
        yield f"{name}: jobId is {payment.job_id}, and a payment has the id of its job"
    if payment.status not in _PAYMENT_STATES:
        yield f"{name}: status is {payment.status}, which no payment of ours has"
    if (payment.status == "completed") != (payment.transaction is not None):
        yield f"{name}: status is {payment.status}, x402TxId is {payment.transaction}"
    if job is None:
        yield f"{name}: job {payment.job_id} does not exist"
    elif job.vendor_id != payment.vendor_id:
        yield f"{name}: vendorId is {payment.vendor_id}, its job's is {job.vendor_id}"
    if payment.status == "pending":
        yield from _open(run, payment)
    elif payment.job_id in run.reservations:
        yield f"{name}: status is {payment.status}, and its reservation is still there"
    elif job is not None and payment.status == "failed" and job.actual_cost != 0:
        yield f"{name}: it was never used, its job's actualCost is {_usd(job.actual_cost)}"
    elif job is not None and payment.status != "failed" and job.actual_cost != payment.amount:
        yield f"{name}: amount is {_usd(payment.amount)}, its job's actualCost is {_usd(job.actual_cost)}"


def _open(run: BookedRun, payment: Payment) -> Iterator[str]:
    name, reservation = f"payment {payment.id}", run.reservations.get(payment.job_id)
    if reservation is None:
        yield f"{name}: it is pending, and no reservation holds its money"
    elif not reservation.authorized:
        yield f"{name}: it is pending, and its reservation has no authorization"
    elif payment.amount > reservation.amount:
        yield f"{name}: amount is {_usd(payment.amount)}, only {_usd(reservation.amount)} were reserved"


def _job(run: BookedRun, job: BookedJob, payment: Payment | None) -> Iterator[str]:
    name = f"job {job.id}"
    if job.run_id != run.id:
        yield f"{name}: runId is {job.run_id}"
    if (job.actual_cost is None) != (job.id in run.reservations):
        held = "holds" if job.id in run.reservations else "does not hold"
        yield f"{name}: actualCost is {_usd(job.actual_cost)}, and the run {held} a reservation for it"
    if job.actual_cost and payment is None:
        yield f"{name}: actualCost is {_usd(job.actual_cost)}, and there is no payment"


def _end(run: BookedRun, jobs: Sequence[BookedJob]) -> Iterator[str]:
    ended = run.status != "running"
    if isinstance(run, Run) and ended != (run.next_tick_at is None):  # an export does not say when it is due
        yield f"the run's status is {run.status}, its nextTickAt is {run.next_tick_at}"
    if ended != (run.completed_at is not None):
        yield f"the run's status is {run.status}, its completedAt is {run.completed_at}"
    if not ended:
        return
    for job_id in run.reservations:
        yield f"the run has ended and still holds a reservation for job {job_id}"
    for job in jobs:
        if job.status not in ENDED_JOB:
            yield f"job {job.id}: status is {job.status}, and the run has ended"


def _usd(amount: int | None) -> str:
    return "not known yet" if amount is None else f"{usd_text(amount)} USD"
