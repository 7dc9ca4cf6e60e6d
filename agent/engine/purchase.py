"""One purchase, from its reservation to its settlement. The money protocol, and its own recovery: one path.

    reserve -> submit unpaid -> 402 -> authorize (stored) -> the same request, paid -> settle

`advance` enters it wherever the stored reservation says it stands: nothing signed
yet (ask again), signed (send the very same bytes again), held (wait for the expiry), expired (book it). Each step
writes its intent with a commit of the run before its effect, so a process may die on any line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Final
from urllib.parse import urlsplit

from agent.book import booking, ledger
from agent.book.clocks import untimely
from agent.book.errors import ClockWrong, ConfigurationError, KeyRevoked, LimitReached, WalletShort, WalletUnfit
from agent.book.limits import POLICY_VERSION, Limits, Scope
from agent.book.models import Ending, Job, Json, Reservation
from agent.book.money import usd_text
from agent.book.resting import answered, rest
from agent.engine.leased import LeasedRun
from agent.engine.services import Services
from agent.engine.spending import limits_of, scopes_of, take, uncounted
from agent.engine.stopping import Stop, Stopped, policy_of, reason_to_stop
from agent.engine.watching import CHAIN_PATIENCE, chain_of, head_of, look, pick, purse_for
from agent.process.deadline import Deadline
from agent.wallet.wallet import MAX_VALIDITY
from vendors.errors import (
    ContractBroken,
    InvalidVendor,
    OutcomeUnknown,
    VendorError,
    VendorRefused,
    VendorUnavailable,
)
from vendors.models import Rejected, Vendor
from x402.client import PaymentAuth
from x402.errors import ChainError, PolicyRefused, X402Error
from x402.negotiation import window
from x402.policy import Policy, refusals
from x402.wire import Challenge, Offer, PaymentHeader

__all__ = ["CALL_SECONDS", "EXPIRY_MARGIN", "RESEND_SECONDS", "advance", "closes_at", "end_short", "of_the_vendor"]

EXPIRY_MARGIN: Final = timedelta(seconds=60)
"""How long after `validBefore` an authorization counts as usable still: clocks differ, blocks come late."""

UNSIGNED_LIFE: Final = timedelta(seconds=120)
"""A purchase for which nothing was signed by then is dropped: its validity window would be too short."""

RESEND_SECONDS: Final = 15.0
"""Longest pause before an authorization without a clear outcome is sent again: it expires within minutes."""

CALL_SECONDS: Final = 20.0
"""Most seconds that a vendor may take for one answer."""

LEAST_SECONDS: Final = 1.0
"""With less than this left a vendor is not asked: it would be blamed for our haste."""

_AT_AN_END: Final = (KeyRevoked, WalletShort, WalletUnfit)
"""What no other vendor mends: the run ends."""

_OURS: Final = (ClockWrong, Stopped)
"""Why nothing is signed, and no fault of the vendor."""

_NOT_ITS_FAULT: Final = frozenset({400, 401, 403, 404, 409, 422})
"""Refusals of what we sent: our token, our registration of it, our order."""

_MOST_REASONS: Final = 8


class RefusedByOurLists(PolicyRefused):
    """Terms that nothing but the operator's lists of tokens and payees speaks against."""


async def advance(desk: LeasedRun, services: Services, job_id: str, deadline: Deadline) -> None:
    """Take an open reservation as far as it goes now.

    Raises:
        LeaseLost, StoreUnavailable: stop the tick; the next one enters here again.
    """
    reservation, now = desk.draft.reservations[job_id], services.world.now()
    if reservation.authorization is None and (held := await services.restored.held(desk.draft)):
        desk.draft = booking.forgotten(desk.draft, job_id, "store_restored", held.why, now)
        await desk.commit()
        return
    over, watched = now >= closes_at(reservation), chain_of(services, reservation.authorization) is not None
    if watched and (over or reservation.held is not None):
        if deadline.remaining() < LEAST_SECONDS:
            return
        asked = await look(desk, services, job_id, deadline)
        if job_id in desk.draft.reservations and now >= closes_at(reservation) + CHAIN_PATIENCE:
            desk.draft = booking.expired(desk.draft, job_id, now)
        elif not asked:
            return
    elif over:
        desk.draft = booking.expired(desk.draft, job_id, now)
    elif reservation.authorization is None and desk.draft.ending is not None:
        why = "the run ended before anything was signed"
        desk.draft = booking.given_up(desk.draft, job_id, "run_ended", why, now, vendor_fault=False)
    elif reservation.held is None and deadline.remaining() >= LEAST_SECONDS:
        await _exchange(desk, services, job_id, deadline)
    else:
        return
    await desk.commit()


