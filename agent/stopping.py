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
    run: Run,
    vendor_id: str,
    *,
    asked: Vendor | None = None,
    signed: SignedAuthorization | None = None,
) -> Stop | Vendor:
    """Why nothing may be paid at this vendor, or the vendor as it is registered now.

    `run` is the run as it is stored. `asked` is the vendor as it was when it was asked, `signed` what was signed
    for it: who is paid, and where, must still be the same.

    Raises:
        StoreUnavailable
    """
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
    if why := _changed(vendor, asked, signed):
        return Stop("vendor_changed", why)
    return vendor


def _over(run: Run, services: Services) -> str | None:
    deadline = run.constraints.deadline
    if run.cancel_requested:
        return "the run was cancelled"
    if deadline is not None and services.world.now() >= deadline:
        return "the run's deadline has passed"
    return None if run.ending is None else f"the run is ending: {run.ending.message}"


def _changed(vendor: Vendor, asked: Vendor | None, signed: SignedAuthorization | None) -> str | None:
    if signed is not None:
        if vendor.pay_to is not None and vendor.pay_to.lower() != signed.pay_to.lower():
            return "the vendor's payee is another one now"
        if signed.sent_to not in (None, vendor.endpoint):
            return "the vendor is at another place now"
    if asked is not None:
        if asked.pay_to is not None and vendor.pay_to != asked.pay_to:
            return "the vendor's payee was changed while it was asked"
        if vendor.endpoint != asked.endpoint:
            return "the vendor's endpoint was changed while it was asked"
    return None
