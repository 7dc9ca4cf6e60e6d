"""What may change in the books of a run. Pure: a run in, the run after the movement out.

Money moves in these ways and no other (amounts in micro-dollars):

    reserve    remaining -> reserved         only if enough remains
    authorize  a signed authorization is laid into the reservation, once
    settle     reserved -> spent (paid) and remaining (the rest)
    release    reserved -> remaining         only where nothing was signed
    write_off  reserved -> spent             an authorization ran out and nobody can show that it was not used
    lapse      reserved -> remaining         the chain shows that an authorization was not used and never can be

`budget_total = remaining + reserved + spent` and `reserved = sum of reservations` hold before and after each;
`check` says so and the store refuses to write a run that breaks them.
"""

from __future__ import annotations

from datetime import UTC, datetime

from agent.book.errors import LedgerRefused
from agent.book.lifecycle import ENDED_JOB, PAYMENT, move
from agent.book.models import Closing, Job, Payment, Reservation, Run, SignedAuthorization

__all__ = [
    "authorize",
    "check",
    "count_in",
    "hold",
    "lapse",
    "leave_unclear",
    "put_job",
    "release",
    "reserve",
    "seen_unused",
    "settle",
    "write_off",
]


def check(run: Run) -> None:
    """The books balance.

    Raises:
        LedgerRefused: they do not; the run must not be written.
    """
    parts = (run.budget_remaining, run.budget_reserved, run.budget_spent)
    if min(parts) < 0 or sum(parts) != run.budget_total:
        raise LedgerRefused(f"the books of run {run.id} do not balance: {parts} against {run.budget_total}")
    if sum(each.amount for each in run.reservations.values()) != run.budget_reserved:
        raise LedgerRefused(f"the reservations of run {run.id} do not add up to {run.budget_reserved}")


def reserve(run: Run, job: Job, reservation: Reservation) -> Run:
    """Set money aside for a new job.

    Raises:
        LedgerRefused: not enough remains, or the job has a reservation.
    """
    key, amount = str(job.id), reservation.amount
    if key in run.reservations or key in run.jobs:
        raise LedgerRefused(f"job {key} has a reservation already")
    if not 0 < amount <= run.budget_remaining:
        raise LedgerRefused(f"{amount} micro-dollars cannot be reserved: {run.budget_remaining} remain")
    after = run.model_copy(
        update={
            "budget_remaining": run.budget_remaining - amount,
            "budget_reserved": run.budget_reserved + amount,
            "reservations": {**run.reservations, key: reservation},
            "jobs_started": run.jobs_started + 1,
        }
    )
    return put_job(after, job)


def authorize(run: Run, job_id: str, signed: SignedAuthorization) -> Run:
    """Lay the signed authorization into the job's reservation and open its payment. Only once.

    Raises:
        LedgerRefused: no reservation, one is there already, or it is for more than was reserved.
    """
    reservation = _reservation(run, job_id)
    if reservation.authorization is not None:
        raise LedgerRefused(f"job {job_id} has an authorization; it is re-sent, never signed again")
    if not 0 < signed.amount <= reservation.amount:
        raise LedgerRefused(f"an authorization of {signed.amount} exceeds the reserved {reservation.amount}")
    after = _put_reservation(run, job_id, reservation.model_copy(update={"authorization": signed}))
    return _put_payment(after, _payment(run, job_id, signed))


def count_in(run: Run, job_id: str, scopes: tuple[str, ...]) -> Run:
    """Note the sums over many runs in which this purchase is about to count. No money moves."""
    return _put_reservation(run, job_id, _reservation(run, job_id).model_copy(update={"scopes": scopes}))


def hold(run: Run, job_id: str, why: str) -> Run:
    """Note that the authorization is not sent again before it expires. No money moves."""
    return _put_reservation(run, job_id, _reservation(run, job_id).model_copy(update={"held": why}))


def leave_unclear(run: Run, job_id: str, why: str, transaction: str | None) -> Run:
    """Note that the authorization was sent and nobody knows what became of it. No money moves.

    `transaction` is the settlement that the vendor showed, if it showed one; a later answer without one does
    not take it back.
    """
    reservation = _reservation(run, job_id)
    changed = {"unclear": why, "transaction": transaction or reservation.transaction}
    return _put_reservation(run, job_id, reservation.model_copy(update=changed))


def seen_unused(run: Run, job_id: str, at: datetime) -> Run:
    """Note that the chain shows nothing of the authorization in its block of that time. No money moves."""
    return _put_reservation(run, job_id, _reservation(run, job_id).model_copy(update={"chain_seen_at": at}))