async def _exchange(desk: LeasedRun, services: Services, job_id: str, deadline: Deadline) -> None:
    """Send the order: unpaid first where nothing is signed, with the stored bytes where something is."""
    job, reservation = desk.draft.jobs[job_id], desk.draft.reservations[job_id]
    signed = reservation.authorization
    place = None if signed is None else signed.sent_to
    vendor = await reason_to_stop(desk, services, job_id, terms=signed, place=place)
    if isinstance(vendor, Stop):
        _ask_no_more(desk, services, job_id, vendor)
        return
    header = PaymentHeader(signed.header_name, signed.header_value) if signed else None
    auth = PaymentAuth(partial(_authorize, desk, services, vendor, job_id), header, clock=services.world.wall)
    try:
        answer = await services.client.submit(
            vendor,
            idempotency_key=job_id,
            template_id=reservation.template_id,
            job_params=_order(job),
            auth=auth,
            within=deadline.allow(CALL_SECONDS),
        )
    except (VendorError, InvalidVendor, X402Error, ConfigurationError, LimitReached, *_OURS, *_AT_AN_END) as exc:
        _no_answer(desk, services, job_id, exc)
        return
    now = services.world.now()
    desk.draft = answered(desk.draft, job.vendor_id)
    watched = chain_of(services, desk.draft.reservations[job_id].authorization) is not None
    if isinstance(answer, Rejected):
        desk.draft = booking.rejected(desk.draft, job_id, answer, now, watched=watched)
    else:
        desk.draft = booking.accepted(desk.draft, job_id, answer, now, watched=watched)


async def _authorize(
    desk: LeasedRun, services: Services, vendor: Vendor, job_id: str, challenge: Challenge
) -> PaymentHeader:
    """Answer a 402: check the offer, count it, sign it, store the authorization, and only then hand it out."""
    reservation, limits = desk.draft.reservations[job_id], await limits_of(desk, services)
    policy = policy_of(services, limits, reservation, vendor)
    purse = await purse_for(services, desk.draft, challenge, policy)
    try:
        offer = pick(services.wallet.address, challenge, policy, purse)
    except PolicyRefused as exc:
        if not all(refusals(challenge, replace(policy, assets=None, payees=None))):
            raise RefusedByOurLists(exc.reasons) from None
        raise
    if vendor.pay_to is None:
        first = {"event": "payee_first_seen", "vendorId": vendor.vendor_id, "payTo": offer.pay_to}
        desk.note("payment_event", f"{vendor.vendor_id} has no payee yet; the one it names is pinned", {**first})
        await desk.commit()
        pinned = await services.vendors.pin_payee(vendor.vendor_id, offer.pay_to)
        if pinned.lower() != offer.pay_to.lower():
            raise PolicyRefused([f"payee {offer.pay_to} is not the pinned {pinned}"])
    elif vendor.former_pay_to is not None and vendor.former_pay_to.lower() != offer.pay_to.lower():
        changed = {"event": "payee_changed", "vendorId": vendor.vendor_id, "payTo": offer.pay_to}
        told = f"the payee of {vendor.vendor_id} was changed by the operator"
        desk.note("payment_event", told, {**changed, "formerPayTo": vendor.former_pay_to})
    wanted = scopes_of(services, limits, vendor.vendor_id, reservation.created_at)
    if keys := uncounted(reservation, wanted):  # limits that were set after the money was set aside
        desk.draft = ledger.count_in(desk.draft, job_id, keys)
        await desk.commit()
    await take(services, desk.draft, job_id, wanted)
    now = services.world.now()
    await _check_clock(services, vendor, challenge, offer, reservation.created_at, now)
    found = await reason_to_stop(desk, services, job_id, terms=offer, place=vendor.endpoint)
    if isinstance(found, Stop):
        raise Stopped(found)
    signed = await services.wallet.authorize(challenge, offer, job_id, reservation.created_at, now)
    signed = signed.model_copy(update={"sent_to": vendor.endpoint})
    desk.draft = booking.authorized(
        desk.draft, job_id, signed, now, _checked(policy, limits, wanted, refusals(challenge, policy, purse))
    )
    await desk.commit()
    return PaymentHeader(signed.header_name, signed.header_value)


async def _check_clock(
    services: Services, vendor: Vendor, challenge: Challenge, offer: Offer, reserved_at: datetime, now: datetime
) -> None:
    """What is signed now must be valid for who takes it: by the vendor's clock, and by the chain's.

    Raises:
        ClockWrong: it would not be; or several say that our clock is wrong.
    """
    clocks, moment = services.world.clocks, int(now.timestamp())
    valid_after, valid_before = window(offer, int(reserved_at.timestamp()), MAX_VALIDITY)
    head = await head_of(services, offer.network)
    if head is not None:
        clocks.chain_says(offer.network, head.time - moment, now)
    if challenge.clock_skew is not None:
        clocks.vendor_says(urlsplit(vendor.endpoint).hostname or "", challenge.clock_skew, now)
    if why := clocks.wrong(now, offer.network):
        raise ClockWrong(why)
    skew = challenge.clock_skew
    if skew is not None and (why := untimely(skew, moment, valid_after, valid_before)):
        raise ClockWrong(f"nothing is signed for {vendor.vendor_id}: {why}")


