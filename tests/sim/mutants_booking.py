"""Faults in what the answers are taken for: money freed that is not free, and sums booked that are not those."""

from __future__ import annotations

from datetime import datetime, timedelta

import agent.engine.ending
from agent.book import booking, ledger
from agent.book.jobs import fail
from agent.book.models import Job, Reservation, Run
from agent.book.models import SignedAuthorization as Signed
from agent.book.money import with_tolerance
from agent.engine import purchase
from agent.engine.leased import LeasedRun
from agent.engine.step import Step
from agent.kinds.rental import quoting
from tests.sim.mutants_hunt import Patch, everywhere, mutant, signed_of
from vendors.models import Quote, Rejected, Submitted
from x402.chain.ports import Unused
from x402.wire import Receipt


def _free(run: Run, job_id: str) -> Run:
    """The reservation is gone and all of its money free, whatever was signed."""
    return ledger._close(run, job_id, spent=0)


@mutant("payment rejected")
def release_on_rejected(patch: Patch) -> None:
    """A vendor's "rejected" frees the money."""

    def rejected(run: Run, job_id: str, answer: Rejected, now: datetime, **_: object) -> Run:
        failed = fail(run, run.jobs[job_id], "payment_rejected", answer.reason, now, vendor_fault=True)
        return _free(failed, job_id)

    patch.setattr(booking, "rejected", rejected)


@mutant("answer to payment lost")
def release_on_lost_answer(patch: Patch) -> None:
    """A lost answer frees the money."""

    def unclear(run: Run, job_id: str, why: str, receipt: Receipt | None, now: datetime) -> Run:
        return _free(fail(run, run.jobs[job_id], "payment_unclear", why, now, vendor_fault=True), job_id)

    patch.setattr(booking, "unclear", unclear)


@mutant("payment rejected")
def write_off_frees(patch: Patch) -> None:
    """What is written off is free again."""
    real = ledger.write_off

    def write_off(run: Run, job_id: str) -> Run:
        after, amount = real(run, job_id), signed_of(run, job_id).amount
        freed = {
            "budget_spent": after.budget_spent - amount,
            "budget_remaining": after.budget_remaining + amount,
        }
        return after.model_copy(update=freed)

    patch.setattr(ledger, "write_off", write_off)


@mutant("cancel with the payment unclear")
def cancel_frees(patch: Patch) -> None:
    """Cancelling frees what is reserved."""
    real = agent.engine.ending.close

    def close(desk: LeasedRun, now: datetime, soon: datetime) -> Step:
        ending = desk.draft.ending
        if ending is not None and ending.status == "cancelled":
            for job_id in tuple(desk.draft.reservations):
                desk.draft = _free(desk.draft, job_id)
        return real(desk, now, soon)

    everywhere(patch, real, "close", close)


@mutant("no receipt")
def ended_with_money_open(patch: Patch) -> None:
    """A run ends while money is reserved."""
    real = agent.engine.ending.close

    def close(desk: LeasedRun, now: datetime, soon: datetime) -> Step:
        assert desk.draft.ending is not None
        return agent.engine.ending._finish(desk, desk.draft.ending, now)

    everywhere(patch, real, "close", close)


@mutant("payment rejected")
def never_expires(patch: Patch) -> None:
    """An authorization is waited for for ever."""
    real = purchase.closes_at
    everywhere(patch, real, "closes_at", lambda each: real(each) + timedelta(days=3_650))


@mutant("payment rejected")
def expires_at_once(patch: Patch) -> None:
    """An authorization is given up at its last second, whatever the clocks."""
    patch.setattr(purchase, "EXPIRY_MARGIN", timedelta(0))


@mutant("chain read: payment rejected")
def lapse_too_early(patch: Patch) -> None:
    """What the chain has not seen used yet is free again."""
    patch.setattr(Unused, "for_ever", lambda *_: True)


@mutant("chain read: forged receipt")
def chain_not_asked(patch: Patch) -> None:
    """A receipt is proof although the chain could be asked."""
    real = booking.accepted

    def accepted(run: Run, job_id: str, answer: Submitted, now: datetime, **_: object) -> Run:
        return real(run, job_id, answer, now)

    patch.setattr(booking, "accepted", accepted)


def _settled_at(run: Run, job_id: str, transaction: str | None, spent: int) -> Run:
    paid = ledger._payment(run, job_id, signed_of(run, job_id))
    paid = paid.model_copy(update={"status": "completed", "x402_tx_id": transaction})
    return ledger._put_payment(ledger._close(run, job_id, spent=spent), paid)


@mutant("price within tolerance")
def books_the_quote(patch: Patch) -> None:
    """What was quoted is booked as spent, not what was signed."""

    def settle(run: Run, job_id: str, transaction: str | None) -> Run:
        return _settled_at(run, job_id, transaction, run.jobs[job_id].expected_cost)

    patch.setattr(ledger, "settle", settle)


@mutant("happy path")
def settles_twice(patch: Patch) -> None:
    """A settlement is booked twice."""

    def settle(run: Run, job_id: str, transaction: str | None) -> Run:
        return _settled_at(run, job_id, transaction, 2 * signed_of(run, job_id).amount)

    patch.setattr(ledger, "settle", settle)


@mutant("no receipt")
def takes_a_word(patch: Patch) -> None:
    """A job is booked as paid on the vendor's word, with no receipt."""

    def proof(receipt: Receipt | None, signed: Signed) -> str | None:
        return receipt.transaction if receipt is not None else "0x" + "00" * 32

    patch.setattr(booking, "proof", proof)


@mutant("happy path")
def reservation_stays(patch: Patch) -> None:
    """A settled reservation is left where it is, with the books unchecked."""
    real = ledger._close

    def close(run: Run, job_id: str, *, spent: int) -> Run:
        return real(run, job_id, spent=spent).model_copy(update={"reservations": run.reservations})

    patch.setattr(ledger, "_close", close)
    patch.setattr(ledger, "check", lambda _: None)


@mutant("budget just enough")
def unlimited(patch: Patch) -> None:
    """Money is reserved whether it is there or not, with the books unchecked."""
    real = ledger.reserve

    def reserve(run: Run, job: Job, reservation: Reservation) -> Run:
        rich = run.model_copy(update={"budget_remaining": run.budget_remaining + reservation.amount})
        after = real(rich, job, reservation)
        return after.model_copy(update={"budget_remaining": run.budget_remaining - reservation.amount})

    def most(run: Run, job: Job, quote: Quote, room: int | None) -> int:
        return with_tolerance(quote.price, run.constraints.price_tolerance)

    patch.setattr(ledger, "reserve", reserve)
    patch.setattr(ledger, "check", lambda _: None)
    everywhere(patch, quoting.most, "most", most)
