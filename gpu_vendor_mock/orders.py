"""Quotes and the orders for them: what was promised, what was asked for, what came of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from decimal import Decimal

from gpu_vendor_mock.answer import Answer
from gpu_vendor_mock.catalog import Persona
from gpu_vendor_mock.errors import Refused
from gpu_vendor_mock.faults import RequestFaults
from gpu_vendor_mock.reading import SubmitRequest
from gpu_vendor_mock.till import OrderId, Presentation, Price

__all__ = ["KeptPayment", "Order", "Quote", "Submission", "check_params", "quote_gone"]


@dataclass(frozen=True, slots=True)
class Quote:
    """A price promised by one vendor until `expires_at` (Unix seconds)."""

    template_id: str
    vendor_id: str
    job_type: str
    gpu_type: str
    max_hours: Decimal
    price: int
    expires_at: float


@dataclass(slots=True)
class Order:
    """What is known of one idempotency key. `price` is None where no payment is asked.

    `answer` is set once it is final, `changed` once the terms are no longer those of the first challenge.
    """

    vendor_id: str
    key: str
    request: SubmitRequest
    quote: Quote
    price: Price | None
    changed: bool = False
    answer: Answer | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def id(self) -> OrderId:
        """What tells it from all others."""
        return self.vendor_id, self.key


@dataclass(frozen=True, slots=True)
class Submission:
    """A POST /submit-job. `url` is where it was sent to, `presented` the payment it carries. `named`: it can be
    asked for again."""

    persona: Persona
    key: str
    request: SubmitRequest
    url: str
    presented: Presentation | None
    faults: RequestFaults
    named: bool = True


@dataclass(frozen=True, slots=True)
class KeptPayment:
    """A payment that was called rejected and is cashed at `due` (Unix seconds) all the same."""

    due: float
    order: Order
    price: Price
    url: str
    presented: Presentation


def quote_gone() -> Refused:
    """The refusal of an order without a quote."""
    return Refused(410, "quote_expired", "unknown or expired vendorJobTemplateId: ask for a new quote")


def check_params(request: SubmitRequest, quote: Quote) -> None:
    """What is ordered is what was quoted, wherever the parameters say it again.

    Raises:
        Refused: 422 naming the parameter that differs.
    """
    promised = {"jobType": quote.job_type, "gpuType": quote.gpu_type, "maxHours": quote.max_hours}
    for name, value in promised.items():
        given = request.job_params.get(name, value)
        if (Decimal(str(given)) if isinstance(given, float) else given) != value:
            raise Refused(422, "differs_from_quote", f"jobParams.{name}: the quote was for {value}")
