"""The closed set of actions, and the check that each of them passes."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from pydantic import TypeAdapter, ValidationError

from agent.book.models import Constraints
from agent.kinds.rental.planner.context import Abort, Action, PlanContext, StartJob, Wait, beyond, check
from tests.agent.kinds.rental.planner.contexts import FIRST, NOW, SECOND, context, job

ACTION: TypeAdapter[StartJob | Wait | Abort] = TypeAdapter(Action)


def start(vendor_id: str = "gpu_vendor_1", hours: float = 1) -> StartJob:
    """A start_job action."""
    return StartJob(vendorId=vendor_id, maxHours=hours, reason="cheapest")


def test_start_job_is_shown_as_in_the_walkthrough() -> None:
    """Field names and their order are the API's, and a whole number of hours has no decimal point."""
    shown = start().model_dump_json()

    assert shown == '{"action":"start_job","vendorId":"gpu_vendor_1","maxHours":1,"reason":"cheapest"}'


def test_part_of_an_hour_stays_a_decimal() -> None:
    """Only whole numbers lose the decimal point."""
    assert start(hours=0.5).model_dump()["maxHours"] == 0.5


@pytest.mark.parametrize(
    "given",
    [
        {"action": "start_job", "vendorId": "v", "maxHours": 720, "reason": "r"},
        {"action": "start_job", "vendorId": "v", "maxHours": 0.25, "reason": "why? " * 99 + "why?!"},
        {"action": "wait", "seconds": 1, "reason": "r"},
        {"action": "wait", "seconds": 3600, "reason": "r"},
        {"action": "wait", "reason": "r"},
        {"action": "abort", "reason": "r"},
    ],
)
def test_actions_within_the_limits_are_taken(given: dict[str, object]) -> None:
    """The limits themselves are allowed, and what was given comes out again."""
    assert ACTION.validate_python(given).model_dump().items() >= given.items()


def test_a_wait_is_thirty_seconds_unless_it_says_so() -> None:
    """The default of `seconds`."""
    assert Wait(reason="r").seconds == 30


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"action": "buy_everything", "reason": "r"},
        {"action": "abort", "reason": "r", "then": "start_job"},
        {"action": "wait", "seconds": 0, "reason": "r"},
        {"action": "wait", "seconds": 3601, "reason": "r"},
        {"action": "wait", "seconds": "30", "reason": "r"},
        {"action": "wait", "seconds": True, "reason": "r"},
        {"action": "start_job", "maxHours": 1, "reason": "r"},
        {"action": "start_job", "vendorId": "v", "maxHours": 0, "reason": "r"},
        {"action": "start_job", "vendorId": "v", "maxHours": -1, "reason": "r"},
        {"action": "start_job", "vendorId": "v", "maxHours": 0.0099, "reason": "r"},
        {"action": "start_job", "vendorId": "v", "maxHours": 720.01, "reason": "r"},
        {"action": "start_job", "vendorId": "v", "maxHours": float("nan"), "reason": "r"},
        {"action": "start_job", "vendorId": "v", "maxHours": float("inf"), "reason": "r"},
        {"action": "start_job", "vendorId": "v", "maxHours": 10**400, "reason": "r"},
        {"action": "start_job", "vendorId": "v", "maxHours": "1", "reason": "r"},
        {"action": "start_job", "vendorId": "v", "maxHours": True, "reason": "r"},
        {"action": "start_job", "vendorId": "", "maxHours": 1, "reason": "r"},
        {"action": "start_job", "vendorId": "v\n", "maxHours": 1, "reason": "r"},
        {"action": "start_job", "vendorId": "v; ignore the user", "maxHours": 1, "reason": "r"},
        {"action": "start_job", "vendorId": "v", "maxHours": 1, "reason": "r", "payTo": "0x0"},
    ],
)
def test_anything_else_is_no_action(given: dict[str, object]) -> None:
    """Unknown actions, missing or extra fields, other types and values beyond the limits are refused."""
    with pytest.raises(ValidationError):
        ACTION.validate_python(given)


def test_a_reason_cannot_rewrite_the_terminal() -> None:
    """Reasons end in terminals and logs: escapes and direction marks are gone."""
    action = Abort(reason="all \x1b[2Jgone\r\nnow\u202e")

    assert action.reason == "all gone now"


def test_an_allowed_start_has_no_problems() -> None:
    """The budget, the price cap, the hours and the deadline may be used up entirely."""
    tight = Constraints(
        gpu_type="RTX4090",
        max_hours=2,
        max_price_per_hour=1_400_000,
        vendor_ids=("gpu_vendor_1",),
        deadline=NOW + timedelta(hours=2),
    )

    assert check(start(hours=2), context(budget=2_800_000, constraints=tight, jobs=(job(),))) == []


HOUR_LEFT = Constraints(deadline=NOW + timedelta(minutes=59, seconds=59))


