"""The decisions of `purser pay`: what is sent again, which offer is taken, what an answer means. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import httpx

from agent.book.booking import proof
from agent.book.money import usd_text
from net.hosts import among
from scripts.pay.journal import Signed
from scripts.pay.values import Order, PayExit, Priced, Refusal
from x402.chain.ports import Cancelled, Fate, Unused, Used
from x402.codec import UINT256_MAX, clean
from x402.errors import ChainError, MalformedHeader, PolicyRefused
from x402.negotiation import failed_receipt, read_receipt, rejection_reason
from x402.networks import Asset
from x402.policy import Policy, choose, outside, payable_in, refusals
from x402.purse import HasCode, Purse, Unaffordable
from x402.wire import Challenge, Offer

__all__ = [
    "AGAIN",
    "MAX_VALIDITY",
    "Judged",
    "chosen",
    "fault",
    "judged",
    "payable",
    "priced",
    "refuse_another",
    "still_open",
    "worth_asking",
]

MAX_VALIDITY: Final = 900
"""Longest validity, in seconds, of an authorization, whatever the vendor asks for."""

AGAIN: Final = "the outcome is unknown: the same command sends the same payment again"

_PAYMENT_REQUIRED: Final = 402
_COME_AGAIN: Final = frozenset({408, 409, 425, 429})
_MAX_LOCATION: Final = 8_000
_PENDING: Final = "settlement_pending"


def worth_asking(order: Order, last: Signed, now: datetime) -> bool:
    """Whether only the chain can tell what became of the newest authorization of this request."""
    return not order.new_purchase and last.transaction is None and now >= last.closes_at and _in_doubt(order, last)


def _in_doubt(order: Order, last: Signed) -> bool:
    """Whether an authorization that has run out without a receipt may have been cashed for all that is known here.

    A name says that it is bought once, so there no vendor's answer counts: who cashes and says no is no proof.
    """
    return last.unanswered or order.name is not None


def still_open(order: Order, last: Signed, now: datetime, fate: Fate | None = None) -> tuple[bool, str | None]:
    """Whether the newest authorization of this request is to be sent again, or else another one may be signed; and
    what the user should know of it. `fate` is what the chain shows of it; None: it was not asked, or cannot tell.

    Raises:
        Refusal: neither may be, without the user's word.
    """
    signed, usd = last.authorization, usd_text(last.authorization.amount)
    until = f"{last.closes_at:%Y-%m-%d %H:%M:%S} UTC"
    over = now >= last.closes_at
    if order.new_purchase:
        loose = last.transaction is None and not over
        return False, f"{usd} USD signed for this request before can be cashed until {until}" if loose else None
    if last.transaction is not None and not last.delivered:
        why = f"{usd} USD were paid for this request, in transaction {last.transaction}, and nothing was delivered"
        return True, f"{why}: the same payment is shown again; --new-purchase pays anew"
    if last.transaction is not None:
        return order.name is not None, None
    if over and isinstance(fate, Used):
        why = f"{usd} USD were paid for this request, in transaction {fate.transaction}, as the chain shows"
        raise Refusal(PayExit.UNKNOWN, "outcome_unknown", f"{why}, without a receipt; --new-purchase pays anew")
    void = isinstance(fate, Cancelled) or (isinstance(fate, Unused) and fate.for_ever(signed.valid_before))
    if over and void:
        return False, f"{usd} USD signed for this request before were not taken, as the chain shows"
    if over and _in_doubt(order, last):
        raise Refusal(
            PayExit.UNKNOWN,
            "outcome_unknown",
            f"{usd} USD were signed for this request and sent, and no receipt came. The authorization (nonce "
            f"{signed.nonce}) is void since {until}; whether it was cashed before is not known here. Look at the "
            f"transfers of {signed.payer}, or name a node in X402_RPC_URLS; --new-purchase pays anew",
        )
    if over:
        return False, f"{usd} USD signed for this request before were not taken, and are void since {until}"
    _refuse_barred(order, last, f"{usd} USD are signed for this request, and open until {until}")
    return True, None


def _refuse_barred(order: Order, last: Signed, what: str) -> None:
    """What an offer is held against before it is signed holds before it is sent again: with the limits of now."""
    signed, policy = last.authorization, _policy(order)
    if _host_refused(order):
        raise Refusal(PayExit.NOT_ALLOWED, "not_allowed", f"{what}; {order.url.host} is not in ALLOWED_HOSTS")
    if (why := outside(signed, policy)) is None:
        return
    if outside(signed, replace(policy, max_amount=UINT256_MAX)) is None:
        raise Refusal(PayExit.TOO_EXPENSIVE, "too_expensive", f"{what}: that is above --max-usd")
    raise Refusal(PayExit.NOT_ALLOWED, "not_allowed", f"{what}: {why}")


def refuse_another(order: Order, last: Signed) -> None:
    """A name is the identity of a purchase: another request under it is a mistake, and never a second purchase.

    Raises:
        Refusal: the name was used for another request.
    """
    if order.name is None or order.new_purchase or last.request in ("", order.request):
        return
    raise Refusal(
        PayExit.NOT_ALLOWED,
        "name_taken",
        f"--idempotency-key {order.name} was used for another request (method, URL or body differ); nothing was "
        "signed. Repeat that request, or give this one a name of its own",
    )


def payable(order: Order, challenge: Challenge) -> tuple[Asset, ...]:
    """The tokens that it might be paid with: what there is of them is worth asking."""
    return () if _host_refused(order) else payable_in(challenge, _policy(order))


def priced(order: Order, challenge: Challenge, purse: Purse) -> tuple[Priced, ...]:
    """Each offer, with what speaks against it, and which one will be paid."""
    policy = _policy(order)
    try:
        taken = choose(challenge, policy, purse)
    except (PolicyRefused, Unaffordable, ChainError):
        taken = None
    against = refusals(challenge, policy, purse)
    offers = zip(challenge.offers, against, strict=True)
    return tuple(Priced(each, refused, each is taken) for each, refused in offers)


def chosen(order: Order, challenge: Challenge, purse: Purse) -> Offer:
    """The offer that will be paid.

    Raises:
        Refusal: none may be, or none can be; it tells whether only the price is in the way, or the wallet.
    """
    policy = _policy(order)
    if _host_refused(order):
        raise Refusal(PayExit.NOT_ALLOWED, "not_allowed", f"{order.url.host} is not in ALLOWED_HOSTS")
    try:
        return choose(challenge, policy, purse)
    except PolicyRefused as exc:
        if all(refusals(challenge, replace(policy, max_amount=UINT256_MAX))):
            raise Refusal(PayExit.NOT_ALLOWED, "not_allowed", str(exc)) from None
        raise Refusal(PayExit.TOO_EXPENSIVE, "too_expensive", f"above what may be paid: {exc}") from None
    except Unaffordable as exc:
        code = "wallet_unfit" if isinstance(exc.entry, HasCode) else "insufficient_funds"
        raise Refusal(PayExit.SETUP, code, f"nothing was paid: {exc}") from None
    except ChainError as exc:
        why = f"nothing was paid: what the wallet holds cannot be read: {exc}; run this again later"
        raise Refusal(PayExit.SETUP, "chain", why) from None


@dataclass(frozen=True, slots=True)
class Judged:
    """What an answer to a paid request means. `transaction` is what a receipt proves."""

    transaction: str | None = None
    refusal: Refusal | None = None
    notes: tuple[str, ...] = ()


def judged(signed: Signed, response: httpx.Response, unread: str | None = None) -> Judged:
    """What an answer to a paid request means. Only a receipt for this very payment ends the purchase.

    `unread` is why the body of the answer could not be read, if so: its headers count all the same.
    """
    status = response.status_code
    notes: list[str] = []
    try:
        receipt = read_receipt(response.headers)
    except MalformedHeader as exc:
        receipt = None
        notes.append(f"the receipt cannot be read: {exc}")
    transaction = proof(receipt, signed.authorization) if receipt is not None and receipt.success else None
    if transaction is not None:
        why = f"it was paid, and the vendor answers {status}{_where(response)}"
        if unread is not None:
            why = f"{why}; {unread}"
        return Judged(transaction, Refusal(PayExit.VENDOR, "vendor", why) if unread or status >= 300 else None)
    if unread is not None:
        raise Refusal(PayExit.UNKNOWN, "outcome_unknown", f"{unread}; {AGAIN}")
    if receipt is not None and receipt.success:
        notes.append("the receipt is for another payment")
    failed = failed_receipt(response.headers)
    pending = receipt is not None and receipt.error_reason == _PENDING
    usd = usd_text(signed.authorization.amount)
    money = f"{usd} USD can be cashed until {signed.closes_at:%Y-%m-%d %H:%M:%S} UTC"
    if signed.transaction is not None:
        money = f"{usd} USD were paid before, in transaction {signed.transaction}"
    refusal = None
    if status >= 500 or status in _COME_AGAIN or pending:
        why = f"the vendor answers {status} and shows no receipt; {AGAIN}"
        refusal = Refusal(PayExit.UNKNOWN, "outcome_unknown", why)
    elif status == _PAYMENT_REQUIRED or failed is not None:
        reason = rejection_reason(response.headers, response.content)
        why = f"the vendor refused the payment: {reason}; {money}"
        refusal = Refusal(PayExit.VENDOR, "payment_refused", why)
    elif status >= 300:
        refusal = Refusal(
            PayExit.VENDOR, "vendor", f"the vendor answers {status}{_where(response)} to the paid request; {money}"
        )
    else:
        notes.append(f"the vendor shows no receipt; {money}")
    return Judged(None, refusal, tuple(notes))


def fault(response: httpx.Response) -> Refusal | None:
    """What is wrong with an answer that asks for no money."""
    status = response.status_code
    if status < 300:
        return None
    return Refusal(PayExit.VENDOR, "vendor", f"the vendor answers {status}{_where(response)}; nothing was paid")


def _where(response: httpx.Response) -> str:
    """Where an answer redirects to, told whole: it may be what was bought, with a signature in it."""
    where = response.headers.get("Location")
    return "" if where is None else f", to {clean(where, _MAX_LOCATION)} (not followed)"


def _policy(order: Order) -> Policy:
    return Policy(
        order.max_amount,
        order.networks,
        assets=order.assets,
        payees=order.payees,
        max_validity_seconds=MAX_VALIDITY,
        origin=str(order.url),
    )


def _host_refused(order: Order) -> bool:
    return order.hosts is not None and not among(str(order.url), order.hosts)
