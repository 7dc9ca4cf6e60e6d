"""The deterministic planner: price, reliability and this run's failures decide, the same way every time."""

from __future__ import annotations

from decimal import Decimal
from math import floor

from agent.book.money import at_rate, usd_text
from agent.kinds.rental.planner import Plan
from agent.kinds.rental.planner.context import (
    LEAST_HOURS,
    MAX_HOURS,
    MAX_REASON,
    Abort,
    PlanContext,
    StartJob,
    VendorView,
    Wait,
    most_hours,
    obstacles,
    under_way,
)
from vendors.text import clean

__all__ = ["StubPlanner", "decide"]


class StubPlanner:
    """`decide` as a `Planner`. It asks nobody, so it costs nothing and takes no time."""

    async def plan(self, context: PlanContext, timeout: float) -> Plan:  # noqa: ARG002, ASYNC109 (the Planner's face)
        """What `decide` says."""
        return Plan(
            action=decide(context),
            planner="stub",
            model=None,
            prompt_version=None,
            input_tokens=0,
            output_tokens=0,
            latency_ms=0,
            cost_usd_micro=0,
            fallback=None,
        )


def decide(context: PlanContext) -> StartJob | Wait | Abort:
    """Start at the vendor with the fewest failures in this run; among those at one that answered when it was last
    asked; then at the lowest expected cost, which is the price over the reliability; then at the first by id.
    Vendors for which limits leave enough come before all others, for which a run may have to wait. Abort, saying
    exactly why, if none can be had.
    """
    if busy := under_way(context):
        return Wait(reason=f"a job at {busy.vendor_id} is {busy.status}")
    if most_hours(context.constraints) < LEAST_HOURS:
        return Abort(reason=f"a job is bought for {LEAST_HOURS:g} h at least, the user allows less")
    hours = _hours(context)
    if hours <= 0:
        return Abort(reason="no time is left for a job before the deadline")
    eligible = [vendor for vendor in context.vendors if not obstacles(vendor, context)]
    affordable = [vendor for vendor in eligible if _cost(vendor, hours) <= context.budget_remaining]
    if not affordable:
        return Abort(reason=clean(_why_not(context, eligible, hours), MAX_REASON))
    now = [vendor for vendor in affordable if vendor.room is None or _cost(vendor, hours) <= vendor.room]
    best = min(now or affordable, key=lambda vendor: _rank(vendor, hours))
    why = _why(context, best, hours)
    if now and len(now) < len(affordable):
        why = f"{why}, of those for which limits leave enough now"
    return StartJob(vendorId=best.vendor_id, maxHours=hours, reason=clean(why, MAX_REASON))


def _hours(context: PlanContext) -> float:
    """What the user allows, or one hour; no more than is left before the deadline. In whole hundredths."""
    hours = Decimal(str(min(most_hours(context.constraints), MAX_HOURS)))
    if context.constraints.deadline is not None:
        left = (context.constraints.deadline - context.now).total_seconds()
        hours = min(hours, Decimal(str(left)) / 3600)
    return floor(hours * 100) / 100


def _rank(vendor: VendorView, hours: float) -> tuple[int, bool, Decimal, str]:
    cost, reliability = Decimal(_cost(vendor, hours)), Decimal(str(vendor.reliability))
    expected = cost / reliability if reliability > 0 else Decimal("Infinity")
    return vendor.failures_in_run, vendor.unreached > 0, expected, vendor.vendor_id


def _cost(vendor: VendorView, hours: float) -> int:
    return at_rate(vendor.base_price_per_hour, hours)


def _why(context: PlanContext, best: VendorView, hours: float) -> str:
    offer = (
        f"{best.vendor_id} at {usd_text(_cost(best, hours))} USD for {hours:g} h and {best.reliability:g} reliable"
    )
    failed = [vendor.vendor_id for vendor in context.vendors if vendor.failures_in_run]
    missed = [vendor.vendor_id for vendor in context.vendors if vendor.unreached]
    if missed:
        offer = f"{offer} (not reached: {', '.join(missed)})"
    if not failed:
        return f"{offer} has the lowest expected cost"
    return (
        f"{offer} has the fewest failures in this run, then the lowest expected cost; failed: {', '.join(failed)}"
    )


def _why_not(context: PlanContext, eligible: list[VendorView], hours: float) -> str:
    if not context.vendors:
        return "no vendor is registered"
    reasons = []
    if eligible:
        cost, vendor_id = min((_cost(vendor, hours), vendor.vendor_id) for vendor in eligible)
        reasons.append(
            f"cheapest is {vendor_id} at {usd_text(cost)} USD for {hours:g} h, "
            f"{usd_text(context.budget_remaining)} USD remain"
        )
    reasons += [found[0] for vendor in context.vendors if (found := obstacles(vendor, context))]
    return "no vendor can be had: " + "; ".join(reasons)
