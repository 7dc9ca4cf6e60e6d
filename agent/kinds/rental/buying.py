"""One job from its quote to its order: asked for a price, held against it, money set aside, and paid for."""

from __future__ import annotations

from bson import ObjectId

from agent.book import booking
from agent.book.errors import ConfigurationError, KeyRevoked
from agent.book.jobs import fail
from agent.book.models import Job, Reservation
from agent.book.money import usd_text
from agent.book.resting import answered, rest
from agent.engine.leased import LeasedRun
from agent.engine.purchase import CALL_SECONDS, advance, end_short, of_the_vendor
from agent.engine.services import Services
from agent.engine.spending import limits_of, scopes_of, survey
from agent.kinds.rental.quoting import draw_up, most, quoted, refusal
from agent.process.deadline import Deadline
from vendors.errors import InvalidVendor, VendorError, VendorUnavailable
from vendors.models import Vendor

__all__ = ["buy"]


async def buy(desk: LeasedRun, services: Services, vendor: Vendor, hours: float, deadline: Deadline) -> ObjectId:
    """Quote, reserve and pay for one job at `vendor`; what cannot be finished now is left to `advance`.

    Returns the id of the job, whatever became of it.
    """
    job = draw_up(desk.draft, vendor, hours, services.world.new_id(), services.world.now())
    params = job.job_params
    try:
        quote = await services.client.quote(
            vendor,
            job_type=params.job_type,
            gpu_type=params.gpu_type,
            max_hours=params.max_hours,
            within=deadline.allow(CALL_SECONDS),
        )
    except VendorUnavailable as exc:
        now = services.world.now()
        desk.draft = rest(desk.draft, vendor.vendor_id, str(exc), now, services.world.below, exc.retry_after)
        return job.id
    except (VendorError, InvalidVendor, ConfigurationError) as exc:
        desk.draft = answered(desk.draft, vendor.vendor_id)
        _never_ordered(desk, services, job, "quote_failed", str(exc), vendor_fault=of_the_vendor(exc))
        return job.id
    desk.note("quote", f"{vendor.vendor_id} quotes {usd_text(quote.price)} USD", quoted(job, quote))
    try:
        limits = await limits_of(desk, services)
    except KeyRevoked as exc:
        _never_ordered(desk, services, job, "key_revoked", str(exc), vendor_fault=False)
        end_short(desk, "key_revoked", str(exc))
        return job.id
    room = (await survey(services, limits, [vendor]))[vendor.vendor_id].room
    if why := refusal(desk.draft, job, quote, room):
        desk.draft = answered(desk.draft, vendor.vendor_id)
        _never_ordered(desk, services, job, "quote_refused", why, vendor_fault=False)
        return job.id
    now = services.world.now()
    reservation = Reservation(
        amount=most(desk.draft, job, quote, room),
        vendor_id=vendor.vendor_id,
        template_id=quote.template_id,
        created_at=now,
        scopes=tuple(scope.key for scope in scopes_of(services, limits, vendor.vendor_id, now)),
    )
    job = job.model_copy(update={"expected_cost": quote.price})
    desk.draft = booking.reserved(desk.draft, job, reservation, now)
    await desk.commit()
    await advance(desk, services, str(job.id), deadline)
    return job.id


def _never_ordered(
    desk: LeasedRun, services: Services, job: Job, code: str, message: str, *, vendor_fault: bool
) -> None:
    """Record a job that ended before any money was set aside."""
    free = job.model_copy(update={"actual_cost": 0})
    desk.set(jobs_started=desk.draft.jobs_started + 1)
    desk.draft = fail(desk.draft, free, code, message, services.world.now(), vendor_fault=vendor_fault)
