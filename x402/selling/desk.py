"""A facilitator's HTTP face without a server: method, path and body in, status and JSON out.

    GET /supported    POST /verify    POST /settle

As in x402 spec v2 section 7. Whatever serves it adds the socket and a bound on bodies; `remote` calls it.
A refusal is an answer with status 200, in the words of the official SDKs, whose clients lose the reason of any
other status. A message that cannot be read is a refusal too; the official facilitator raises an exception.
"""

from __future__ import annotations

from typing import Final

from net.strict_json import Json, JsonObject, parse_object, to_json
from x402.codec import integer_field, object_field
from x402.decode import offer_from, payment_from
from x402.errors import FacilitatorError, FacilitatorUnavailable, SettlementUnknown, X402Error
from x402.failures import Failure, spoken
from x402.selling.facilitator import Facilitator
from x402.wire import Offer, Payment, Receipt

__all__ = ["FacilitatorDesk"]

_METHODS: Final = {"/supported": "GET", "/verify": "POST", "/settle": "POST"}


class FacilitatorDesk:
    """Answers for a facilitator of this process, so that sellers elsewhere can use it."""

    def __init__(self, facilitator: Facilitator) -> None:
        self._facilitator: Final = facilitator

    async def answer(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        """Status and JSON of one call. Never raises an `X402Error`.

        503 says that nothing happened, 502 that the outcome is not known: settle the same payment again.
        """
        if path not in _METHODS:
            return 404, to_json({"error": "only /supported, /verify and /settle are here"})
        if method != _METHODS[path]:
            return 405, to_json({"error": f"{path} takes {_METHODS[path]}"})
        try:
            if path == "/supported":
                return 200, to_json(await self._supported())
            return 200, to_json(await self._order(path, body))
        except FacilitatorUnavailable as exc:
            return 503, to_json({"error": str(exc)})
        except FacilitatorError as exc:
            return 502, to_json({"error": str(exc)})

    async def _supported(self) -> JsonObject:
        kinds: list[Json] = [
            {"x402Version": kind.version, "scheme": kind.scheme, "network": kind.network}
            for kind in await self._facilitator.supported()
        ]
        return {"kinds": kinds, "extensions": [], "signers": {}}

    async def _order(self, path: str, body: bytes) -> JsonObject:
        try:
            payment, offer = _read(body)
        except (ValueError, X402Error) as exc:
            return _refusal(path, spoken(Failure.MALFORMED.value), str(exc))
        if path == "/settle":
            try:
                receipt = await self._facilitator.settle(payment, offer)
            except SettlementUnknown as exc:
                if exc.transaction is None:
                    raise
                payer = payment.authorization.payer
                receipt = Receipt(False, exc.transaction, offer.network, payer=payer, error_reason=_PENDING)
            answer = {**receipt.as_json(), "network": offer.raw["network"]}  # as the version of the order names it
            if receipt.error_reason is not None:
                answer["errorReason"] = spoken(receipt.error_reason)
            return answer
        verdict = await self._facilitator.verify(payment, offer)
        if verdict.failure is not None:
            return _refusal(path, spoken(verdict.failure.value), verdict.message, verdict.payer)
        return {"isValid": True, "payer": verdict.payer}


_PENDING: Final = "settlement_pending"
"""What others read for a settlement under way: settle the same payment again, its transaction is known."""


def _read(body: bytes) -> tuple[Payment, Offer]:
    order = parse_object(body)
    payment = payment_from(object_field(order, "paymentPayload"))
    if integer_field(order, "x402Version") != payment.version:
        raise ValueError("x402Version is not the payload's")
    return payment, offer_from(object_field(order, "paymentRequirements"), payment.version)


def _refusal(path: str, reason: str, message: str, payer: str | None = None) -> JsonObject:
    who: dict[str, Json] = {} if payer is None else {"payer": payer}
    if path == "/verify":
        return {"isValid": False, "invalidReason": reason, "invalidMessage": message, **who}
    return {"success": False, "errorReason": reason, "errorMessage": message, "transaction": "", "network": ""}
