"""Taking payments over x402: terms out, payment in, at most one order served for each nonce.

A nonce belongs to the first order it is presented for, from before it is verified until it is refused; if it is
never refused, for ever. That does not rest on the facilitator: one that took a payment twice would still sell one
job.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from gpu_vendor_mock.answer import Answer
from gpu_vendor_mock.errors import Refused
from x402.decode import header_in
from x402.errors import FacilitatorError, MalformedHeader, UnsupportedVersion
from x402.failures import Failure
from x402.selling.facilitator import Facilitator
from x402.selling.offline import OfflineFacilitator
from x402.selling.seller import PaymentRefused, Seller, read_payment, receipt_headers
from x402.selling.settlements import MemorySettlements, Settlements
from x402.wire import PAYMENT_HEADERS, Payment, Receipt

__all__ = ["OrderId", "Presentation", "Price", "Till", "read_presentation"]

OrderId: TypeAlias = tuple[str, str]
"""A vendor and an idempotency key."""


@dataclass(frozen=True, slots=True)
class Price:
    """What is asked for an order: micro-dollars, to whom, on which network (CAIP-2)."""

    amount: int
    pay_to: str
    network: str


@dataclass(frozen=True, slots=True)
class Presentation:
    """A payment as it came in. `sha256` is of the header's value."""

    payment: Payment
    sha256: str

    def receipt_headers(self, receipt: Receipt) -> dict[str, str]:
        """How the payer is told of `receipt`, in the version it paid with."""
        return receipt_headers(self.payment.version, receipt)


def read_presentation(headers: Mapping[str, str]) -> Presentation | None:
    """The payment that a request carries, if any.

    Raises:
        Refused: 400, it carries one that cannot be read.
    """
    try:
        payment = read_payment(headers)
    except (MalformedHeader, UnsupportedVersion) as exc:
        raise Refused(400, "malformed_payment", str(exc)) from exc
    if payment is None:
        return None
    value = header_in(headers, PAYMENT_HEADERS[payment.version]) or ""
    return Presentation(payment, hashlib.sha256(value.encode()).hexdigest())


class Till:
    """Asks for money and collects it."""

    def __init__(self, facilitator: Facilitator) -> None:
        self._facilitator: Final = facilitator
        self._settlements: Settlements = MemorySettlements()
        self._sellers: Final[dict[tuple[str, str], Seller]] = {}
        self._owners: dict[tuple[str, str, str], OrderId] = {}

    def challenge(self, price: Price, url: str, reason: str = "payment required") -> Answer:
        """The 402 that asks for `price`, in both versions of the protocol."""
        headers, body = self._seller(price).terms(price.amount, url).challenge(reason)
        return Answer(402, body, headers)

    async def collect(self, order: OrderId, price: Price, url: str, payment: Payment) -> Receipt:
        """Have the money moved.

        Raises:
            PaymentRefused: it was not moved for this order.
            Refused: 503, the facilitator gave no clear answer; the same payment may be sent again for this order.
        """
        authorization = payment.authorization
        nonce = (price.network, authorization.payer.lower(), authorization.nonce.lower())
        new = nonce not in self._owners
        if self._owners.setdefault(nonce, order) != order:
            raise PaymentRefused(Failure.NONCE_USED, "the authorization was presented for another order")
        seller = self._seller(price)
        try:
            return await seller.collect(payment, seller.terms(price.amount, url))
        except PaymentRefused as exc:
            if new and exc.receipt is None:  # it never got as far as a settlement
                del self._owners[nonce]
            raise
        except FacilitatorError as exc:
            raise Refused(503, "facilitator_unavailable", f"{exc}; send the same payment again") from exc

    def at(self, moment: float) -> Till:
        """This till at `moment` (Unix seconds), not later than now. Only an offline ledger can be taken back."""
        there = self._facilitator
        then = Till(there.as_of(moment) if isinstance(there, OfflineFacilitator) else there)
        then._owners, then._settlements = self._owners, self._settlements
        return then

    def _seller(self, price: Price) -> Seller:
        """One seller for each payee and network, because it remembers what it is settling."""
        whom = (price.pay_to, price.network)
        if whom not in self._sellers:
            self._sellers[whom] = Seller(
                self._facilitator, price.pay_to, price.network, settlements=self._settlements
            )
        return self._sellers[whom]
