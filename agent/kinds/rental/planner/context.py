"""What a planner is given, the actions it may answer with, and the check that each of them passes.

The set of actions is closed and the check is code: whatever a user, a vendor or a model wrote, nothing outside of
both is ever done. Amounts are micro-dollars, times are UTC.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from math import floor
from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

from agent.book.lifecycle import JobStatus, PaymentStatus
from agent.book.money import at_rate, usd_text
from vendors.text import clean

if TYPE_CHECKING:
    from agent.book.models import Constraints

__all__ = [
    "LEAST_HOURS",
    "MAX_FAILURES",
    "MAX_HOURS",
    "MAX_REASON",
    "MAX_WAIT",
    "USUAL_HOURS",
    "Abort",
    "Action",
    "JobView",
    "PaymentView",
    "PlanContext",
    "StartJob",
    "VendorView",
    "Wait",
    "beyond",
    "check",
    "could_buy",
    "most_hours",
    "obstacles",
    "under_way",
    "worth_waiting_for",
]

MAX_HOURS: Final = 720
"""Most hours that one job may be bought for: thirty days."""

LEAST_HOURS: Final = 0.01
"""Fewest hours that a job is bought for: hours are whole hundredths."""

USUAL_HOURS: Final = 1.0
"""Most hours of a job where the user does not say how many."""

MAX_FAILURES: Final = 2
"""Failures in one run after which a vendor is not rented from again in it."""

MAX_WAIT: Final = 3_600
"""Most seconds that a planner may wait."""

MAX_REASON: Final = 500
"""Most characters of a reason."""


@dataclass(frozen=True, slots=True)
class VendorView:
    """A vendor as a planner sees it. `completed` and `failed` count all runs, `failures_in_run` this one.

    `unreached` counts the tries in a row that it did not answer, `barred` is why it is not dealt with whatever the
    user wants, `away` why not now, `room` the most that a job there may cost now under limits that span runs; None
    is no such thing. `known_room` is the same under those limits alone in which no other user's runs count: the
    user may read all that is said to a model, and by it.
    """

    vendor_id: str
    name: str
    base_price_per_hour: int
    reliability: float
    completed: int
    failed: int
    supported_gpu_types: tuple[str, ...]
    failures_in_run: int
    barred: str | None = None
    unreached: int = 0
    away: str | None = None
    room: int | None = None
    known_room: int | None = None


@dataclass(frozen=True, slots=True)
class JobView:
    """A job of this run, oldest first in its context. `actual_cost` is what was really paid (None: still open),
    `progress` 0..100, `failure` in the vendor's words.
    """

    vendor_id: str
    status: JobStatus
    expected_cost: int
    actual_cost: int | None
    progress: float
    failure: str | None


@dataclass(frozen=True, slots=True)
class PaymentView:
    """A payment of this run, oldest first in its context."""

    vendor_id: str
    amount: int
    status: PaymentStatus


@dataclass(frozen=True, slots=True)
class PlanContext:
    """All that a planner may know: no secrets, no addresses, nothing of other runs.

    `goal`, vendor names and failures are other people's text. `idle_waits` counts the waits in a row with nothing
    under way.
    """

    goal: str
    now: datetime
    budget_remaining: int
    constraints: Constraints
    vendors: tuple[VendorView, ...]
    jobs: tuple[JobView, ...]
    idle_waits: int
    payments: tuple[PaymentView, ...] = ()


def _readable(reason: object) -> str:
    """A reason is only shown: what is no text says nothing, and a long one is cut."""
    return (clean(reason, MAX_REASON) if isinstance(reason, str) else "") or "no reason given"


def _hundredths(hours: float) -> float:
    whole = floor(Decimal(str(hours)) * 100) / 100
    if whole == 0:
        raise ValueError(f"must be at least {LEAST_HOURS:g} hours")
    return whole


def _number(hours: float) -> float | int:
    return int(hours) if hours.is_integer() else hours


_Reason = Annotated[str, BeforeValidator(_readable)]
_Hours = Annotated[float, Field(gt=0, le=MAX_HOURS), AfterValidator(_hundredths), PlainSerializer(_number)]


class _Action(BaseModel):
    """Fields are named as in JSON: an action is shown as it was decided."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class StartJob(_Action):
    """Rent from a vendor for at most `maxHours`, in whole hundredths: what is finer is cut off."""

    action: Literal["start_job"] = "start_job"
    vendorId: str = Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")  # noqa: N815
    maxHours: _Hours = USUAL_HOURS  # noqa: N815
    reason: _Reason = "no reason given"


class Wait(_Action):
    """Do nothing for some seconds."""

    action: Literal["wait"] = "wait"
    seconds: int = Field(default=30, ge=1, le=MAX_WAIT)
    reason: _Reason = "no reason given"


