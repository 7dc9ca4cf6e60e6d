"""Why no money may move now, read again before an authorization is signed and before one goes out again.

What was decided at the start of a tick may be overtaken: an order can take twenty seconds to be asked for a
payment, and an authorization without an answer is sent again for minutes. Whoever stops a run, strikes a vendor
off or corrects its payee in that time has the last word.
"""

from __future__ import annotations

from dataclasses import dataclass

from agent.book.errors import KeyRevoked, PurserError
from agent.book.limits import Limits, allowed, barred
from agent.book.models import Reservation, Run
from agent.engine.leased import LeasedRun
from agent.engine.services import Services
from agent.engine.spending import limits_of
from agent.wallet.wallet import MAX_VALIDITY
from vendors.answers import Call
from vendors.errors import InvalidVendor
from vendors.models import Vendor
from x402.policy import Policy, Terms, outside

__all__ = ["Stop", "Stopped", "policy_of", "reason_to_stop"]


@dataclass(frozen=True, slots=True)
class Stop:
    """A stable code, and a sentence for people. `passing`: it will not last, so what is open is left as it is."""

    code: str
    why: str
    passing: bool = False


class Stopped(PurserError):
    """An order was about to be paid for, and must not be."""

    def __init__(self, stop: Stop) -> None:
        super().__init__(stop.why)
        self.code = stop.code


async def reason_to_stop(
    desk: LeasedRun, services: Services, job_id: str, *, terms: Terms | None = None, place: str | None = None
) -> Stop | Vendor:
    """Why nothing may be paid for this job, or its vendor as it is registered now.

    `terms` are those that money is about to move on: of the offer that is to be signed, or of what was signed and
    is to be sent again, to `place` (None: it was not written down). Run, key and vendor are read anew for them.
    What an offer is held against before it is signed (`policy_of`) holds for what was signed as well.

    Raises:
        StoreUnavailable
    """
    run, reservation = desk.draft, desk.draft.reservations[job_id]
    if held := await services.restored.held(run):
        return Stop("store_restored", held.why, held.passing)
    if terms is not None:
        run, desk.key_read_at = await services.runs.get(desk.draft.id), None
    if why := _over(run, services):
        return Stop("run_ended", why)
    try:
        limits = await limits_of(desk, services)
    except KeyRevoked as exc:
        return Stop("key_revoked", str(exc))
    try:
        vendor = await services.vendors.find(reservation.vendor_id)
    except InvalidVendor:
        vendor = None
    if vendor is None:
        why = "the vendor is not in the registry any more, or must not be used as it stands there"
        return Stop("vendor_removed", why)
    if refused := barred(limits, vendor):
        return Stop("vendor_barred", refused)
    if terms is None:
        return vendor
    if why := _changed(vendor, terms, place):
        return Stop("vendor_changed", why)
    if why := outside(terms, policy_of(services, limits, reservation, vendor)):
        return Stop("no_longer_allowed", why)
    return vendor


def policy_of(services: Services, limits: Limits, reservation: Reservation, vendor: Vendor) -> Policy:
    """What may be paid to this vendor for this reservation, by the settings, the key and the registry of now."""
    return Policy(
        max_amount=allowed(limits, reservation.amount),
        networks=services.settings.networks,
        assets=limits.assets,
        payees=limits.payees,
        payee=vendor.pay_to,
        payer=services.wallet.address,
        max_validity_seconds=MAX_VALIDITY,
        origin=vendor.endpoint.rstrip("/") + Call.SUBMIT.value,
    )


def _over(run: Run, services: Services) -> str | None:
    deadline = run.constraints.deadline
    if run.cancel_requested:
        return "the run was cancelled"
    if deadline is not None and services.world.now() >= deadline:
        return "the run's deadline has passed"
    return None if run.ending is None else f"the run is ending: {run.ending.message}"


def _changed(vendor: Vendor, terms: Terms, place: str | None) -> str | None:
    if (vendor.pay_to or "").lower() != terms.pay_to.lower():
        return "the vendor's payee is another one now"
    if place is not None and place.rstrip("/") != vendor.endpoint.rstrip("/"):
        return "the vendor is at another place now"
    return None
