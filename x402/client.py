"""The exchange over httpx: a request is sent unpaid, challenged, and sent once more with a payment.

auth = PaymentAuth(authorize)           # authorize persists the payment before it returns it
answer = await http.post(url, auth=auth)
auth.paid                               # whether a payment left: a failure then means "outcome unknown"
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator
from dataclasses import replace
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final, NoReturn

import httpx

from net.addresses import is_loopback
from x402.codec import clean
from x402.errors import EncodedResponse, InsecureTransport, NotX402, RedirectRefused, ResponseTooLarge
from x402.negotiation import read_challenge
from x402.wire import Challenge, PaymentHeader

if TYPE_CHECKING:
    pass

__all__ = ["READ_ON", "BoundedTransport", "PaymentAuth"]

_log = logging.getLogger(__name__)

_PAYMENT_REQUIRED: Final = 402
_WARN_SKEW: Final = 30.0
_PAID_URL: Final = "x402.paid_url"

READ_ON: Final = "x402.read_on"
"""Extension of a request of whose answer the beginning counts too: one announced as too long is read as far as it
may be, and refused only then."""


class PaymentAuth(httpx.Auth):
    """Pays for one request, at most once.

    Without a `header` the request goes out unpaid first; a 402 is given to `authorize`, which must have stored the
    payment when it returns it, and the request is sent again with it. With a `header` (one that was stored before)
    the first request carries it. Whatever answers a paid request is handed to the caller: a second 402 means
    "refused" and is never paid again (x402#3148).

    The caller must not follow redirects; on a `BoundedTransport` a payment that is redirected is stopped.

    Raises:
        InsecureTransport: the payment would travel over plain http to another machine (`plain_http` allows it, for
            networks that are private by themselves).
        X402Error: what `read_challenge` raises; nothing was paid then.
    """

    def __init__(
        self,
        authorize: Callable[[Challenge], Awaitable[PaymentHeader]],
        header: PaymentHeader | None = None,
        *,
        body_terms: bool = False,
        plain_http: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._authorize = authorize
        self._header = header
        self._body_terms = body_terms
        self._plain_http = plain_http
        self._clock = clock
        self._used = False
        self._paid = False

    @property
    def signed(self) -> bool:
        """Whether it has a payment to send from the start."""
        return self._header is not None

    @property
    def paid(self) -> bool:
        """Whether a request that carries the payment was handed to the transport."""
        return self._paid

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        if self._used:
            raise RuntimeError("a PaymentAuth pays for one request; make another one")
        self._used = True
        await request.aread()  # a streamed body could not be sent a second time
        request.headers["Cache-Control"] = "no-store"
        header = self._header
        if header is None:
            response = yield request
            if response.status_code != _PAYMENT_REQUIRED:
                return
            self._refuse_plain_http(request.url)
            header = await self._authorize(await self._challenge(response))
        self._refuse_plain_http(request.url)
        request.headers[header.name] = header.value
        request.extensions[_PAID_URL] = str(request.url)
        self._paid = True
        yield request

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        raise RuntimeError(f"paying for {request.url} needs an httpx.AsyncClient: authorizing is awaited")

    async def _challenge(self, response: httpx.Response) -> Challenge:
        body = await response.aread()
        age = response.headers.get("Age", "")
        if age.isdecimal() and age.strip("0"):
            raise NotX402(f"the 402 comes from a cache, {clean(age, 20)} s old: its terms may have changed")
        skew = _clock_skew(response, self._clock())
        if skew is not None and abs(skew) > _WARN_SKEW:
            _log.warning("the clock of %s differs from ours by %.0f s", response.url.host, skew)
        return replace(read_challenge(response.headers, body, body_terms=self._body_terms), clock_skew=skew)

    def _refuse_plain_http(self, url: httpx.URL) -> None:
        if url.scheme != "https" and not self._plain_http and not is_loopback(url.host):
            raise InsecureTransport(f"a payment to {url.host} would travel in the clear; use https")


class BoundedTransport(httpx.AsyncBaseTransport):
    """A transport that reads at most `max_bytes` of a body, and never carries a payment elsewhere.

    It asks for `identity`, and refuses compressed answers: a small one could unpack to any size. The refusal comes
    with the body, so that the headers are seen in any case: they may hold the receipt of a payment.

    Raises:
        ResponseRefused: its kinds are `ResponseTooLarge`, `EncodedResponse` and `RedirectRefused`; `X402Error`s,
            not httpx ones. The connection is closed.
    """

    def __init__(self, transport: httpx.AsyncBaseTransport, max_bytes: int = 1024 * 1024) -> None:
        if max_bytes <= 0:
            raise ValueError("max_bytes must be above zero")
        self._transport = transport
        self._max_bytes = max_bytes

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        _refuse_moved_payment(request)
        request.headers["Accept-Encoding"] = "identity"
        response = await self._transport.handle_async_request(request)
        assert isinstance(response.stream, httpx.AsyncByteStream)
        return httpx.Response(
            status_code=response.status_code,
            headers=response.headers,
            stream=_BoundedStream(response.stream, request, response.headers, self._max_bytes),
            extensions=response.extensions,
        )

    async def aclose(self) -> None:
        await self._transport.aclose()


class _BoundedStream(httpx.AsyncByteStream):
    def __init__(
        self, stream: httpx.AsyncByteStream, request: httpx.Request, headers: httpx.Headers, limit: int
    ) -> None:
        self._stream = stream
        self._request = request
        self._headers = headers
        self._limit = limit

    async def __aiter__(self) -> AsyncIterator[bytes]:
        encoding = self._headers.get("Content-Encoding", "identity").strip().lower()
        if encoding not in ("", "identity"):
            host = self._request.url.host
            raise EncodedResponse(f"{host} sent a compressed body although identity was asked for")
        announced = self._headers.get("Content-Length", "")
        too_long = announced.isdecimal() and (len(announced) > 18 or int(announced) > self._limit)
        if too_long and READ_ON not in self._request.extensions:
            _too_large(self._request, self._limit)
        seen = 0
        async for chunk in self._stream:
            seen += len(chunk)
            if seen > self._limit:
                yield chunk[: len(chunk) - (seen - self._limit)]
                _too_large(self._request, self._limit)
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


def _clock_skew(response: httpx.Response, now: float) -> float | None:
    """By how many seconds the server's clock is ahead of ours, from its `Date`; None when it does not say."""
    try:
        date = parsedate_to_datetime(response.headers.get("Date", ""))
    except (ValueError, OverflowError):
        return None
    return date.replace(tzinfo=date.tzinfo or UTC).timestamp() - now


def _too_large(request: httpx.Request, limit: int) -> NoReturn:
    raise ResponseTooLarge(f"{request.url.host} sent more than {limit} bytes")


def _refuse_moved_payment(request: httpx.Request) -> None:
    # httpx copies headers and extensions onto the request it builds for a redirect; only the URL tells them apart.
    if request.extensions.get(_PAID_URL, str(request.url)) != str(request.url):
        raise RedirectRefused(f"a redirect to {request.url.host} would have carried the payment; not followed")
