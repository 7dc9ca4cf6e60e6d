"""Every fault that the mock vendor can show, over real sockets: what it costs at most, and how the run ends.

A fault without a row here fails the first test: none is forgotten.
"""

from __future__ import annotations

from typing import NamedTuple

import pytest

from gpu_vendor_mock.faults import FaultName, parse_faults
from tests.hostile.arena import QUOTED
from tests.hostile.opening import an_arena

PAID = QUOTED["gpu_vendor_1"]


class Row(NamedTuple):
    """`faults` of gpu_vendor_1, the code of its job's failure (None: it completes there), and what that cost.

    `moved` is what the vendors' journal shows, `spent` what our books say; they differ where nobody can know.
    """

    faults: str
    code: str | None
    moved: int
    spent: int


ROWS = (
    Row("fail_at_epoch=2", "vendor_failed", PAID, PAID),
    Row("stall_at_epoch=2", "stalled", PAID, PAID),
    Row("forget_job", "job_forgotten", PAID, PAID),
    Row("slow=20", None, PAID, PAID),
    Row("http_500=submit-job", "vendor_unavailable", 0, 0),
    Row("http_500=payment", "payment_unresolved", 0, PAID),
    Row("http_500=job-status", "overtime", PAID, PAID),
    Row("malformed_json=quote", "quote_failed", 0, 0),
    Row("malformed_json=submit-job", "payment_unresolved", PAID, PAID),
    Row("malformed_json=payment", "payment_unresolved", PAID, PAID),
    Row("malformed_json=job-status", "overtime", PAID, PAID),
    Row("price_above_quote=10", "offer_refused", 0, 0),
    Row("wrong_payee", "offer_refused", 0, 0),
    Row("wrong_network", "offer_refused", 0, 0),
    Row("reject_payment", "payment_rejected", 0, PAID),
    Row("reject_but_cash", "payment_rejected", PAID, PAID),
    Row("reject_but_cash,gpu_vendor_1:drop_after_payment*1", "payment_rejected", PAID, PAID),
    Row("cash_late", "payment_rejected", PAID, PAID),
    Row("cash_late,gpu_vendor_1:drop_after_payment*1", "payment_rejected", PAID, PAID),
    Row("ask_for_ever", "payment_rejected", 0, PAID),
    Row("raise_on_second=10", "payment_rejected", 0, PAID),
    Row("switch_payee", "payment_rejected", 0, PAID),
    Row("never_settle", None, 0, PAID),
    Row("forged_receipt", None, 0, PAID),
    Row("deny_payment", "vendor_failed", PAID, PAID),
    Row("no_receipt", None, PAID, PAID),
    Row("duplicate_job,gpu_vendor_1:drop_after_payment*1", None, PAID, PAID),
    Row("other_job", None, PAID, PAID),
    Row("drop_before_payment", "payment_unresolved", 0, PAID),
    Row("drop_after_payment", "payment_unresolved", PAID, PAID),
)


async def test_a_vendor_without_quotes_costs_nothing() -> None:
    """No job comes of it, nor is it anybody's failure: the run goes elsewhere."""
    async with an_arena(faults="gpu_vendor_1:http_500=quote") as arena:
        ended = await arena.finish(await arena.start())
        assert [job.vendor_id for job in await arena.jobs(ended)] == ["gpu_vendor_2"]
        assert (ended.status, arena.planner.missed) == ("completed", {"gpu_vendor_1"})


def test_every_fault_has_a_row() -> None:
    """A new fault of the mock vendor says here what it can cost."""
    assert {parse_faults(row.faults)[0].name for row in ROWS} == set(FaultName)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.faults)
async def test_what_a_fault_costs(row: Row) -> None:
    """No more than the quote, and the run reaches its goal, here or elsewhere."""
    async with an_arena(faults=f"gpu_vendor_1:{row.faults}") as arena:
        ended = await arena.finish(await arena.start())
        first, *others = await arena.jobs(ended)
        assert (first.vendor_id, first.failure.code if first.failure else None) == ("gpu_vendor_1", row.code)
        assert [job.vendor_id for job in others] == (["gpu_vendor_2"] if row.code else [])
        assert (ended.status, ended.budget_reserved) == ("completed", 0)
        assert arena.moved("gpu_vendor_1") == row.moved
        assert first.actual_cost == row.spent
        assert ended.budget_spent == row.spent + sum(QUOTED[job.vendor_id] for job in others)
        fired = {each.fault for each in arena.journal.faults}
        assert row.faults.split(",")[0] in fired or row.faults == "other_job", "there is no other job yet"
        if first.failure is not None:
            assert first.failure.message in await arena.told(ended)


async def test_another_runs_job_costs_no_more_than_ones_own() -> None:
    """The id of a job that somebody else ordered: each run pays its quote once, and the trail names the id."""
    async with an_arena(faults="gpu_vendor_1:other_job") as arena:
        first = await arena.finish(await arena.start())
        ended = await arena.finish(await arena.start())
        assert [(run.status, run.budget_spent) for run in (first, ended)] == [("completed", PAID)] * 2
        own = [each.vendor_job_id for each in arena.journal.jobs]
        assert arena.moved() == 2 * PAID
        (shown,) = [
            entry.data["vendorJobId"] for entry in await arena.trail(ended) if entry.type == "job_submitted"
        ]
        assert shown == own[0] != own[1]
        assert len(arena.journal.faults) == 1


@pytest.mark.parametrize(
    "faults", ["cash_late", "ask_for_ever", "switch_payee", "never_settle", "drop_after_payment"]
)
async def test_a_run_that_cannot_afford_another_vendor_ends_with_the_reason(faults: str) -> None:
    """With money for one purchase only, what a vendor holds is not spent twice and not waited for, for ever."""
    async with an_arena(faults=f"gpu_vendor_1:{faults}") as arena:
        ended = await arena.finish(await arena.start(PAID))
        assert ended.budget_spent == PAID
        if ended.status == "failed":
            assert ended.failure is not None
            assert "USD remain" in ended.failure.message
        else:
            assert faults == "never_settle"
