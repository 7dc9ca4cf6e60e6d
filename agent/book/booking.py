"""What each turn of a purchase does to the run: money, job and trail together. Pure: a run in, a run out.

Nothing here asks or sends. `purchase` brings the answers, and commits what comes out before it goes on.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final

from agent.book import ledger
from agent.book.audit import observe
from agent.book.jobs import drawn, fail
from agent.book.lifecycle import JOB, move
from agent.book.models import Job, Json, Reservation, Run, SignedAuthorization
from agent.book.money import usd_text
from vendors.models import Rejected, Submitted
from x402.chain.ports import Cancelled, Fate, Used
from x402.wire import Receipt

__all__ = [
    "accepted",
    "authorized",
    "expired",
    "forgotten",
    "given_up",
    "postponed",
    "proof",
    "rejected",
    "reserved",
    "shown",
    "stopped",
    "unclear",
]

_TRANSACTION: Final = re.compile(r"0x[0-9a-fA-F]{64}")
"""An id on an EVM chain; only those networks are paid on."""

_SAYS: Final = {
    "reserved": "reserved {usd} USD for {vendor}",
    "authorized": "signed an authorization of {usd} USD for {vendor}",
    "settled": "paid {usd} USD to {vendor}",
    "released": "released {usd} USD, nothing was signed",
    "forgotten": "released {usd} USD: the backup holds no authorization of it",
    "held": "{usd} USD stay reserved: {vendor} holds an authorization until it expires",
    "claimed": "{usd} USD stay reserved: {vendor} shows a settlement, which counts when the chain confirms it",
    "unresolved": "booked {usd} USD as spent: the authorization for {vendor} expired with no proof either way",
    "lapsed": "{usd} USD for {vendor} are free again: the authorization was not used and never can be",
    "not_asked": "{vendor} asked for no payment",
    "named": "{vendor} names a payment by x402-tx-id, which proves nothing: nothing was signed for it",
}


def reserved(run: Run, job: Job, reservation: Reservation, now: datetime) -> Run:
    """Money is set aside for a job that is about to be ordered. Raises `LedgerRefused`."""
    return _note(ledger.reserve(run, job, reservation), now, "reserved", job, reservation.amount, drawn(job))


def authorized(run: Run, job_id: str, signed: SignedAuthorization, now: datetime, policy: dict[str, Json]) -> Run:
    """A signed authorization is laid down, to be sent once this is stored. Raises `LedgerRefused`.

    `policy` is what it was held against, for the trail.
    """
    terms: dict[str, Json] = {
        "payer": signed.payer,
        "payTo": signed.pay_to,
        "network": signed.network,
        "asset": signed.asset,
        "currency": signed.currency,
        "nonce": signed.nonce,
        "validBefore": signed.valid_before,
        "policy": policy,
    }
    after = ledger.authorize(run, job_id, signed)
    return _note(after, now, "authorized", run.jobs[job_id], signed.amount, terms)


def accepted(run: Run, job_id: str, answer: Submitted, now: datetime, *, watched: bool = False) -> Run:
    """The vendor took the job. It is paid if it shows a receipt for our payment, or asked for none.

    Where the chain is `watched` a receipt is a claim: the money stays reserved until the chain shows the same.
    """
    job, signed = run.jobs[job_id], run.reservations[job_id].authorization
    taken = job.model_copy(
        update={
            "status": move(JOB, job.status, "accept"),
            "vendor_job_id": answer.vendor_job_id,
            "progress_at": now,
        }
    )
    about = {**_about(job), "vendorJobId": answer.vendor_job_id}
    run = run.model_copy(update={"rests": {}})  # the run has got on: whoever was away may be tried anew
    run = observe(ledger.put_job(run, taken), now, "job_submitted", f"{job.vendor_id} took the job", about)
    if signed is None:
        named: dict[str, Json] = {} if answer.tx_id is None else {"x402TxId": answer.tx_id, "proves": None}
        says = "not_asked" if answer.tx_id is None else "named"
        return _note(ledger.settle(run, job_id, None), now, "not_asked", job, 0, named, says)
    why = answer.receipt_problem or "the receipt is for another payment"
    if answer.tx_id is not None and answer.receipt is None:
        why = f"{why}; x402-tx-id {answer.tx_id} proves nothing"
    return _settled_or_held(run, job, signed, answer.receipt, why, now, watched)


def rejected(run: Run, job_id: str, answer: Rejected, now: datetime, *, watched: bool = False) -> Run:
    """The vendor says no to a payment that it can still cash: its word frees nothing (design, section 3)."""
    job, signed = run.jobs[job_id], run.reservations[job_id].authorization
    if signed is None:
        raise AssertionError("unreachable: only what was paid for can be rejected")
    why = f"the vendor refused the payment: {answer.reason}"
    run = fail(run, job, "payment_rejected", why, now, vendor_fault=True)
    return _settled_or_held(run, job, signed, answer.receipt, why, now, watched)


def unclear(run: Run, job_id: str, why: str, receipt: Receipt | None, now: datetime) -> Run:
    """An authorization was sent and nobody knows what became of it. Said once per reason."""
    before = run.reservations[job_id]
    transaction = proof(receipt, before.authorization) if before.authorization else None
    run = ledger.leave_unclear(run, job_id, why, transaction)
    if why == before.unclear:
        return run
    job = run.jobs[job_id]
    return observe(
        run, now, "error", f"the payment to {job.vendor_id} has no clear outcome yet: {why}", _about(job)
    )


def postponed(run: Run, job_id: str, why: str, now: datetime) -> Run:
    """Nothing is signed yet, for a reason that may pass. Said once per reason."""
    before = run.reservations[job_id]
    run = ledger.leave_unclear(run, job_id, why, None)
    if why == before.unclear:
        return run
    job = run.jobs[job_id]
    return observe(run, now, "error", f"nothing is signed for {job.vendor_id} yet: {why}", _about(job))


def given_up(run: Run, job_id: str, code: str, why: str, now: datetime, *, vendor_fault: bool) -> Run:
    """Nothing was signed: the job fails and its money is free again. Raises `LedgerRefused` if something was."""
    job, amount = run.jobs[job_id], run.reservations[job_id].amount
    run = fail(run, job, code, why, now, vendor_fault=vendor_fault)
    return _note(ledger.release(run, job_id), now, "released", job, amount)


def forgotten(run: Run, job_id: str, code: str, why: str, now: datetime) -> Run:
    """The database is a restored backup: what became of the order since is not known. What was paid for it is in
    what the operator says was spent, so here its money is free."""
    job, amount = run.jobs[job_id], run.reservations[job_id].amount
    run = fail(run, job, code, why, now, vendor_fault=False)
    return _note(ledger.release(run, job_id), now, "released", job, amount, says="forgotten")


def stopped(run: Run, job_id: str, why: str, now: datetime) -> Run:
    """What is signed is not sent again, for a reason of ours: it waits until it can no longer be cashed."""
    job, signed = run.jobs[job_id], run.reservations[job_id].authorization
    if signed is None:
        raise AssertionError("unreachable: what is not signed is given up")
    return _note(ledger.hold(run, job_id, why), now, "held", job, signed.amount, {"reason": why})


def expired(run: Run, job_id: str, now: datetime) -> Run:
    """The authorization can no longer be used: what a receipt shows is settled, anything else is written off."""
    reservation, job = run.reservations[job_id], run.jobs[job_id]
    signed = reservation.authorization
    if signed is None:
        return given_up(run, job_id, "order_lapsed", "nothing was signed in time", now, vendor_fault=False)
    if reservation.transaction is not None:
        run = _settle(run, job, signed, reservation.transaction, now)
    else:
        run = _note(ledger.write_off(run, job_id), now, "unresolved", job, signed.amount, {"nonce": signed.nonce})
    return _no_job_of_it(run, job_id, now, vendor_fault=reservation.held is None)


def shown(run: Run, job_id: str, fate: Fate, now: datetime) -> Run:
    """What the chain shows of an authorization is booked; one that may still be used is left as it is."""
    job, reservation = run.jobs[job_id], run.reservations[job_id]
    signed = reservation.authorization
    if signed is None:
        raise AssertionError("unreachable: the chain is asked about what was signed")
    about: dict[str, Json] = {"nonce": signed.nonce}
    if isinstance(fate, Used) and fate.received == signed.amount:
        run = _settle(run, job, signed, fate.transaction, now)
    elif isinstance(fate, Used):
        about |= {"transaction": fate.transaction, "receivedUsd": usd_text(fate.received)}
        run = _note(ledger.write_off(run, job_id), now, "unresolved", job, signed.amount, about)
    elif isinstance(fate, Cancelled) or fate.for_ever(signed.valid_before):
        run = _note(ledger.lapse(run, job_id), now, "lapsed", job, signed.amount, about)
    else:
        return run
    return _no_job_of_it(run, job_id, now, vendor_fault=reservation.held is None)


def proof(receipt: Receipt | None, signed: SignedAuthorization) -> str | None:
    """The transaction that a receipt names, if it can be the settlement of this authorization."""
    if receipt is None or receipt.network != signed.network:
        return None
    if not _TRANSACTION.fullmatch(receipt.transaction):
        return None
    if receipt.payer is not None and receipt.payer.lower() != signed.payer.lower():
        return None
    return receipt.transaction if receipt.amount in (None, signed.amount) else None


def _no_job_of_it(run: Run, job_id: str, now: datetime, *, vendor_fault: bool) -> Run:
    """A job that was never taken fails with its payment; where we stopped asking, the vendor is not to blame."""
    job = run.jobs.get(job_id)
    if job is None or job.status != "pending":
        return run
    message = "a payment was authorized and no job came of it"
    return fail(run, job, "payment_unresolved", message, now, vendor_fault=vendor_fault)


def _settled_or_held(
    run: Run,
    job: Job,
    signed: SignedAuthorization,
    receipt: Receipt | None,
    why: str,
    now: datetime,
    watched: bool,
) -> Run:
    transaction = proof(receipt, signed)
    if transaction and not watched:
        return _settle(run, job, signed, transaction, now)
    if transaction:
        why = "the chain has not confirmed the settlement that the vendor shows"
        run = ledger.leave_unclear(run, str(job.id), why, transaction)
    about: dict[str, Json] = {"reason": why}
    says = "claimed" if transaction else "held"
    return _note(ledger.hold(run, str(job.id), why), now, "held", job, signed.amount, about, says)


def _settle(run: Run, job: Job, signed: SignedAuthorization, transaction: str, now: datetime) -> Run:
    proven: dict[str, Json] = {"transaction": transaction, "network": signed.network}
    return _note(ledger.settle(run, str(job.id), transaction), now, "settled", job, signed.amount, proven)


def _note(
    run: Run,
    now: datetime,
    event: str,
    job: Job,
    amount: int,
    more: dict[str, Json] | None = None,
    says: str | None = None,
) -> Run:
    usd = usd_text(amount)
    content = _SAYS[says or event].format(usd=usd, vendor=job.vendor_id)
    return observe(
        run, now, "payment_event", content, {"event": event, **_about(job), "amountUsd": usd, **(more or {})}
    )


def _about(job: Job) -> dict[str, Json]:
    return {"jobId": str(job.id), "vendorId": job.vendor_id}
