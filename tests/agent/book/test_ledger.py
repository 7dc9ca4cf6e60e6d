"""The books balance after every movement, and no movement is possible that the rules do not name."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from bson import ObjectId
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from agent.book import ledger
from agent.book.errors import LedgerRefused
from agent.book.models import Job, Run
from tests.agent.builders import NOW, a_job, a_reservation, a_run, an_authorization


def reserved(run: Run, amount: int = 1_400_000) -> tuple[Run, Job]:
    job = a_job(run)
    return ledger.reserve(run, job, a_reservation(amount)), job


def authorized(run: Run, amount: int = 1_400_000) -> tuple[Run, str]:
    run, job = reserved(run, amount)
    return ledger.authorize(run, str(job.id), an_authorization(amount)), str(job.id)


def test_reserving_sets_money_aside() -> None:
    """remaining -> reserved, and the job is the run's."""
    run, job = reserved(a_run())

    assert (run.budget_remaining, run.budget_reserved, run.budget_spent) == (3_600_000, 1_400_000, 0)
    assert run.jobs[str(job.id)] == job
    assert run.outbox.jobs == ()


def test_a_job_is_told_once_when_it_is_over() -> None:
    """While it is open the run has it, and a change of it costs no write of its own; money keeps it open too."""
    run, job = reserved(a_run())
    failed = ledger.put_job(run, job.model_copy(update={"status": "failed"}))

    assert failed.jobs[str(job.id)].status == "failed"
    assert failed.outbox.jobs == ()

    over = ledger.release(failed, str(job.id))

    assert over.jobs == {}
    assert [(each.status, each.actual_cost) for each in over.outbox.jobs] == [("failed", 0)]


def test_the_whole_rest_can_be_reserved_and_not_one_micro_dollar_more() -> None:
    """The budget is a hard limit."""
    run = a_run(1_400_000)

    assert reserved(run)[0].budget_remaining == 0
    with pytest.raises(LedgerRefused, match="remain"):
        reserved(run, 1_400_001)


@pytest.mark.parametrize("amount", [0, -1])
def test_nothing_and_less_cannot_be_reserved(amount: int) -> None:
    """A negative reservation would make money."""
    run = a_run()
    with pytest.raises(LedgerRefused):
        ledger.reserve(run, a_job(run), a_reservation().model_copy(update={"amount": amount}))


def test_a_job_has_one_reservation() -> None:
    """Reserving twice for one job is refused."""
    run, job = reserved(a_run())

    with pytest.raises(LedgerRefused, match="already"):
        ledger.reserve(run, job, a_reservation())


def test_an_authorization_is_laid_down_once() -> None:
    """A second signature for the same job is refused: I2."""
    run, job_id = authorized(a_run())

    with pytest.raises(LedgerRefused, match="never signed again"):
        ledger.authorize(run, job_id, an_authorization())


@pytest.mark.parametrize("amount", [0, 1_400_001])
def test_an_authorization_fits_its_reservation(amount: int) -> None:
    """Nothing is signed for more than was set aside."""
    run, job = reserved(a_run())

    with pytest.raises(LedgerRefused, match="exceeds"):
        ledger.authorize(run, str(job.id), an_authorization(amount))


def test_settling_spends_what_was_authorized_and_frees_the_rest() -> None:
    """The reservation may be larger than the price."""
    run, job = reserved(a_run(), 1_500_000)
    run = ledger.authorize(run, str(job.id), an_authorization(1_400_000))

    after = ledger.settle(run, str(job.id), "0xabc")

    assert (after.budget_remaining, after.budget_reserved, after.budget_spent) == (3_600_000, 0, 1_400_000)
    assert [(p.status, p.x402_tx_id) for p in after.outbox.payments] == [("completed", "0xabc")]
    assert after.jobs[str(job.id)].actual_cost == 1_400_000


def test_a_vendor_that_asks_for_nothing_costs_nothing() -> None:
    """Settling without an authorization frees all and makes no payment."""
    run, job = reserved(a_run())

    after = ledger.settle(run, str(job.id), None)

    assert after.budget_remaining == 5_000_000
    assert after.outbox.payments == ()


def test_money_with_an_authorization_out_is_not_released() -> None:
    """A signed authorization is a cheque: nobody's word frees it."""
    run, job_id = authorized(a_run())

    with pytest.raises(LedgerRefused, match="authorization out"):
        ledger.release(run, job_id)


def test_writing_off_books_the_money_as_spent() -> None:
    """No proof either way is spent and unresolved, never free."""
    run, job_id = authorized(a_run())

    after = ledger.write_off(run, job_id)

    assert (after.budget_remaining, after.budget_reserved, after.budget_spent) == (3_600_000, 0, 1_400_000)
    assert [p.status for p in after.outbox.payments] == ["unresolved"]


def test_nothing_is_written_off_that_was_not_signed() -> None:
    """Then `release` is the way."""
    run, job = reserved(a_run())

    with pytest.raises(LedgerRefused):
        ledger.write_off(run, str(job.id))


