"""The deterministic planner."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given

from agent.book.models import Constraints
from agent.kinds.rental.planner import Plan
from agent.kinds.rental.planner.context import Abort, PlanContext, StartJob, Wait, check
from agent.kinds.rental.planner.stub import StubPlanner, decide
from tests.agent.kinds.rental.planner.contexts import FIRST, NOW, SECOND, context, contexts, job


def choice(given: PlanContext) -> tuple[str, float]:
    """Vendor and hours of the decision, which must be a start."""
    action = decide(given)
    assert isinstance(action, StartJob)
    return action.vendorId, action.maxHours


def refusal(given: PlanContext) -> str:
    """The reason of the decision, which must be to give up."""
    action = decide(given)
    assert isinstance(action, Abort)
    return action.reason


def failed(*times: int) -> PlanContext:
    """The two usual vendors after so many failures."""
    vendors = (replace(each, failures_in_run=n) for each, n in zip((FIRST, SECOND), times, strict=True))
    return context(*vendors)


def test_it_starts_with_the_lowest_expected_cost() -> None:
    """1.4 at 0.9 is expected to cost 1.56, 1.8 at 0.95 is expected to cost 1.89."""
    assert choice(context()) == ("gpu_vendor_1", 1)
    assert decide(context()) == StartJob(
        vendorId="gpu_vendor_1",
        maxHours=1,
        reason="gpu_vendor_1 at 1.4 USD for 1 h and 0.9 reliable has the lowest expected cost",
    )


def test_reliability_can_outweigh_the_price() -> None:
    """The cheaper vendor is not taken if it fails too often to be cheap."""
    assert choice(context(replace(FIRST, reliability=0.7), SECOND)) == ("gpu_vendor_2", 1)


def test_it_moves_on_when_a_vendor_fails() -> None:
    """Fewest failures in this run come before the cost, and the reason says so."""
    action = decide(failed(1, 0))

    assert action == StartJob(
        vendorId="gpu_vendor_2",
        maxHours=1,
        reason=(
            "gpu_vendor_2 at 1.8 USD for 1 h and 0.95 reliable has the fewest failures in this run, "
            "then the lowest expected cost; failed: gpu_vendor_1"
        ),
    )


def test_it_comes_back_when_all_have_failed_as_often() -> None:
    """One failure does not rule a vendor out."""
    assert choice(failed(1, 1)) == ("gpu_vendor_1", 1)


def test_two_failures_rule_a_vendor_out() -> None:
    """Nobody is tried a third time in one run."""
    assert choice(failed(2, 1)) == ("gpu_vendor_2", 1)
    assert refusal(failed(2, 3)) == (
        "no vendor can be had: gpu_vendor_1 failed 2 times in this run; gpu_vendor_2 failed 3 times in this run"
    )


def test_equal_offers_are_decided_by_id() -> None:
    """The order in which vendors are listed does not matter."""
    twins = [replace(FIRST, vendor_id=each) for each in ("b", "a", "c")]

    assert choice(context(*twins)) == ("a", 1)
    assert choice(context(*reversed(twins))) == ("a", 1)


def test_a_vendor_that_never_delivers_comes_last() -> None:
    """Reliability 0 is the highest expected cost there is, not a division by zero."""
    hopeless = replace(FIRST, reliability=0.0, base_price_per_hour=1)

    assert choice(context(hopeless, SECOND)) == ("gpu_vendor_2", 1)
    assert choice(context(hopeless)) == ("gpu_vendor_1", 1)


@pytest.mark.parametrize(
    ("constraints", "hours"),
    [
        (Constraints(), 1),
        (Constraints(max_hours=2.5), 2.5),
        (Constraints(max_hours=0.25), 0.25),
        (Constraints(deadline=NOW + timedelta(hours=3)), 1),
        (Constraints(deadline=NOW + timedelta(minutes=30, seconds=20)), 0.5),
        (Constraints(deadline=NOW + timedelta(seconds=36)), 0.01),
    ],
)
def test_hours_are_what_the_user_allows_or_one(constraints: Constraints, hours: float) -> None:
    """No hours are bought that lie beyond the deadline."""
    assert choice(context(constraints=constraints)) == ("gpu_vendor_1", hours)


def test_hours_never_exceed_what_an_action_may_hold() -> None:
    """A user may allow more hours than one job can be bought for."""
    cheap = replace(FIRST, base_price_per_hour=1)

    assert choice(context(cheap, constraints=Constraints(max_hours=5_000))) == ("gpu_vendor_1", 720)


def test_a_vendor_that_did_not_answer_comes_after_those_that_did() -> None:
    """Where ticks are rare it may be due again by the next; whoever answers is better."""
    away = replace(FIRST, unreached=1)

    assert choice(context(away, SECOND)) == ("gpu_vendor_2", 1)
    assert choice(context(away)) == ("gpu_vendor_1", 1)
    assert "(not reached: gpu_vendor_1)" in decide(context(away, SECOND)).reason


def test_it_gives_up_when_the_user_allows_less_than_the_smallest_job() -> None:
    assert refusal(context(constraints=Constraints(max_hours=0.0078125))) == (
        "a job is bought for 0.01 h at least, the user allows less"
    )


def test_hours_are_whole_hundredths() -> None:
    assert choice(context(constraints=Constraints(max_hours=0.999)))[1] == 0.99


@pytest.mark.parametrize("left", [timedelta(seconds=35), timedelta(0), timedelta(days=-1)])
def test_it_gives_up_when_no_time_is_left(left: timedelta) -> None:
    """Less than a hundredth of an hour is no time for a job."""
    assert refusal(context(constraints=Constraints(deadline=NOW + left))) == (
        "no time is left for a job before the deadline"
    )


@pytest.mark.parametrize(
    ("context_", "reason"),
    [
        (
            context(budget=400_000),
            "no vendor can be had: cheapest is gpu_vendor_1 at 1.4 USD for 1 h, 0.4 USD remain",
        ),
        (
            replace(failed(2, 0), budget_remaining=400_000),
            "no vendor can be had: cheapest is gpu_vendor_2 at 1.8 USD for 1 h, 0.4 USD remain; "
            "gpu_vendor_1 failed 2 times in this run",
        ),
        (
            context(constraints=Constraints(gpu_type="B200")),
            "no vendor can be had: gpu_vendor_1 has no B200; gpu_vendor_2 has no B200",
        ),
        (replace(context(), vendors=()), "no vendor is registered"),
    ],
)
def test_giving_up_says_exactly_why(context_: PlanContext, reason: str) -> None:
    """The reason names the vendors, the prices and what is left."""
    assert refusal(context_) == reason


def test_a_long_reason_is_cut() -> None:
    """A hundred vendors do not make an invalid action."""
    many = [replace(FIRST, vendor_id=f"vendor_{n}", failures_in_run=2) for n in range(100)]

    assert len(refusal(context(*many))) == 500


def test_affordable_vendors_are_taken_before_better_ones() -> None:
    """What cannot be paid is no choice."""
    first = replace(FIRST, failures_in_run=1)

    assert choice(context(first, SECOND, budget=1_500_000)) == ("gpu_vendor_1", 1)


def test_it_goes_where_limits_leave_enough() -> None:
    """Before the cost and the failures, and the reason says so."""
    action = decide(context(replace(FIRST, room=1_399_999), replace(SECOND, room=1_800_000)))

    assert isinstance(action, StartJob)
    assert action.vendorId == "gpu_vendor_2"
    assert action.reason.endswith("has the lowest expected cost, of those for which limits leave enough now")


def test_where_limits_leave_enough_for_nobody_it_says_what_it_would_take() -> None:
    """Whether to wait for that is not the planner's to say."""
    assert choice(context(replace(FIRST, room=0), replace(SECOND, room=0))) == ("gpu_vendor_1", 1)


def test_a_vendor_that_is_barred_is_not_chosen() -> None:
    """And why is in the reason."""
    barred = replace(FIRST, barred="gpu_vendor_1 is not on the list")

    assert choice(context(barred, SECOND)) == ("gpu_vendor_2", 1)
    assert "gpu_vendor_1 is not on the list" in refusal(context(barred))


def test_it_waits_while_a_job_is_under_way() -> None:
    """One purchase at a time."""
    assert decide(context(jobs=(job(), job("submitted", None)))) == Wait(
        reason="a job at gpu_vendor_1 is submitted"
    )


@given(contexts)
def test_every_decision_passes_the_check(generated: PlanContext) -> None:
    """Whatever the context, the stub proposes nothing that would be refused, and always the same."""
    action = decide(generated)

    assert check(action, generated) == []
    assert decide(generated) == action


async def test_a_plan_of_the_stub_costs_nothing() -> None:
    """The plan says who decided; no model was asked."""
    plan = await StubPlanner().plan(context(), 1.0)

    assert plan == Plan(
        action=decide(context()),
        planner="stub",
        model=None,
        prompt_version=None,
        input_tokens=0,
        output_tokens=0,
        latency_ms=0,
        cost_usd_micro=0,
        fallback=None,
    )
