"""Selling GPU time: a quote, an order for it, at most one payment and one job for each order.

An order is one idempotency key at one vendor. Its body, and unless a fault has it otherwise its terms, are fixed
at first sight; from then on everything under that key happens one request at a time, and once money has moved the
answer is final.
What the till has settled and the job it was for are written down without an `await` between them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Final

from gpu_vendor_mock.answer import Answer
from gpu_vendor_mock.catalog import WRONG_PAYEE, Persona
from gpu_vendor_mock.dollars import dollars_json, price_of, raised
from gpu_vendor_mock.errors import Refused
from gpu_vendor_mock.faults import FaultName, RequestFaults
from gpu_vendor_mock.jobs import Jobs
from gpu_vendor_mock.journal import JobStarted, Journal, Refusal, Settled
from gpu_vendor_mock.orders import KeptPayment, Order, Quote, Submission, check_params, quote_gone
from gpu_vendor_mock.reading import QuoteRequest
from gpu_vendor_mock.settings import Settings
from gpu_vendor_mock.till import OrderId, Presentation, Price, Till
from x402.networks import default_asset
from x402.selling.seller import PaymentRefused
from x402.wire import Payment, Receipt

__all__ = ["LATE_SECONDS", "QUOTE_SECONDS", "Shop"]

QUOTE_SECONDS: Final = 600
"""How long a quote can be ordered and paid for."""
LATE_SECONDS: Final = 10
"""How long before `validBefore` the fault `cash_late` cashes; a facilitator wants 6 of them."""

_OLD_HEADER: Final = "x402-tx-id"
"""What vendors before x402 named a payment with. Shown beside the real terms and receipt; it proves nothing."""

_REJECTED: Final = "payment rejected by the vendor"


class Shop:
    """All vendors of this process. Knows nothing of HTTP; refusals are raised as `Refused`."""

    def __init__(
        self,
        settings: Settings,
        jobs: Jobs,
        till: Till,
        journal: Journal,
        clock: Callable[[], float],
        new_id: Callable[[], str],
    ) -> None:
        self._network = settings.x402_network
        self._jobs = jobs
        self._till = till
        self._journal = journal
        self._clock = clock
        self._new_id = new_id
        self._quotes: dict[str, Quote] = {}
        self._orders: dict[OrderId, Order] = {}
        self._kept: list[KeptPayment] = []

    def quote(self, persona: Persona, request: QuoteRequest) -> Answer:
        """POST /quote."""
        if request.gpu_type not in persona.supported_gpu_types:
            offered = ", ".join(persona.supported_gpu_types)
            raise Refused(422, "gpu_not_offered", f"gpuType: {persona.vendor_id} offers {offered}")
        now = self._clock()
        self._quotes = {known: quote for known, quote in self._quotes.items() if quote.expires_at > now}
        quote = Quote(
            template_id=f"tpl_{self._new_id()}",
            vendor_id=persona.vendor_id,
            job_type=request.job_type,
            gpu_type=request.gpu_type,
            max_hours=request.max_hours,
            price=price_of(persona.base_price_per_hour, request.max_hours),
            expires_at=now + QUOTE_SECONDS,
        )
        self._quotes[quote.template_id] = quote
        return Answer.of(
            200,
            {
                "vendorJobTemplateId": quote.template_id,
                "priceEstimate": dollars_json(quote.price),
                "currency": "USD",
                "etaMinutes": self._jobs.eta_minutes(),
            },
        )

    async def submit(self, submission: Submission) -> Answer | None:
        """POST /submit-job. None: the connection is to be closed without an answer."""
        order = self._order(submission)
        presented, faults = submission.presented, submission.faults
        async with order.lock:
            if order.answer is not None:
                answer = self._again(order, order.answer, faults)
            elif self._clock() >= order.quote.expires_at:
                raise quote_gone()
            elif order.price is None:
                answer = order.answer = self._start(order, {}, faults)
            elif presented is None:
                old = {_OLD_HEADER: f"tx_{order.quote.template_id}"}
                return self._till.challenge(order.price, submission.url).with_headers(old)
            elif faults.take(FaultName.DROP_BEFORE_PAYMENT):
                return None
            else:
                answer = await self._charge(order, order.price, submission.url, presented, faults)
        if presented is not None and order.answer is not None and faults.take(FaultName.DROP_AFTER_PAYMENT):
            return None
        return answer

    def status(self, persona: Persona, vendor_job_id: str) -> Answer:
        """GET /job-status."""
        return Answer.of(200, self._jobs.report(persona.vendor_id, vendor_job_id))

    def _order(self, submission: Submission) -> Order:
        """The order under this key, opened now if the key is new."""
        persona, request = submission.persona, submission.request
        order = self._orders.get((persona.vendor_id, submission.key))
        if order is None:
            quote = self._quotes.get(request.vendor_job_template_id)
            if quote is None or quote.vendor_id != persona.vendor_id or self._clock() >= quote.expires_at:
                raise quote_gone()
            check_params(request, quote)
            price = self._price(persona, quote, submission.faults)
            order = Order(persona.vendor_id, submission.key, request, quote, price)
            if submission.named:
                self._orders[persona.vendor_id, submission.key] = order
        elif order.request != request:
            raise Refused(409, "key_reused", "this Idempotency-Key was used with another body: take a new one")
        return order

    def _price(self, persona: Persona, quote: Quote, faults: RequestFaults) -> Price | None:
        """What is asked for an order: the quoted price to the vendor, unless a fault says otherwise."""
        if persona.pay_to is None:
            return None
        above = faults.take(FaultName.PRICE_ABOVE_QUOTE)
        return Price(
            amount=raised(quote.price, above.number) if above else quote.price,
            pay_to=WRONG_PAYEE if faults.take(FaultName.WRONG_PAYEE) else persona.pay_to,
            network=_another_than(self._network) if faults.take(FaultName.WRONG_NETWORK) else self._network,
        )

    async def _charge(
        self, order: Order, price: Price, url: str, presented: Presentation, faults: RequestFaults
    ) -> Answer:
        """Take the payment and start the job. Sets the order's answer where it is the last word."""
        if reason := self._turned_down(order, price, faults):
            return self._refuse(order, url, presented, reason)
        order.answer = self._lie(order, price, url, presented, faults)
        if order.answer is not None:
            return order.answer
        try:
            receipt = await self._till.collect(order.id, price, url, presented.payment)
        except PaymentRefused as exc:
            answer = self._refuse(order, url, presented, str(exc))
            return answer if exc.receipt is None else answer.with_headers(presented.receipt_headers(exc.receipt))
        self._note_settled(self._clock(), order, price, presented.payment, receipt)
        if faults.take(FaultName.REJECT_BUT_CASH):
            order.answer = self._refuse(order, url, presented, _REJECTED)
        else:
            silent = faults.take(FaultName.NO_RECEIPT)
            shown = {**presented.receipt_headers(receipt), _OLD_HEADER: receipt.transaction}
            order.answer = self._start(order, {} if silent else shown, faults)
        return order.answer

    def _refuse(self, order: Order, url: str, presented: Presentation, reason: str) -> Answer:
        assert order.price is not None  # only who asks for a payment can refuse it
        nonce = presented.payment.authorization.nonce
        self._journal.refusals.append(Refusal(self._clock(), order.vendor_id, order.key, nonce, reason))
        return self._till.challenge(order.price, url, reason)

    def _turned_down(self, order: Order, price: Price, faults: RequestFaults) -> str | None:
        """Why a payment is refused unseen, as faults have it. They may change what is asked for next."""
        if faults.take(FaultName.REJECT_PAYMENT):
            return _REJECTED
        if faults.take(FaultName.ASK_FOR_EVER):
            return "payment required"
        if order.changed:
            return None
        if dearer := faults.take(FaultName.RAISE_ON_SECOND):
            order.price, order.changed = replace(price, amount=raised(price.amount, dearer.number)), True
            return "the price has changed"
        if faults.take(FaultName.SWITCH_PAYEE):
            order.price, order.changed = replace(price, pay_to=WRONG_PAYEE), True
            return "the payee has changed"
        return None

    def _lie(
        self, order: Order, price: Price, url: str, presented: Presentation, faults: RequestFaults
    ) -> Answer | None:
        """An answer that says other things of the money than what happens to it, if faults want one."""
        if faults.take(FaultName.CASH_LATE):
            # not before it came: what has expired on the way cannot have been cashed in time
            due = max(presented.payment.authorization.valid_before - LATE_SECONDS, self._clock())
            self._kept.append(KeptPayment(due, order, price, url, presented))
            return self._refuse(order, url, presented, _REJECTED)
        if faults.take(FaultName.NEVER_SETTLE):
            return self._start(order, {}, faults, paid=False)
        if faults.take(FaultName.FORGED_RECEIPT):
            receipt = presented.receipt_headers(_forged_receipt(price, presented.payment))
            return self._start(order, receipt, faults, paid=False)
        return None

    async def cash_what_is_due(self) -> None:
        """Cash the payments that were called rejected and are about to expire, as if it had been done in time."""
        now = self._clock()
        due = sorted((kept for kept in self._kept if kept.due <= now), key=lambda kept: kept.due)
        self._kept = [kept for kept in self._kept if kept.due > now]
        for kept in due:
            then = self._till.at(kept.due)
            with suppress(PaymentRefused, Refused):  # expired too soon, spent elsewhere, or never any good
                receipt = await then.collect(kept.order.id, kept.price, kept.url, kept.presented.payment)
                self._note_settled(kept.due, kept.order, kept.price, kept.presented.payment, receipt)

    def _again(self, order: Order, answer: Answer, faults: RequestFaults) -> Answer:
        """The answer already given, byte for byte. Nothing is charged or started, unless by `duplicate_job`."""
        if answer.status == 200 and faults.take(FaultName.DUPLICATE_JOB):
            return self._start(order, answer.headers, faults)
        return answer

    def _start(
        self, order: Order, receipt: Mapping[str, str], faults: RequestFaults, *, paid: bool = True
    ) -> Answer:
        job = self._jobs.start(faults, order.quote.job_type, order.quote.gpu_type, order.quote.price)
        self._journal.jobs.append(
            JobStarted(
                at=job.started_at,
                vendor_id=order.vendor_id,
                key=order.key,
                vendor_job_id=job.vendor_job_id,
                template_id=order.quote.template_id,
                price=job.price,
                paid=paid and order.price is not None,
                forgotten=job.forgotten,
            )
        )
        other = self._jobs.another(job)
        named = other if other is not None and faults.take(FaultName.OTHER_JOB) else job
        return Answer.of(200, {"vendorJobId": named.vendor_job_id, "status": "queued"}, receipt)

    def _note_settled(self, at: float, order: Order, price: Price, payment: Payment, receipt: Receipt) -> None:
        authorization, token = payment.authorization, default_asset(price.network)
        assert token is not None  # no other network is ever asked for
        self._journal.settlements.append(
            Settled(
                at=at,
                vendor_id=order.vendor_id,
                key=order.key,
                template_id=order.quote.template_id,
                quoted=order.quote.price,
                amount=authorization.value,
                network=price.network,
                asset=token.address,
                payer=authorization.payer,
                pay_to=authorization.payee,
                nonce=authorization.nonce,
                transaction=receipt.transaction,
                x402_version=payment.version,
            )
        )


def _forged_receipt(price: Price, payment: Payment) -> Receipt:
    """A receipt that could be this payment's in every respect but that it never was."""
    signed = payment.authorization
    transaction = "0x" + hashlib.sha256(signed.nonce.encode()).hexdigest()
    return Receipt(True, transaction, price.network, payer=signed.payer, amount=signed.value)


def _another_than(network: str) -> str:
    """A network that exists and is not the one payments are wanted on."""
    return "eip155:8453" if network != "eip155:8453" else "eip155:84532"