def test_an_authorization_that_lapsed_costs_nothing() -> None:
    """The chain has shown that it was not used and never can be."""
    run, job_id = authorized(a_run())

    after = ledger.lapse(run, job_id)

    assert (after.budget_remaining, after.budget_reserved, after.budget_spent) == (5_000_000, 0, 0)
    assert [p.status for p in after.outbox.payments] == ["failed"]
    assert after.jobs[job_id].actual_cost == 0


def test_nothing_lapses_that_was_not_signed() -> None:
    """Then `release` is the way."""
    run, job = reserved(a_run())

    with pytest.raises(LedgerRefused, match="could lapse"):
        ledger.lapse(run, str(job.id))


@pytest.mark.parametrize("movement", [ledger.release, ledger.write_off, ledger.lapse])
def test_a_closed_reservation_cannot_be_closed_again(movement: Callable[[Run, str], Run]) -> None:
    """Each movement happens once."""
    run, job_id = authorized(a_run())
    run = ledger.settle(run, job_id, "0xabc")

    with pytest.raises(LedgerRefused, match="no open reservation"):
        movement(run, job_id)
    with pytest.raises(LedgerRefused, match="no open reservation"):
        ledger.settle(run, job_id, "0xabc")


def test_an_ended_job_stays_with_the_run_while_its_money_is_open() -> None:
    """The expiry of its authorization still has to be booked on it."""
    run, job_id = authorized(a_run())
    failed = ledger.put_job(run, run.jobs[job_id].model_copy(update={"status": "failed"}))

    assert job_id in failed.jobs
    assert job_id not in ledger.write_off(failed, job_id).jobs


def test_progress_alone_is_not_told_to_the_jobs_collection() -> None:
    """A tick that only waits writes the run and nothing else."""
    run, job = reserved(a_run())
    quiet = ledger.put_job(run, job.model_copy(update={"progress": 40.0, "logs_seen": 3, "progress_at": NOW}))

    assert quiet.outbox.jobs == ()
    assert quiet.jobs[str(job.id)].progress == 40.0


def test_a_run_whose_books_do_not_balance_is_refused() -> None:
    """The store asks before each write."""
    run, _ = reserved(a_run())

    for broken in (
        run.model_copy(update={"budget_spent": 1}),
        run.model_copy(update={"budget_remaining": -1, "budget_spent": 3_600_001}),
        run.model_copy(update={"budget_reserved": 0, "budget_remaining": 5_000_000}),
    ):
        with pytest.raises(LedgerRefused):
            ledger.check(broken)


class Books(RuleBasedStateMachine):
    """Random movements against a reference of three numbers."""

    unsigned = Bundle("unsigned")
    signed = Bundle("signed")

    def __init__(self) -> None:
        super().__init__()
        self.run = a_run(10_000_000)
        self.open: dict[str, int] = {}
        self.spent = 0

    @rule(target=unsigned, amount=st.integers(min_value=1, max_value=4_000_000))
    def reserve(self, amount: int) -> str:
        job = a_job(self.run, id=ObjectId())
        fits = amount <= 10_000_000 - self.spent - sum(self.open.values())
        try:
            self.run = ledger.reserve(self.run, job, a_reservation(amount))
        except LedgerRefused:
            assert not fits
        else:
            assert fits
            self.open[str(job.id)] = amount
        return str(job.id)

    @rule(target=signed, job_id=consumes(unsigned), share=st.integers(min_value=1, max_value=120))
    def authorize(self, job_id: str, share: int) -> tuple[str, int]:
        amount = max(1, self.open.get(job_id, 0) * share // 100)
        try:
            self.run = ledger.authorize(self.run, job_id, an_authorization(amount))
        except LedgerRefused:
            assert amount > self.open.get(job_id, 0)
            amount = 0
        return job_id, amount

    @rule(job_id=consumes(unsigned))
    def release(self, job_id: str) -> None:
        if self.open.pop(job_id, None) is not None:
            self.run = ledger.release(self.run, job_id)

    @rule(item=consumes(signed), how=st.sampled_from(["settle", "write_off", "release"]))
    def close(self, item: tuple[str, int], how: str) -> None:
        job_id, amount = item
        if job_id not in self.open:
            return
        if how == "release" and amount:
            with pytest.raises(LedgerRefused):
                ledger.release(self.run, job_id)
        if how == "write_off" and amount:
            self.run = ledger.write_off(self.run, job_id)
        else:
            self.run = ledger.settle(self.run, job_id, "0x1")
        del self.open[job_id]
        self.spent += amount

    @invariant()
    def the_books_balance(self) -> None:
        """I1: spent + reserved never exceeds the total, and each sum is what the reference says."""
        ledger.check(self.run)
        assert self.run.budget_spent == self.spent
        assert self.run.budget_reserved == sum(self.open.values())
        assert self.run.budget_spent + self.run.budget_reserved <= self.run.budget_total


TestBooks = Books.TestCase
TestBooks.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