def _no_answer(desk: LeasedRun, services: Services, job_id: str, exc: Exception) -> None:
    """The order failed: with nothing signed it is given up, else its outcome is unknown and it stays open."""
    now = services.world.now()
    if desk.draft.reservations[job_id].authorization is not None:
        if isinstance(exc, OutcomeUnknown):
            desk.draft = booking.unclear(desk.draft, job_id, str(exc), exc.receipt, now)
            return
        # a vendor's error advises to order again, which is wrong once something is signed
        why = "it was not sent in time" if isinstance(exc, VendorError) else str(exc)
        desk.draft = booking.unclear(desk.draft, job_id, f"{why}; it is sent again", None, now)
        return
    if isinstance(exc, ChainError):
        desk.draft = booking.postponed(
            desk.draft, job_id, f"the chain cannot be asked ({type(exc).__name__})", now
        )
        return
    vendor_id = desk.draft.reservations[job_id].vendor_id
    if isinstance(exc, VendorUnavailable | ClockWrong):
        desk.draft = booking.given_up(desk.draft, job_id, _code(exc), str(exc), now, vendor_fault=False)
        after = exc.retry_after if isinstance(exc, VendorUnavailable) else None
        desk.draft = rest(desk.draft, vendor_id, str(exc), now, services.world.below, after)
        desk.set(jobs_unreached=desk.draft.jobs_unreached + 1)
        return
    fault = of_the_vendor(exc)
    desk.draft = answered(desk.draft, vendor_id)
    desk.draft = booking.given_up(desk.draft, job_id, _code(exc), str(exc), now, vendor_fault=fault)
    if isinstance(exc, _AT_AN_END):
        end_short(desk, _code(exc), str(exc))


def of_the_vendor(exc: Exception) -> bool:
    """Whether it is the vendor's doing: not a token that it does not know, nor an order that it does not take, nor
    terms that only lists of ours refuse."""
    if isinstance(exc, VendorRefused):
        return exc.status not in _NOT_ITS_FAULT
    return isinstance(exc, VendorError | PolicyRefused) and not isinstance(exc, RefusedByOurLists)


def end_short(desk: LeasedRun, code: str, why: str) -> None:
    """The run can buy nothing more: it fails. The first reason stays."""
    if desk.draft.ending is None:
        desk.set(ending=Ending(status="failed", code=code, message=why))


def _ask_no_more(desk: LeasedRun, services: Services, job_id: str, stop: Stop) -> None:
    """There is a reason to stop (`agent.engine.stopping`): nothing more is sent to the vendor, or not now."""
    now = services.world.now()
    if desk.draft.reservations[job_id].authorization is None:
        desk.draft = booking.given_up(desk.draft, job_id, stop.code, stop.why, now, vendor_fault=False)
    elif stop.passing:
        desk.draft = booking.unclear(desk.draft, job_id, stop.why, None, now)
    else:
        desk.draft = booking.stopped(desk.draft, job_id, stop.why, now)


def closes_at(reservation: Reservation) -> datetime:
    """When a reservation is closed at the latest, whatever the vendor does."""
    signed = reservation.authorization
    if signed is None:
        return reservation.created_at + UNSIGNED_LIFE
    return datetime.fromtimestamp(signed.valid_before, reservation.created_at.tzinfo) + EXPIRY_MARGIN


def _order(job: Job) -> dict[str, Json]:
    """`jobParams` of the vendor's submit call, the same at every repetition."""
    return job.job_params.model_dump(by_alias=True)


def _checked(
    policy: Policy, limits: Limits, wanted: Sequence[Scope], refused: Sequence[str | None]
) -> dict[str, Json]:
    """What an offer was held against, and why others were passed over, for the trail."""
    bounds: dict[str, Json] = {scope.name: usd_text(scope.limit) for scope in wanted}
    if limits.per_payment is not None:
        bounds["MAX_PER_PAYMENT"] = usd_text(limits.per_payment)
    told: dict[str, Json] = {
        "version": POLICY_VERSION,
        "mostUsd": usd_text(policy.max_amount),
        "limitsUsd": bounds,
    }
    if reasons := [f"offer {number}: {why}" for number, why in enumerate(refused, start=1) if why]:
        told["passedOver"] = [*reasons[:_MOST_REASONS]]
    return told


def _code(exc: Exception) -> str:
    if isinstance(exc, ClockWrong):
        return "clock_wrong"
    if isinstance(exc, Stopped):
        return exc.code
    if isinstance(exc, PolicyRefused):
        return "offer_refused"
    if isinstance(exc, LimitReached):
        return "limit_reached"
    if isinstance(exc, WalletShort):
        return "insufficient_funds"
    if isinstance(exc, WalletUnfit):
        return "wallet_unfit"
    if isinstance(exc, KeyRevoked):
        return "key_revoked"
    if isinstance(exc, VendorUnavailable):
        return "vendor_unavailable"
    if isinstance(exc, ContractBroken):
        return "contract_broken"
    return "vendor_refused" if isinstance(exc, VendorError) else "payment_not_possible"
