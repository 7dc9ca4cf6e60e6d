"""One purchase, from quote to settlement. The money protocol, and its own recovery: there is one path.

    quote -> reserve -> submit unpaid -> 402 -> authorize (stored) -> the same request, paid -> settle

`buy` walks it from the start; `advance` enters it wherever the stored reservation says it stands: nothing signed
yet (ask again), signed (send the very same bytes again), held (wait for the expiry), expired (book it). Each step
writes its intent with a commit of the run before its effect, so a process may die on any line.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial
from typing import Final

from bson import ObjectId

from agent import ledger
from agent.deadline import Deadline
from agent.errors import ConfigurationError
from agent.jobs import fail
from agent.leased import LeasedRun
from agent.lifecycle import JOB, move
from agent.models import Job, JobParams, Json, Reservation, Run, SignedAuthorization
from agent.money import at_rate, usd_text, with_tolerance
from agent.services import Services
from agent.wallet import MAX_VALIDITY
from vendors.answers import Call
from vendors.errors import ContractBroken, InvalidVendor, OutcomeUnknown, VendorError, VendorUnavailable
from vendors.models import Quote, Rejected, Submitted, Vendor
from x402.client import PaymentAuth
from x402.errors import PolicyRefused, X402Error
from x402.policy import Policy, choose
from x402.wire import Challenge, PaymentHeader, Receipt

__all__ = ["CALL_SECONDS", "EXPIRY_MARGIN", "advance", "buy", "closes_at", "refusal"]

EXPIRY_MARGIN: Final = timedelta(seconds=60)
"""How long after `validBefore` an authorization counts as usable still: clocks differ, blocks come late."""

UNSIGNED_LIFE: Final = timedelta(seconds=120)
"""A purchase for which nothing was signed by then is dropped: its validity window would be too short."""

CALL_SECONDS: Final = 20.0
"""Most seconds that a vendor may take for one answer."""


async def buy(desk: LeasedRun, services: Services, vendor: Vendor, hours: float, deadline: Deadline) -> ObjectId:
    """Quote, reserve and pay for one job at `vendor`; what cannot be finished now is left to `advance`.

    Returns the id of the job, whatever became of it.
    """
    job = _draw_up(desk.draft, services, vendor, hours)
    params = job.job_params
    try:
        quote = await services.client.quote(
            vendor,
            job_type=params.job_type,
            gpu_type=params.gpu_type,
            max_hours=params.max_hours,
            within=deadline.allow(CALL_SECONDS),
        )
    except (VendorError, InvalidVendor, ConfigurationError) as exc:
        _never_ordered(desk, services, job, "quote_failed", str(exc), vendor_fault=isinstance(exc, VendorError))
        return job.id
    desk.note("quote", f"{vendor.vendor_id} quotes {usd_text(quote.price)} USD", _quoted(vendor, job, quote))
    if why := refusal(desk.draft, job, quote):
        _never_ordered(desk, services, job, "quote_refused", why, vendor_fault=False)
        return job.id
    most = with_tolerance(quote.price, desk.draft.constraints.price_tolerance)
    reservation = Reservation(
        amount=min(most, desk.draft.budget_remaining),
        price=quote.price,
        vendor_id=vendor.vendor_id,
        template_id=quote.template_id,
        created_at=services.world.now(),
    )
    job = job.model_copy(update={"expected_cost": quote.price})
    desk.draft = ledger.reserve(desk.draft, job, reservation)
    _note_money(desk, "reserved", job, reservation.amount)
    await desk.commit()
    await advance(desk, services, str(job.id), deadline)
    return job.id


def refusal(run: Run, job: Job, quote: Quote) -> str | None:
    """Why this quote must not be taken, or None. The planner saw the list price; the quote may not exceed it."""
    constraints = run.constraints
    listed = with_tolerance(job.expected_cost, constraints.price_tolerance)
    if quote.price > listed:
        return f"the quote of {usd_text(quote.price)} USD is above the list price, {usd_text(listed)} USD at most"
    if constraints.max_price_per_hour is not None:
        most = at_rate(constraints.max_price_per_hour, job.job_params.max_hours)
        if quote.price > most:
            return f"the quote of {usd_text(quote.price)} USD is above maxPricePerHour, {usd_text(most)} USD"
    if quote.price > run.budget_remaining:
        return (
            f"the quote of {usd_text(quote.price)} USD is above the remaining {usd_text(run.budget_remaining)} USD"
        )
    return None


def closes_at(reservation: Reservation) -> datetime:
    """When a reservation is closed at the latest, whatever the vendor does."""
    signed = reservation.authorization
    if signed is None:
        return reservation.created_at + UNSIGNED_LIFE
    return datetime.fromtimestamp(signed.valid_before, reservation.created_at.tzinfo) + EXPIRY_MARGIN


async def advance(desk: LeasedRun, services: Services, job_id: str, deadline: Deadline) -> None:
    """Take an open reservation as far as it goes now.

    Raises:
        LeaseLost, StoreUnavailable: stop the tick; the next one enters here again.
    """
    reservation, job = desk.draft.reservations[job_id], desk.draft.jobs[job_id]
    if services.world.now() >= closes_at(reservation):
        await _close_expired(desk, services, job_id)
    elif reservation.authorization is None and desk.draft.ending is not None:
        await _give_up(
            desk, services, job_id, "run_ended", "the run ended before anything was signed", fault=False
        )
    elif reservation.held is None:
        await _exchange(desk, services, job, reservation, deadline)


async def _exchange(
    desk: LeasedRun, services: Services, job: Job, reservation: Reservation, deadline: Deadline
) -> None:
    """Send the order: unpaid first where nothing is signed, with the stored bytes where something is."""
    job_id, signed = str(job.id), reservation.authorization
    vendor = await services.vendors.find(job.vendor_id)
    if vendor is None:
        await _vendor_gone(desk, services, job_id)
        return
    header = PaymentHeader(signed.header_name, signed.header_value) if signed else None
    auth = PaymentAuth(partial(_authorize, desk, services, vendor, job_id), header)
    try:
        answer = await services.client.submit(
            vendor,
            idempotency_key=job_id,
            template_id=reservation.template_id,
            job_params=_order(job),
            auth=auth,
            within=deadline.allow(CALL_SECONDS),
        )
    except OutcomeUnknown as exc:
        signed = desk.draft.reservations[job_id].authorization
        await _stay_open(desk, job, str(exc), _proof(exc.receipt, signed) if signed else None)
    except (VendorError, InvalidVendor, X402Error, ConfigurationError) as exc:
        if desk.draft.reservations[job_id].authorization is not None:
            await _stay_open(desk, job, str(exc), None)
        else:
            fault = isinstance(exc, VendorError | PolicyRefused)
            await _give_up(desk, services, job_id, _code(exc), str(exc), fault=fault)
    else:
        await _conclude(desk, services, job_id, answer)


async def _stay_open(desk: LeasedRun, job: Job, why: str, transaction: str | None) -> None:
    """An authorization is out and nobody knows what became of it: the same bytes go out again next time."""
    before = desk.draft.reservations[str(job.id)]
    desk.draft = ledger.leave_unclear(desk.draft, str(job.id), why, transaction)
    if desk.draft.reservations[str(job.id)] == before:
        return
    if why != before.unclear:
        desk.note("error", f"the payment to {job.vendor_id} has no clear outcome yet: {why}", _about(job))
    await desk.commit()


async def _authorize(
    desk: LeasedRun, services: Services, vendor: Vendor, job_id: str, challenge: Challenge
) -> PaymentHeader:
    """Answer a 402: check the offer, sign it, store the authorization, and only then hand it out."""
    reservation = desk.draft.reservations[job_id]
    policy = Policy(
        max_amount=reservation.amount,
        networks=services.settings.networks,
        payee=vendor.pay_to,
        max_validity_seconds=MAX_VALIDITY,
        origin=vendor.endpoint.rstrip("/") + Call.SUBMIT.value,
    )
    offer = choose(challenge, policy)
    if vendor.pay_to is None:
        pinned = await services.vendors.pin_payee(vendor.vendor_id, offer.pay_to)
        if pinned.lower() != offer.pay_to.lower():
            raise PolicyRefused([f"payee {offer.pay_to} is not the pinned {pinned}"])
        desk.note("payment_event", f"payee of {vendor.vendor_id} pinned", {"event": "pinned", "payTo": pinned})
    signed = await services.wallet.authorize(
        challenge, offer, job_id, reservation.created_at, services.world.now()
    )
    desk.draft = ledger.authorize(desk.draft, job_id, signed)
    _note_money(
        desk,
        "authorized",
        desk.draft.jobs[job_id],
        signed.amount,
        payTo=signed.pay_to,
        network=signed.network,
        nonce=signed.nonce,
        validBefore=signed.valid_before,
    )
    await desk.commit()
    return PaymentHeader(signed.header_name, signed.header_value)


async def _conclude(desk: LeasedRun, services: Services, job_id: str, answer: Submitted | Rejected) -> None:
    """Book what a clear answer says."""
    now, job = services.world.now(), desk.draft.jobs[job_id]
    signed = desk.draft.reservations[job_id].authorization
    if isinstance(answer, Rejected):
        if signed is None:
            raise AssertionError("unreachable: only what was paid for can be rejected")
        _rejected(desk, job, signed, answer, now)
        await desk.commit()
        return
    accepted = job.model_copy(
        update={
            "status": move(JOB, job.status, "accept"),
            "vendor_job_id": answer.vendor_job_id,
            "progress_at": now,
        }
    )
    desk.draft = ledger.put_job(desk.draft, accepted)
    desk.note(
        "job_submitted", f"{job.vendor_id} took the job", {**_about(job), "vendorJobId": answer.vendor_job_id}
    )
    if signed is None:
        desk.draft = ledger.settle(desk.draft, job_id, None)
        _note_money(desk, "not_asked", job, 0)
    elif transaction := _proof(answer.receipt, signed):
        desk.draft = ledger.settle(desk.draft, job_id, transaction)
        _note_money(desk, "settled", job, signed.amount, transaction=transaction, network=signed.network)
    else:
        why = answer.receipt_problem or "the receipt is for another payment"
        desk.draft = ledger.hold(desk.draft, job_id, why)
        _note_money(desk, "held", job, signed.amount, reason=why)
    await desk.commit()


def _proof(receipt: Receipt | None, signed: SignedAuthorization) -> str | None:
    """The transaction that a receipt names, if it can be the settlement of this authorization."""
    if receipt is None or receipt.network != signed.network:
        return None
    if receipt.payer is not None and receipt.payer.lower() != signed.payer.lower():
        return None
    return receipt.transaction if receipt.amount in (None, signed.amount) else None


def _rejected(desk: LeasedRun, job: Job, signed: SignedAuthorization, answer: Rejected, now: datetime) -> None:
    """The vendor says no to a payment that it can still cash: its word frees nothing (design, section 3)."""
    job_id, why = str(job.id), f"the vendor refused the payment: {answer.reason}"
    desk.draft = fail(desk.draft, job, "payment_rejected", why, now, vendor_fault=True)
    if transaction := _proof(answer.receipt, signed):
        desk.draft = ledger.settle(desk.draft, job_id, transaction)
        _note_money(desk, "settled", job, signed.amount, transaction=transaction, network=signed.network)
    else:
        desk.draft = ledger.hold(desk.draft, job_id, why)
        _note_money(desk, "held", job, signed.amount, reason=answer.reason)


async def _close_expired(desk: LeasedRun, services: Services, job_id: str) -> None:
    """The authorization can no longer be used: what a receipt shows is settled, anything else is written off."""
    reservation, job = desk.draft.reservations[job_id], desk.draft.jobs[job_id]
    signed = reservation.authorization
    if signed is None:
        await _give_up(desk, services, job_id, "order_lapsed", "nothing was signed in time", fault=False)
        return
    if reservation.transaction is not None:
        desk.draft = ledger.settle(desk.draft, job_id, reservation.transaction)
        _note_money(desk, "settled", job, signed.amount, transaction=reservation.transaction)
    else:
        desk.draft = ledger.write_off(desk.draft, job_id)
        _note_money(desk, "unresolved", job, signed.amount, nonce=signed.nonce)
    if job.status == "pending":
        message = "a payment was authorized and no job came of it"
        now, current = services.world.now(), desk.draft.jobs[job_id]
        desk.draft = fail(desk.draft, current, "payment_unresolved", message, now, vendor_fault=True)
    await desk.commit()


async def _vendor_gone(desk: LeasedRun, services: Services, job_id: str) -> None:
    """The vendor was removed from the registry meanwhile: nothing more is sent to it."""
    why = "the vendor was removed from the registry"
    if desk.draft.reservations[job_id].authorization is None:
        await _give_up(desk, services, job_id, "vendor_removed", why, fault=False)
        return
    desk.draft = ledger.hold(desk.draft, job_id, why)
    await desk.commit()


async def _give_up(
    desk: LeasedRun, services: Services, job_id: str, code: str, message: str, *, fault: bool
) -> None:
    """Nothing was signed: the job fails and its money is free again."""
    job = desk.draft.jobs[job_id]
    amount = desk.draft.reservations[job_id].amount
    desk.draft = fail(desk.draft, job, code, message, services.world.now(), vendor_fault=fault)
    desk.draft = ledger.release(desk.draft, job_id)
    _note_money(desk, "released", job, amount)
    await desk.commit()


def _draw_up(run: Run, services: Services, vendor: Vendor, hours: float) -> Job:
    now = services.world.now()
    constraints = run.constraints
    params = JobParams(
        job_type=constraints.job_type or "fine_tune",
        gpu_type=constraints.gpu_type or vendor.supported_gpu_types[0],
        max_hours=hours,
        goal=run.goal,
    )
    return Job(
        id=services.world.new_id(),
        run_id=run.id,
        vendor_id=vendor.vendor_id,
        expected_cost=at_rate(vendor.base_price_per_hour, hours),
        job_params=params,
        progress_at=now,
        created_at=now,
    )


def _never_ordered(
    desk: LeasedRun, services: Services, job: Job, code: str, message: str, *, vendor_fault: bool
) -> None:
    """Record a job that ended before any money was set aside."""
    now = services.world.now()
    job = job.model_copy(update={"actual_cost": 0})
    desk.set(jobs_started=desk.draft.jobs_started + 1)
    desk.draft = fail(desk.draft, job, code, message, now, vendor_fault=vendor_fault)


def _order(job: Job) -> dict[str, Json]:
    """`jobParams` of the vendor's submit call, the same at every repetition."""
    return job.job_params.model_dump(by_alias=True)


