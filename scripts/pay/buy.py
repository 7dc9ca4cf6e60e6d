"""One request, paid for: what `purser pay` does, without its printing.

    find what was signed before -> ask unpaid -> 402 -> look into the purse -> choose -> sign, into the journal
    -> the same request, paid

An answer is handed out before the journal notes it. So whatever breaks on the way, the same order again sends the
same authorization again, and the token takes it once.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, TypeAlias

import httpx

from agent.book.clocks import untimely
from agent.book.errors import ConfigurationError
from agent.book.models import SignedAuthorization
from scripts.pay.journal import Journal, Purchase, PurchaseBusy, Signed
from scripts.pay.rules import (
    AGAIN,
    MAX_VALIDITY,
    chosen,
    fault,
    judged,
    payable,
    priced,
    refuse_another,
    still_open,
    worth_asking,
)
from scripts.pay.values import Order, Outcome, PayExit, Priced, Refusal
from x402.chain.ports import Fate
from x402.client import PaymentAuth
from x402.errors import InsecureTransport, PolicyRefused, SigningFailed, X402Error
from x402.negotiation import build_payment, window
from x402.networks import Asset, asset
from x402.purse import UNASKED, Purse
from x402.wallets.signers import Signer, sign_payment
from x402.wire import Challenge, Offer, PaymentHeader

__all__ = ["AskFate", "Look", "OpenWallet", "Show", "pay"]

ASK_SECONDS: Final = 60.0
PAID_SECONDS: Final = 180.0
"""How long an answer may take. A vendor may wait two minutes for the chain before it answers a paid request."""

OpenWallet: TypeAlias = Callable[[httpx.AsyncClient], Signer]
Show: TypeAlias = Callable[[tuple[Priced, ...]], None]
Look: TypeAlias = Callable[[httpx.AsyncClient, tuple[Asset, ...]], Awaitable[Purse]]
"""What the wallet has of these tokens, so far as it can be read."""
AskFate: TypeAlias = Callable[[httpx.AsyncClient, SignedAuthorization], Awaitable[Fate | None]]
"""What the chain shows of an authorization; None: it cannot be asked."""


@dataclass(slots=True)
class _Course:
    """An order under way, and what was seen so far."""

    order: Order
    http: httpx.AsyncClient
    look: Look
    fate: AskFate
    now: Callable[[], datetime]
    priced: tuple[Priced, ...] = ()
    signed: Signed | None = None
    again: bool = False
    notes: list[str] = field(default_factory=list)

    async def remember(self, last: Signed | None) -> None:
        """Take up what was signed for this request before. Raises `Refusal`."""
        if last is not None:
            refuse_another(self.order, last)
            self.signed = last
            now, fate = self.now(), None
            if worth_asking(self.order, last, now):
                fate = await self.fate(self.http, last.authorization)
            self.again, note = still_open(self.order, last, now, fate)
            if not self.again:
                self.signed = None
            self.notes.extend([note] if note else [])

    def ended(
        self,
        response: httpx.Response | None = None,
        refusal: Refusal | None = None,
        transaction: str | None = None,
    ) -> Outcome:
        return Outcome(
            response=response,
            priced=self.priced,
            signed=self.signed,
            transaction=transaction,
            again=self.again,
            refusal=refusal,
            notes=tuple(self.notes),
        )


class _Asked(Exception):
    """The vendor wants money."""

    def __init__(self, challenge: Challenge) -> None:
        super().__init__()
        self.challenge = challenge


class _Unread(Exception):
    """The headers of a paid answer came, and its body did not, or may not be read."""

    def __init__(self, heads: httpx.Response, why: str) -> None:
        super().__init__(why)
        self.heads = heads
        self.why = why


async def _untold(_: httpx.AsyncClient, __: SignedAuthorization) -> Fate | None:
    return None


async def _unseen(_: httpx.AsyncClient, __: tuple[Asset, ...]) -> Purse:
    return UNASKED


async def pay(
    order: Order,
    journal: Journal,
    wallet: OpenWallet,
    deliver: Callable[[Outcome], None],
    *,
    http: httpx.AsyncClient,
    show: Show = lambda _: None,
    look: Look = _unseen,
    fate: AskFate = _untold,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> PayExit:
    """Carry out an order. `show` is told the offers before anything is signed, `deliver` the outcome, once.

    `look` tells what the wallet has of the tokens that are offered; what it leaves out is not checked. `fate`
    tells what the chain shows of an authorization that has run out without a receipt; None: it cannot be asked.
    `wallet` is asked for only when something is to be signed, and `deliver` may raise: the journal then takes
    the answer for lost. Raises what `deliver` raises.
    """
    course = _Course(order, http, look, fate, now)
    with ExitStack() as held:
        purchase: Purchase | None = None
        try:
            outcome, purchase = await _carried_out(course, journal, wallet, show, held)
        except Refusal as refusal:
            outcome = course.ended(refusal=refusal)
        except ConfigurationError as exc:
            outcome = course.ended(refusal=Refusal(PayExit.SETUP, "setup", str(exc)))
        except PurchaseBusy as exc:
            outcome = course.ended(refusal=Refusal(PayExit.UNKNOWN, "busy", f"{exc}; run this again later"))
        deliver(outcome)
        if purchase is not None and outcome.response is not None:
            _note(purchase, outcome, outcome.response)
    return outcome.exit_code


async def _carried_out(
    course: _Course,
    journal: Journal,
    wallet: OpenWallet,
    show: Show,
    held: ExitStack,
) -> tuple[Outcome, Purchase | None]:
    """The outcome, and the purchase that it is to be noted in, where something was signed."""
    order = course.order
    purchase = journal.find(order.key) or (journal.find(order.older_key) if order.name else None)
    if purchase is not None:
        held.enter_context(purchase)
        await course.remember(purchase.last)
    if purchase is not None and course.again:
        if order.dry_run:
            return course.ended(), None
        purchase.sent_again()
    else:
        answer = await _ask(course)
        if isinstance(answer, httpx.Response):
            return course.ended(answer, fault(answer)), None
        tokens = payable(order, answer)
        purse = await course.look(course.http, tokens) if tokens else UNASKED
        course.priced = priced(order, answer, purse)
        course.notes.extend(answer.skipped)
        show(course.priced)
        offer = chosen(order, answer, purse)
        if order.dry_run:
            return course.ended(), None
        authorization = await _sign(course, answer, offer, wallet(course.http))
        if purchase is None:
            purchase = held.enter_context(journal.create(order.key))
            if purchase.last is not None:
                raise PurchaseBusy("another purser pay has signed for this request meanwhile")
        course.signed = purchase.signed(order.method, order.place, authorization, order.request)
    if course.signed is None:
        raise AssertionError("unreachable: it was signed just now, or before")
    response, unread = await _send(course, course.signed)
    verdict = judged(course.signed, response, unread)
    course.notes.extend(verdict.notes)
    return course.ended(response, verdict.refusal, verdict.transaction), purchase


async def _ask(course: _Course) -> httpx.Response | Challenge:
    """The answer to the unpaid request, or the terms that it asks."""

    async def stop(challenge: Challenge) -> PaymentHeader:
        raise _Asked(challenge)

    clock = course.now
    try:
        return await _request(course, PaymentAuth(stop, clock=lambda: clock().timestamp()), ASK_SECONDS)
    except _Asked as asked:
        return asked.challenge
    except InsecureTransport as exc:
        raise Refusal(PayExit.NOT_ALLOWED, "insecure", str(exc)) from None
    except (X402Error, httpx.HTTPError, TimeoutError) as exc:
        raise Refusal(PayExit.VENDOR, "vendor", f"nothing was paid: {_said(course, exc)}") from None


async def _sign(course: _Course, challenge: Challenge, offer: Offer, signer: Signer) -> SignedAuthorization:
    """The authorization, which nobody has seen yet. Raises `Refusal`."""
    now = course.now()
    valid_after, valid_before = window(offer, int(now.timestamp()), MAX_VALIDITY)
    skew = challenge.clock_skew
    if skew is not None and (why := untimely(skew, int(now.timestamp()), valid_after, valid_before)):
        raise Refusal(PayExit.SETUP, "clock", f"nothing was paid: {why}; one of the two clocks must be set right")
    nonce = "0x" + secrets.token_hex(32)
    try:
        unsigned = build_payment(
            challenge,
            offer,
            payer=signer.address,
            nonce=nonce,
            valid_after=valid_after,
            valid_before=valid_before,
            payment_id=f"purser_{secrets.token_hex(16)}",
        )
        header = await sign_payment(unsigned, signer)
    except PolicyRefused as exc:
        raise Refusal(PayExit.NOT_ALLOWED, "not_allowed", str(exc)) from None
    except SigningFailed as exc:
        raise Refusal(PayExit.SETUP, "wallet", f"nothing was paid: {exc}") from None
    token = asset(offer.network, offer.asset)
    return SignedAuthorization(
        header_name=header.name,
        header_value=header.value,
        payer=signer.address,
        pay_to=offer.pay_to,
        amount=offer.amount,
        network=offer.network,
        asset=offer.asset,
        currency=token.symbol if token else offer.asset,
        nonce=nonce,
        valid_before=valid_before,
        signed_at=now,
    )


async def _send(course: _Course, signed: Signed) -> tuple[httpx.Response, str | None]:
    """The answer to the paid request, and why its body could not be read, if so: its headers may hold the receipt.

    Raises `Refusal`: nobody knows what became of it.
    """

    async def never(_: Challenge) -> PaymentHeader:
        raise AssertionError("unreachable: the first request carries the payment")

    header = PaymentHeader(signed.authorization.header_name, signed.authorization.header_value)
    try:
        return await _request(course, PaymentAuth(never, header), PAID_SECONDS), None
    except _Unread as unread:
        return httpx.Response(unread.heads.status_code, headers=unread.heads.headers), unread.why
    except (X402Error, httpx.HTTPError, TimeoutError) as exc:
        raise Refusal(PayExit.UNKNOWN, "outcome_unknown", f"{_said(course, exc)}; {AGAIN}") from None


async def _request(course: _Course, auth: PaymentAuth, seconds: float) -> httpx.Response:
    order = course.order
    request = course.http.build_request(
        order.method, order.url, content=order.body, headers=[*order.headers], timeout=course.http.timeout
    )
    response: httpx.Response | None = None
    try:
        async with asyncio.timeout(seconds):
            response = await course.http.send(request, stream=True, auth=auth, follow_redirects=False)
            await response.aread()
            return response
    except (X402Error, httpx.HTTPError, TimeoutError) as exc:
        if response is None or not auth.paid:
            raise
        raise _Unread(response, _said(course, exc)) from exc
    finally:
        if response is not None:
            await response.aclose()


def _note(purchase: Purchase, outcome: Outcome, response: httpx.Response) -> None:
    """Write the answer down; one that leaves the outcome unknown is none."""
    if outcome.transaction is not None:
        purchase.settled(outcome.transaction, delivered=outcome.refusal is None)
    elif outcome.exit_code is not PayExit.UNKNOWN:
        purchase.answered(response.status_code, "" if outcome.refusal is None else outcome.refusal.code)


def _said(course: _Course, exc: Exception) -> str:
    """An error in a few words, without the request it is about."""
    if isinstance(exc, X402Error):
        return str(exc)
    return f"{course.order.url.host} gave no answer ({type(exc).__name__})"
