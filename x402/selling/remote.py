"""A facilitator over HTTP: `POST /verify`, `POST /settle`, `GET /supported` (x402 spec v2 section 7).

For sellers of ours that do not settle themselves; the mock vendors do.
"""

from __future__ import annotations

import asyncio
from typing import Final

import httpx

from net.strict_json import Json, JsonObject, parse_object, to_json
from x402.codec import clean, integer_field, text_field
from x402.decode import receipt_from
from x402.errors import FacilitatorError, FacilitatorUnavailable, ResponseRefused, SettlementUnknown
from x402.failures import classify
from x402.selling.facilitator import Kind, Verdict
from x402.wire import Offer, Payment, Receipt

__all__ = ["RemoteFacilitator"]

_VERIFY_SECONDS: Final = 15.0
_SETTLE_SECONDS: Final = 150.0  # a facilitator waits up to 120 s for the chain's receipt
_MAX_REDIRECTS: Final = 3
_REDIRECTS: Final = frozenset({307, 308})  # the only ones that keep method and body
_BUSY: Final = frozenset({408, 425, 429})


class RemoteFacilitator:
    """A client for a facilitator.

    A refusal is a normal answer, with status 200 or with a 4xx. The client's transport should be a
    `BoundedTransport`; credentials of a facilitator that wants some belong to the client's own `auth`.
    """

    def __init__(self, http: httpx.AsyncClient, url: str) -> None:
        """`url` is the absolute URL that the endpoints lie under; `ValueError` when it is none."""
        try:
            parsed = httpx.URL(url)
        except httpx.InvalidURL as exc:
            raise ValueError(f"the facilitator's URL cannot be read: {exc}") from exc
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise ValueError("the facilitator's URL must be absolute, http or https")
        self._http = http
        self._url = url.rstrip("/")

    async def verify(self, payment: Payment, offer: Offer) -> Verdict:
        """Whether the payment would settle now.

        Raises:
            FacilitatorUnavailable: it was not reached in time or is busy.
            FacilitatorError: its answer is no verdict.
        """
        answer = await self._ask("/verify", _order(payment, offer), _VERIFY_SECONDS)
        valid = answer.get("isValid")
        if not isinstance(valid, bool):
            raise FacilitatorError(f"{self._url}/verify answered without a verdict (isValid)")
        payer = payment.authorization.payer
        if valid:
            return Verdict(None, payer)
        reason, message = answer.get("invalidReason"), answer.get("invalidMessage")
        stated = reason if isinstance(reason, str) else ""
        told = clean(f"{stated}: {message}" if isinstance(message, str) and message else stated)
        return Verdict(classify(stated), payer, told or "no reason given")

    async def settle(self, payment: Payment, offer: Offer) -> Receipt:
        """Have the money moved.

        Raises:
            FacilitatorUnavailable: it was not reached or turned the call away: nothing happened.
            SettlementUnknown: it was asked and no usable answer came. Settle the same payment again, or look at
                the chain; never ask for another payment before this one has expired.
        """
        try:
            answer = await self._ask("/settle", _order(payment, offer), _SETTLE_SECONDS)
            return receipt_from(answer)
        except FacilitatorUnavailable as exc:
            if isinstance(exc.__cause__, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout):
                raise
            raise SettlementUnknown(f"{exc}; the money may have moved") from exc
        except (FacilitatorError, ValueError) as exc:
            raise SettlementUnknown(f"{self._url}/settle gave no receipt; the money may have moved") from exc

    async def supported(self) -> tuple[Kind, ...]:
        """What it settles; entries of unknown shape are left out.

        Raises:
            FacilitatorUnavailable: it was not reached in time or is busy.
            FacilitatorError: its answer has no list of kinds.
        """
        answer = await self._ask("/supported", None, _VERIFY_SECONDS)
        entries = answer.get("kinds")
        if not isinstance(entries, list):
            raise FacilitatorError(f"{self._url}/supported answered without kinds")
        return tuple(kind for kind in map(_kind, entries) if kind is not None)

    async def _ask(self, path: str, order: JsonObject | None, seconds: float) -> dict[str, Json]:
        """The JSON object that an endpoint answers. Every error of httpx is translated here."""
        try:
            async with asyncio.timeout(seconds):
                response = await self._exchange(self._url + path, order, seconds)
        except (httpx.HTTPError, TimeoutError) as exc:
            raise FacilitatorUnavailable(f"{self._url}{path} was not reached: {type(exc).__name__}") from exc
        except ResponseRefused as exc:
            raise FacilitatorError(f"{self._url}{path}: {exc}") from exc
        if response.status_code in _BUSY or response.status_code >= 500:
            raise FacilitatorUnavailable(f"{self._url}{path} answered {response.status_code}; try later")
        try:
            return parse_object(response.content)
        except ValueError as exc:
            raise FacilitatorError(
                f"{self._url}{path} answered {response.status_code} with a body that is {exc}"
            ) from exc

    async def _exchange(self, url: str, order: JsonObject | None, seconds: float) -> httpx.Response:
        request = self._http.build_request(
            "GET" if order is None else "POST",
            url,
            content=None if order is None else to_json(order),
            headers={"Content-Type": "application/json", "Cache-Control": "no-store"},
            timeout=seconds,
        )
        for _ in range(_MAX_REDIRECTS):
            response = await self._http.send(request, follow_redirects=False)
            moved = response.next_request
            if moved is None or response.status_code not in _REDIRECTS:
                return response
            if request.url.scheme == "https" and moved.url.scheme != "https":
                raise httpx.UnsupportedProtocol("a redirect would leave https")
            request = moved
        raise httpx.TooManyRedirects(f"more than {_MAX_REDIRECTS} redirects")


def _order(payment: Payment, offer: Offer) -> dict[str, Json]:
    return {
        "x402Version": payment.version,
        "paymentPayload": payment.as_json(),
        "paymentRequirements": offer.raw,
    }


def _kind(entry: Json) -> Kind | None:
    if not isinstance(entry, dict):
        return None
    try:
        version, scheme = integer_field(entry, "x402Version"), text_field(entry, "scheme")
        return Kind(version, scheme, text_field(entry, "network"))
    except ValueError:
        return None