def _code(exc: Exception) -> str:
    if isinstance(exc, PolicyRefused):
        return "offer_refused"
    if isinstance(exc, VendorUnavailable):
        return "vendor_unavailable"
    if isinstance(exc, ContractBroken):
        return "contract_broken"
    return "vendor_refused" if isinstance(exc, VendorError) else "payment_not_possible"


def _quoted(vendor: Vendor, job: Job, quote: Quote) -> dict[str, Json]:
    return {
        "vendorId": vendor.vendor_id,
        "amountUsd": usd_text(quote.price),
        "gpuType": job.job_params.gpu_type,
        "maxHours": job.job_params.max_hours,
        "etaMinutes": quote.eta_minutes,
        "templateId": quote.template_id,
    }


def _about(job: Job) -> dict[str, Json]:
    return {"jobId": str(job.id), "vendorId": job.vendor_id}


_MONEY_SAYS: Final = {
    "reserved": "reserved {usd} USD for {vendor}",
    "authorized": "authorized {usd} USD to {vendor}; not sent before this is stored",
    "settled": "paid {usd} USD to {vendor}",
    "released": "released {usd} USD, nothing was signed",
    "held": "{usd} USD stay reserved: {vendor} holds an authorization until it expires",
    "unresolved": "booked {usd} USD as spent: the authorization for {vendor} expired with no proof either way",
    "not_asked": "{vendor} asked for no payment",
}


def _note_money(desk: LeasedRun, event: str, job: Job, amount: int, **more: Json) -> None:
    usd = usd_text(amount)
    desk.note(
        "payment_event",
        _MONEY_SAYS[event].format(usd=usd, vendor=job.vendor_id),
        {"event": event, **_about(job), "amountUsd": usd, **more},
    )
