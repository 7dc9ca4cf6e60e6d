"""The seller's side of the `payment-identifier` extension: one id, one payment, one answer.

    answer = await book.once(payment, request, sell)    # PaymentIdMissing: 400, PaymentIdConflict: 409

Spec: `specs/extensions/payment_identifier.md`, and its newer text (x402#2307) that binds an id to the request. An
id is looked up before its payment is verified. A book is one id space: use one per tenant and route.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import islice
from typing import Final, Generic, TypeVar

from net.strict_json import Json, JsonObject, to_json
from x402.errors import SettlementsUnavailable, SettlementUnknown, X402Error
from x402.selling.seller import PaymentRefused
from x402.wire import Payment

__all__ = ["PaymentIdConflict", "PaymentIdMissing", "PaymentIds", "declaration"]

_T = TypeVar("_T")


class PaymentIdMissing(X402Error):
    """The terms require a payment id and the payment carries none that is well formed. HTTP status 400."""


class PaymentIdConflict(X402Error):
    """The id belongs to another payment or another request. HTTP status 409; a new purchase takes a new id."""


def declaration(*, required: bool) -> JsonObject:
    """The extension as a challenge declares it; the payer gives it back with `info.id` added."""
    properties: dict[str, Json] = {
        "required": {"type": "boolean"},
        "id": {"type": "string", "minLength": 16, "maxLength": 128, "pattern": "^[a-zA-Z0-9_-]+$"},
    }
    schema: dict[str, Json] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": properties,
        "required": ["required"],
    }
    return {"info": {"required": required}, "schema": schema}


@dataclass(slots=True)
class _Entry(Generic[_T]):
    """What an id stands for. One request at a time works on it; `answer` is there once it was sold."""

    fingerprint: str
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    answer: tuple[_T] | None = None
    waiting: int = 0


class PaymentIds(Generic[_T]):
    """Answers, kept by payment id, in the memory of one process and event loop.

    The oldest are forgotten when there are too many. That sells nothing twice: the nonce of a payment that was
    settled is used up, so it is refused.
    """

    def __init__(self, *, required: bool = False, most: int = 10_000) -> None:
        """`required` is what `declaration` told the payer; at most `most` ids are remembered."""
        self._required: Final = required
        self._most: Final = most
        self._entries: Final[dict[str, _Entry[_T]]] = {}

    async def once(self, payment: Payment, request: bytes, sell: Callable[[], Awaitable[_T]]) -> _T:
        """The answer to a paid request: what `sell` returns, or what it returned for this id before.

        `request` tells requests apart: method, path and body, say. `sell` verifies, settles and does the work.
        When it raises an `X402Error` nothing was sold and the id is free again; once settling was tried, and after
        any other exception, it stays with this payment, which may come again. A twin of a request that is still
        worked on waits for its answer.

        Raises:
            PaymentIdMissing, PaymentIdConflict: and whatever `sell` raises.
        """
        name = payment.payment_id
        if name is None:
            if self._required:
                raise PaymentIdMissing("a payment-identifier of 16 to 128 characters is required")
            return await sell()
        fingerprint = _fingerprint(payment, request)
        entry = self._entries.get(name)
        if entry is None:
            self._forget()
            entry = self._entries[name] = _Entry(fingerprint)
        elif entry.fingerprint != fingerprint:
            raise PaymentIdConflict("the payment-identifier was used with another payment or another request")
        entry.waiting += 1
        try:
            async with entry.lock:
                if entry.answer is None:
                    entry.answer = (await self._sold(name, entry, sell),)
                return entry.answer[0]
        finally:
            entry.waiting -= 1

    async def _sold(self, name: str, entry: _Entry[_T], sell: Callable[[], Awaitable[_T]]) -> _T:
        try:
            return await sell()
        except X402Error as exc:
            unknown = isinstance(exc, SettlementUnknown | SettlementsUnavailable)
            open_still = unknown or (isinstance(exc, PaymentRefused) and exc.receipt)
            if not open_still and entry.waiting == 1:  # a twin that waits will try for itself, under the same id
                del self._entries[name]
            raise

    def _forget(self) -> None:
        if len(self._entries) >= self._most:
            idle = (name for name, entry in self._entries.items() if not entry.waiting)
            for name in [*islice(idle, max(1, self._most // 10))]:
                del self._entries[name]


def _fingerprint(payment: Payment, request: bytes) -> str:
    return hashlib.sha256(to_json(payment.as_json()) + b"\n" + request).hexdigest()