def settle(run: Run, job_id: str, transaction: str | None) -> Run:
    """Close the reservation: what was authorized is spent, the rest is free again.

    With nothing authorized the vendor asked for no payment, and all of it is free again.
    `transaction` is the settlement that the vendor's receipt shows.
    """
    signed = _reservation(run, job_id).authorization
    if signed is None:
        return _close(run, job_id, spent=0)
    settled = _payment(run, job_id, signed).model_copy(
        update={"status": move(PAYMENT, "pending", "settle"), "x402_tx_id": transaction}
    )
    return _put_payment(_close(run, job_id, spent=signed.amount), settled)


def release(run: Run, job_id: str) -> Run:
    """Free the whole reservation of a job for which nothing was signed.

    Raises:
        LedgerRefused: an authorization is out. A vendor's word that it will not use it frees nothing.
    """
    if _reservation(run, job_id).authorization is not None:
        raise LedgerRefused(f"job {job_id} has an authorization out; its money is not free before that expires")
    return _close(run, job_id, spent=0)


def write_off(run: Run, job_id: str) -> Run:
    """Book an expired authorization as spent and unresolved: nobody can show that it was not used.

    Raises:
        LedgerRefused: nothing was signed; `release` is the way.
    """
    signed = _reservation(run, job_id).authorization
    if signed is None:
        raise LedgerRefused(f"job {job_id} has no authorization to write off")
    lost = _payment(run, job_id, signed).model_copy(update={"status": move(PAYMENT, "pending", "expire")})
    return _put_payment(_close(run, job_id, spent=signed.amount), lost)


def lapse(run: Run, job_id: str) -> Run:
    """Free the reservation of an authorization that was not used and never can be, as the chain itself shows.

    Raises:
        LedgerRefused: nothing was signed; `release` is the way.
    """
    signed = _reservation(run, job_id).authorization
    if signed is None:
        raise LedgerRefused(f"job {job_id} has no authorization that could lapse")
    void = _payment(run, job_id, signed).model_copy(update={"status": move(PAYMENT, "pending", "lapse")})
    return _put_payment(_close(run, job_id, spent=0), void)


def put_job(run: Run, job: Job) -> Run:
    """Keep the job in the run while it is open, and tell the jobs collection once, when it is over.

    Open means pending, live at a vendor, or with money still reserved. Until it is over readers take it from the
    run, so what changes meanwhile costs no write of its own.
    """
    key = str(job.id)
    jobs = {other: each for other, each in run.jobs.items() if other != key}
    if job.status not in ENDED_JOB or key in run.reservations:
        return run.model_copy(update={"jobs": {**jobs, key: job}})
    queue = (*(each for each in run.outbox.jobs if each.id != job.id), job)
    return run.model_copy(update={"jobs": jobs, "outbox": run.outbox.model_copy(update={"jobs": queue})})


def _reservation(run: Run, job_id: str) -> Reservation:
    try:
        return run.reservations[job_id]
    except KeyError:
        raise LedgerRefused(f"job {job_id} has no open reservation") from None


def _put_reservation(run: Run, job_id: str, reservation: Reservation) -> Run:
    return run.model_copy(update={"reservations": {**run.reservations, job_id: reservation}})


def _close(run: Run, job_id: str, *, spent: int) -> Run:
    reservation = _reservation(run, job_id)
    amount = reservation.amount
    after = run.model_copy(
        update={
            "budget_reserved": run.budget_reserved - amount,
            "budget_spent": run.budget_spent + spent,
            "budget_remaining": run.budget_remaining + amount - spent,
            "reservations": {key: each for key, each in run.reservations.items() if key != job_id},
        }
    )
    job = run.jobs[job_id]
    if reservation.scopes:
        closing = Closing(job_id=job.id, scopes=reservation.scopes, amount=amount, spent=spent)
        outbox = after.outbox.model_copy(update={"closings": (*after.outbox.closings, closing)})
        after = after.model_copy(update={"outbox": outbox})
    return put_job(after, job.model_copy(update={"actual_cost": spent}))


def _payment(run: Run, job_id: str, signed: SignedAuthorization) -> Payment:
    job = run.jobs[job_id]
    return Payment(
        id=job.id,
        run_id=run.id,
        job_id=job.id,
        vendor_id=job.vendor_id,
        amount=signed.amount,
        currency=signed.currency,
        network=signed.network,
        asset=signed.asset,
        payer=signed.payer,
        pay_to=signed.pay_to,
        nonce=signed.nonce,
        valid_before=datetime.fromtimestamp(signed.valid_before, UTC),
        created_at=signed.signed_at,
    )


def _put_payment(run: Run, payment: Payment) -> Run:
    queue = (*(each for each in run.outbox.payments if each.id != payment.id), payment)
    return run.model_copy(update={"outbox": run.outbox.model_copy(update={"payments": queue})})
