"""A job as it is drawn up, and what the vendor's quote for it is held against. Pure: no I/O, no clock."""

from __future__ import annotations

from datetime import datetime

from bson import ObjectId

from agent.book.models import Job, JobParams, Json, Run
from agent.book.money import at_rate, usd_text, with_tolerance
from vendors.models import Quote, Vendor

__all__ = ["draw_up", "most", "quoted", "refusal"]


def draw_up(run: Run, vendor: Vendor, hours: float, job_id: ObjectId, now: datetime) -> Job:
    """The job that would be ordered at this vendor, at its list price."""
    constraints = run.constraints
    params = JobParams(
        job_type=constraints.job_type or "fine_tune",
        gpu_type=constraints.gpu_type or vendor.supported_gpu_types[0],
        max_hours=hours,
        goal=run.goal,
    )
    return Job(
        id=job_id,
        run_id=run.id,
        vendor_id=vendor.vendor_id,
        expected_cost=at_rate(vendor.base_price_per_hour, hours),
        job_params=params,
        progress_at=now,
        created_at=now,
    )


def most(run: Run, job: Job, quote: Quote, room: int | None) -> int:
    """The most that the job may cost: within tolerance of quote and list price, and of what remains.

    `room` is what limits over many runs leave; None: there are none. Micro-dollars.
    """
    constraints = run.constraints
    limits = [
        with_tolerance(quote.price, constraints.price_tolerance),
        with_tolerance(job.expected_cost, constraints.price_tolerance),
        run.budget_remaining,
    ]
    if constraints.max_price_per_hour is not None:
        limits.append(at_rate(constraints.max_price_per_hour, job.job_params.max_hours))
    if room is not None:
        limits.append(room)
    return min(limits)


def refusal(run: Run, job: Job, quote: Quote, room: int | None) -> str | None:
    """Why this quote must not be taken, or None. The planner saw the list price; the quote may not exceed it.

    `room` is what limits over many runs leave, in micro-dollars; None: there are none.
    """
    constraints, asked = run.constraints, f"the quote of {usd_text(quote.price)} USD is above"
    listed = with_tolerance(job.expected_cost, constraints.price_tolerance)
    if quote.price > listed:
        return f"{asked} the list price, {usd_text(listed)} USD at most"
    if constraints.max_price_per_hour is not None:
        most = at_rate(constraints.max_price_per_hour, job.job_params.max_hours)
        if quote.price > most:
            return f"{asked} maxPricePerHour, {usd_text(most)} USD"
    if quote.price > run.budget_remaining:
        return f"{asked} the remaining {usd_text(run.budget_remaining)} USD"
    if room is not None and quote.price > room:
        return f"{asked} what limits leave for it now, {usd_text(room)} USD"
    return None


def quoted(job: Job, quote: Quote) -> dict[str, Json]:
    """What the trail says of a quote."""
    return {
        "vendorId": job.vendor_id,
        "amountUsd": usd_text(quote.price),
        "gpuType": job.job_params.gpu_type,
        "maxHours": job.job_params.max_hours,
        "etaMinutes": quote.eta_minutes,
        "templateId": quote.template_id,
    }