class Abort(_Action):
    """Give the run up: the goal cannot be reached."""

    action: Literal["abort"] = "abort"
    reason: _Reason = "no reason given"


Action = Annotated[StartJob | Wait | Abort, Field(discriminator="action")]
"""Everything that a planner can answer."""


def check(action: StartJob | Wait | Abort, context: PlanContext) -> list[str]:
    """What forbids this action; empty if nothing does. Waiting and giving up cost nothing: always allowed."""
    if not isinstance(action, StartJob):
        return []
    vendor = next((each for each in context.vendors if each.vendor_id == action.vendorId), None)
    if vendor is None:
        return [f"there is no vendor {action.vendorId}"]
    problems = [*obstacles(vendor, context), *_too_long(action.maxHours, context)]
    cost, remaining = at_rate(vendor.base_price_per_hour, action.maxHours), context.budget_remaining
    if cost > remaining:
        problems.append(
            f"{vendor.vendor_id} costs {usd_text(cost)} USD for {action.maxHours:g} h, "
            f"{usd_text(remaining)} USD remain"
        )
    if busy := under_way(context):
        problems.append(f"a job at {busy.vendor_id} is {busy.status} already")
    return problems


def obstacles(vendor: VendorView, context: PlanContext) -> list[str]:
    """What rules this vendor out, whatever the hours: limits, the user's constraints, failures in this run, or
    that it could not be reached a moment ago.
    """
    allowed = context.constraints
    found = [each for each in (vendor.barred, vendor.away) if each is not None]
    if allowed.vendor_ids is not None and vendor.vendor_id not in allowed.vendor_ids:
        found.append(f"{vendor.vendor_id} is not among the vendors that the user allows")
    if allowed.gpu_type is not None and allowed.gpu_type not in vendor.supported_gpu_types:
        found.append(f"{vendor.vendor_id} has no {clean(allowed.gpu_type, 64)}")
    most, price = allowed.max_price_per_hour, vendor.base_price_per_hour
    if most is not None and price > most:
        found.append(
            f"{vendor.vendor_id} asks {usd_text(price)} USD per hour, the user allows {usd_text(most)} USD"
        )
    if vendor.failures_in_run >= MAX_FAILURES:
        found.append(f"{vendor.vendor_id} failed {vendor.failures_in_run} times in this run")
    return found


def could_buy(context: PlanContext) -> bool:
    """Whether the smallest job can be had anywhere, or may be had once a vendor can be reached again."""
    return any(
        not obstacles(replace(vendor, away=None), context)
        and at_rate(vendor.base_price_per_hour, LEAST_HOURS) <= context.budget_remaining
        for vendor in context.vendors
    )


def worth_waiting_for(context: PlanContext, *, due: bool = False) -> list[str]:
    """Ids of the vendors that could be rented from if they could be reached; `due`: also of those that are to be
    asked again now.
    """
    return [
        vendor.vendor_id
        for vendor in context.vendors
        if (vendor.away is not None or (due and vendor.unreached))
        and not obstacles(replace(vendor, away=None), context)
        and at_rate(vendor.base_price_per_hour, LEAST_HOURS) <= context.budget_remaining
    ]


def beyond(action: StartJob | Wait | Abort, context: PlanContext) -> list[str]:
    """What of this action limits over many runs do not allow now; another time they may."""
    if not isinstance(action, StartJob):
        return []
    vendor = next((each for each in context.vendors if each.vendor_id == action.vendorId), None)
    if vendor is None or vendor.room is None:
        return []
    cost = at_rate(vendor.base_price_per_hour, action.maxHours)
    if cost <= vendor.room:
        return []
    known = vendor.known_room
    left = "less" if known is None or cost <= known else f"{usd_text(known)} USD"
    return [
        f"{vendor.vendor_id} costs {usd_text(cost)} USD for {action.maxHours:g} h, limits leave {left} for it now"
    ]


def most_hours(allowed: Constraints) -> float:
    """The most hours that one job may be bought for."""
    return USUAL_HOURS if allowed.max_hours is None else allowed.max_hours


def under_way(context: PlanContext) -> JobView | None:
    """The job that is not over yet, if there is one."""
    return next((job for job in context.jobs if job.status not in ("completed", "failed")), None)


def _too_long(hours: float, context: PlanContext) -> list[str]:
    allowed = context.constraints
    problems = []
    if hours > (most := most_hours(allowed)):
        problems.append(f"{hours:g} h is more than the {most:g} h that the user allows")
    if allowed.deadline is not None and context.now + timedelta(hours=hours) > allowed.deadline:
        problems.append(f"{hours:g} h would run past the deadline {allowed.deadline.isoformat()}")
    return problems