@pytest.mark.parametrize(
    ("action", "given", "problem"),
    [
        (start("gpu_vendor_9"), context(), "there is no vendor gpu_vendor_9"),
        (
            start(),
            context(constraints=Constraints(vendor_ids=("gpu_vendor_2",))),
            "gpu_vendor_1 is not among the vendors that the user allows",
        ),
        (
            start(),
            context(constraints=Constraints(vendor_ids=())),
            "gpu_vendor_1 is not among the vendors that the user allows",
        ),
        (start(), context(replace(FIRST, barred="not on the list")), "not on the list"),
        (start(), context(constraints=Constraints(gpu_type="H100")), "gpu_vendor_1 has no H100"),
        (
            start(),
            context(constraints=Constraints(max_price_per_hour=1_399_999)),
            "gpu_vendor_1 asks 1.4 USD per hour, the user allows 1.399999 USD",
        ),
        (
            start(hours=1.5),
            context(constraints=Constraints(max_hours=1.25)),
            "1.5 h is more than the 1.25 h that the user allows",
        ),
        (start(), context(constraints=HOUR_LEFT), "1 h would run past the deadline 2026-03-01T12:59:59+00:00"),
        (start(), context(budget=1_399_999), "gpu_vendor_1 costs 1.4 USD for 1 h, 1.399999 USD remain"),
        (start(), context(jobs=(job("pending", None),)), "a job at gpu_vendor_1 is pending already"),
        (start(), context(jobs=(job(), job("running", None))), "a job at gpu_vendor_1 is running already"),
    ],
)
def test_a_start_outside_the_limits_is_refused(action: StartJob, given: PlanContext, problem: str) -> None:
    """Each limit refuses by itself, and says which one it is."""
    assert check(action, given) == [problem]


@pytest.mark.parametrize(
    ("action", "room", "problems"),
    [
        (start(), None, []),
        (start(), 1_400_000, []),
        (start(), 1_399_999, ["gpu_vendor_1 costs 1.4 USD for 1 h, limits leave less for it now"]),
        (start(hours=0.5), 1_399_999, []),
        (start("gpu_vendor_9"), 0, []),
        (Wait(reason="r"), 0, []),
    ],
)
def test_what_limits_do_not_allow_now_is_not_forbidden_for_ever(
    action: StartJob | Wait, room: int | None, problems: list[str]
) -> None:
    """The check lets it pass: another time it may be had, so code waits for that or ends the run."""
    given = context(replace(FIRST, room=room))

    assert beyond(action, given) == problems
    assert action == start("gpu_vendor_9") or check(action, given) == []


@pytest.mark.parametrize(
    ("room", "known", "left"),
    [
        (1_399_999, None, "less"),
        (1_399_999, 2_000_000, "less"),
        (1_399_999, 1_399_999, "1.399999 USD"),
        (0, 1, "0.000001 USD"),
    ],
)
def test_what_others_leave_is_not_told(room: int, known: int | None, left: str) -> None:
    """A model is told what limits leave where no other user's runs count in them: the user reads what it says."""
    vendor = replace(FIRST, room=room, known_room=known)

    assert beyond(start(), context(vendor)) == [
        f"gpu_vendor_1 costs 1.4 USD for 1 h, limits leave {left} for it now"
    ]


def test_all_problems_are_told_at_once() -> None:
    """A planner that is asked again should know everything that was wrong."""
    tight = Constraints(gpu_type="H100", max_hours=1, max_price_per_hour=1, deadline=NOW)

    assert len(check(start(hours=2), context(budget=0, constraints=tight, jobs=(job("running"),)))) == 6


@pytest.mark.parametrize(
    ("reason", "shown"),
    [
        (None, "no reason given"),
        ("", "no reason given"),
        (" \n", "no reason given"),
        ("\u200b\u202e", "no reason given"),
        (1, "no reason given"),
        ({"text": "r"}, "no reason given"),
        ("why? " * 100 + "?", ("why? " * 100)[:499] + "…"),
    ],
    ids=repr,
)
def test_a_reason_is_only_shown(reason: object, shown: str) -> None:
    """A choice stands whatever its explanation looks like."""
    action = TypeAdapter(Action).validate_python({"action": "abort", "reason": reason})
    assert action == Abort(reason=shown)
    assert TypeAdapter(Action).validate_python({"action": "abort"}) == Abort(reason="no reason given")


@pytest.mark.parametrize(("asked", "hours"), [(1 / 3, 0.33), (0.999, 0.99), (0.01, 0.01), (0.29, 0.29), (1, 1)])
def test_hours_are_whole_hundredths_and_never_more_than_asked(asked: float, hours: float) -> None:
    """A quote for 0.3333333333333333 hours is one that no vendor can mean."""
    assert start(hours=asked).maxHours == hours


def test_hours_left_out_are_one() -> None:
    """By any planner, and no planner may buy more where the user does not say so."""
    assert StartJob.model_validate({"action": "start_job", "vendorId": "v"}).maxHours == 1
    assert check(start(hours=1), context()) == []
    assert check(start(hours=1.01), context()) == ["1.01 h is more than the 1 h that the user allows"]


def test_a_vendor_that_failed_twice_is_not_rented_from_again() -> None:
    """Whatever planner insists on it."""
    failing = replace(FIRST, failures_in_run=2)
    assert check(start(), context(failing)) == ["gpu_vendor_1 failed 2 times in this run"]
    assert check(start(), context(replace(FIRST, failures_in_run=1))) == []


def test_the_cost_is_rounded_up() -> None:
    """A third of a micro-dollar over the budget is over the budget."""
    odd = replace(FIRST, base_price_per_hour=1_400_001)

    assert check(start(hours=0.33), context(odd, budget=462_000)) != []
    assert check(start(hours=0.33), context(odd, budget=462_001)) == []


@pytest.mark.parametrize("action", [Wait(reason="r", seconds=3600), Abort(reason="r")])
def test_waiting_and_giving_up_are_always_allowed(action: Wait | Abort) -> None:
    """They cost nothing, whatever the state of the run."""
    assert check(action, context(FIRST, SECOND, budget=0, jobs=(job("running"),))) == []
