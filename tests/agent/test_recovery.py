"""A process may die on any line: whoever comes next finishes the purchase, and nobody pays twice."""

from __future__ import annotations

import pytest

from agent.models import Run
from tests.agent.killing import Killed, Reaper
from tests.agent.stage import Stage, a_stage

SCENARIOS = {
    "all goes well": "",
    "the job fails": "gpu_vendor_1:fail_at_epoch=2",
    "the answer to the payment is lost": "gpu_vendor_1:drop_after_payment*1",
    "the payment is lost": "gpu_vendor_1:drop_before_payment*1",
    "the payment is refused": "gpu_vendor_1:reject_payment",
    "the payment is refused and cashed": "gpu_vendor_1:reject_but_cash",
    "no receipt": "gpu_vendor_1:no_receipt",
    "the price is raised": "gpu_vendor_1:price_above_quote=10",
}


async def settled_and_booked(stage: Stage, run: Run) -> None:
    """What the vendors say moved, and what our books say, in the end."""
    journal = await stage.journal()
    settled = {str(each["key"]): each for each in journal["settlements"]}
    assert len(settled) == len(journal["settlements"]), "one settlement a purchase"
    assert len({each["nonce"] for each in settled.values()}) == len(settled)
    for key in {each["key"] for each in journal["payments"]}:
        sent = {each["sha256"] for each in journal["payments"] if each["key"] == key}
        assert len(sent) == 1, "what is sent again is the same bytes"
    assert len({each["key"] for each in journal["jobs"]}) == len(journal["jobs"]), "one job a purchase"
    payments = {str(each.id): each for each in await stage.payments(run)}
    assert set(settled) <= set(payments), "what moved is in the books"
    for key, payment in payments.items():
        assert payment.status in ("completed", "unresolved")
        if payment.status == "completed":
            assert payment.x402_tx_id == settled[key]["transaction"]
            assert payment.amount == settled[key]["amount"]
    assert run.budget_spent == sum(each.amount for each in payments.values())
    assert not run.reservations
    assert [each.id for each in await stage.jobs(run) if each.status not in ("completed", "failed")] == []


async def live_through(stage: Stage, reaper: Reaper, number: int | None, *, after: bool) -> Run:
    """One run to its end, killed once on the way."""
    run = await stage.start()
    reaper.kill_at(number, after=after)
    for _ in range(50):
        try:
            run = await stage.finish(run)
        except Killed:
            reaper.kill_at(None, after=False)
            continue
        return run
    raise AssertionError("the run did not end")


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("faults", SCENARIOS.values(), ids=SCENARIOS)
async def test_dying_at_any_effect_costs_nothing(faults: str, after: bool) -> None:
    """Kill at the first effect, the second, ... until the run gets through untouched."""
    for number in range(1, 500):
        reaper = Reaper()
        stage = await a_stage(faults, watcher=reaper)

        run = await live_through(stage, reaper, number, after=after)

        assert run.status == "completed", f"killed at {number}"
        await settled_and_booked(stage, run)
        if reaper.at is not None:
            assert number > 15, "a run has more effects than that"
            return
    raise AssertionError("the run never got through")
