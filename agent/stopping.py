"""Why no money may move now, read again before an authorization is signed and before one goes out again.

What was decided at the start of a tick may be overtaken: an order can take twenty seconds to be asked for a
payment, and an authorization without an answer is sent again for minutes. Whoever stops a run, strikes a vendor
off or corrects its payee in that time has the last word.
"""

from __future__ import annotations

from dataclasses import dataclass

from agent.errors import KeyRevoked, PurserError
from agent.leased import LeasedRun
from agent.limits import barred
from agent.models import Run, SignedAuthorization
from agent.services import Services
from agent.spending import limits_of
from vendors.errors import InvalidVendor
from vendors.models import Vendor

__all__ = ["Stop", "Stopped", "reason_to_stop"]


@dataclass(frozen=True, slots=True)
class Stop:
    """A stable code, and a sentence for people."""

    code: str
    why: str


class Stopped(PurserError):
    """An order was about to be paid for, and must not be."""

    def __init__(self, stop: Stop) -> None:
        super().__init__(stop.why)
        self.code = stop.code


async def reason_to_stop(
    desk: LeasedRun,
    services: Services,
    vendor_id: str,
    *,
    asked: Vendor | None = None,
    pay_to: str | None = None,
    signed: SignedAuthorization | None = None,
) -> Stop | Vendor:
    """Why nothing may be paid at this vendor, or the vendor as it is registered now.

    Run, key and vendor are read anew where money is about to move: `asked` is the vendor as it was when it was
    asked and `pay_to` whom it wants paid, `signed` what was signed for it. Who is paid, and where, must still be
    the same.

    Raises:
        StoreUnavailable
    """
    run = desk.draft
    if asked is not None or signed is not None:
        run, desk.key_read_at = await services.runs.get(desk.draft.id), None
    if why := _over(run, services):
        return Stop("run_ended", why)
    try:
        limits = await limits_of(desk, services)
    except KeyRevoked as exc:
        return Stop("key_revoked", str(exc))
    try:
        vendor = await services.vendors.find(vendor_id)
    except InvalidVendor:
        vendor = None
    if vendor is None:
        why = "the vendor is not in the registry any more, or must not be used as it stands there"
        return Stop("vendor_removed", why)
    if refused := barred(limits, vendor):
        return Stop("vendor_barred", refused)
    if why := _changed(vendor, asked, pay_to, signed):
        return Stop("vendor_changed", why)
    return vendor


def _over(run: Run, services: Services) -> str | None:
    deadline = run.constraints.deadline
    if run.cancel_requested:
        return "the run was cancelled"
    if deadline is not None and services.world.now() >= deadline:
        return "the run's deadline has passed"
    return None if run.ending is None else f"the run is ending: {run.ending.message}"


def _changed(
    vendor: Vendor, asked: Vendor | None, pay_to: str | None, signed: SignedAuthorization | None
) -> str | None:
    payee = pay_to if signed is None else signed.pay_to
    if payee is not None and (vendor.pay_to or "").lower() != payee.lower():
        return "the vendor's payee is another one now"
    place = signed.sent_to if signed is not None else asked.endpoint if asked is not None else None
    if place is not None and place.rstrip("/") != vendor.endpoint.rstrip("/"):
        return "the vendor is at another place now"
    return None
