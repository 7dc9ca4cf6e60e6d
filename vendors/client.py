"""The calls of the vendor contract over HTTP: bounded in time and size, no redirect followed, no cookie kept.

`/quote` and `/job-status` change nothing, so they are made again with a backoff when the vendor is unavailable.
`/submit-job` is not: the money protocol sends the stored bytes again itself, on a later tick.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Final, TypeVar

import httpx
import stamina

from net.guard import GuardedTransport
from net.strict_json import JsonObject
from vendors.answers import (
    CUT,
    MAX_BACKOFF,
    TX_ID_HEADER,
    Call,
    asks_for_x402,
    read_quote,
    read_report,
    read_submission,
    read_unpaid,
    tx_id,
    wait_before_retry,
    without_answer,
)
from vendors.errors import InvalidVendor, VendorError
from vendors.models import JobReport, Quote, Rejected, Submitted, Vendor, is_token
from vendors.room import FREE, Room
from vendors.withholding import withhold, withhold_from_error
from x402.client import READ_ON, BoundedTransport, PaymentAuth
from x402.errors import MalformedHeader, NotX402, ResponseRefused, ResponseTooLarge, UnsupportedVersion

__all__ = ["MAX_BODY", "VendorClient", "make_http_client"]

# By default stamina prints each retry to stdout wherever structlog is installed.
stamina.instrumentation.set_on_retry_hooks([stamina.instrumentation.LoggingOnRetryHook])

MAX_BODY: Final = 4 * 1024 * 1024
"""Longest answer that is read, in bytes."""

_T = TypeVar("_T")

_ATTEMPTS: Final = 3

_OF_THE_VENDOR: Final = (httpx.HTTPError, MalformedHeader, NotX402, ResponseRefused, UnsupportedVersion)
"""Errors of a call that are the vendor's doing. Any other one comes from the caller's own callbacks."""


def make_http_client(*, loopback: bool) -> httpx.AsyncClient:
    """The client to give to `VendorClient`. It belongs to one event loop, and is closed by who made it.

    It connects to public addresses only, and to this machine where `loopback` allows that (docs/decisions/0014).
    """
    return httpx.AsyncClient(
        transport=BoundedTransport(GuardedTransport(loopback=loopback), MAX_BODY),
        trust_env=False,  # a proxy of the environment would resolve names itself
        # a vendor's cookies would be kept for as long as the process lives, as many as it cares to send
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
    )


class VendorClient:
    """Talks to any registered vendor. `within` is always the seconds that a call may take, tries included.

    Raises, in every call, `vendors.errors` as drawn there, and what `secret_for` raises.
    """

    def __init__(self, http: httpx.AsyncClient, secret_for: Callable[[Vendor], str]) -> None:
        """`secret_for` gives a vendor's bearer token, wherever it is kept."""
        self._http = http
        self._secret_for = secret_for
        self._room = Room()

    async def quote(
        self, vendor: Vendor, *, job_type: str, gpu_type: str, max_hours: float, within: float
    ) -> Quote:
        """What the job would cost.

        Raises:
            VendorUnavailable, VendorRefused, ContractBroken, InvalidVendor
        """
        content = _json({"jobType": job_type, "gpuType": gpu_type, "maxHours": max_hours})
        return await self._ask(vendor, Call.QUOTE, read_quote, within, content=content)

    async def status(self, vendor: Vendor, vendor_job_id: str, *, within: float) -> JobReport:
        """How the job is doing.

        Raises:
            VendorUnavailable, VendorRefused, ContractBroken, InvalidVendor
        """
        params = {"vendorJobId": vendor_job_id}
        return await self._ask(vendor, Call.STATUS, read_report, within, params=params)

    async def submit(
        self,
        vendor: Vendor,
        *,
        idempotency_key: str,
        template_id: str,
        job_params: JsonObject,
        auth: PaymentAuth,
        within: float,
    ) -> Submitted | Rejected:
        """Order the quoted job, paying through `auth` if the vendor asks for it. One try, never repeated here.

        The body is the same bytes for the same arguments. What `auth`'s callback raises (PolicyRefused, a lost
        lease) passes through: nothing was sent then.

        Raises:
            VendorUnavailable, VendorRefused, ContractBroken, InvalidVendor: no payment was sent.
            OutcomeUnknown: one was, and neither a job nor a clear no came back.
        """
        content = _json({"vendorJobTemplateId": template_id, "jobParams": job_params})
        request = self._request(vendor, Call.SUBMIT, within, content=content, key=idempotency_key)
        until = asyncio.get_running_loop().time() + within
        with self._withholding(vendor) as shown:
            if vendor.allow_tx_id and not auth.signed:
                old = self._request(vendor, Call.SUBMIT, within, content=content, key=idempotency_key)
                if (answer := await self._submit_old(vendor, old, until)) is not None:
                    return shown(answer)
            response = await self._exchange(vendor, Call.SUBMIT, request, until, auth)
            return shown(read_submission(vendor, response, paid=auth.paid))

    async def _submit_old(self, vendor: Vendor, request: httpx.Request, until: float) -> Submitted | None:
        """Order from a vendor that may be from before x402: it names a payment, and has it named again.

        None: it asks for a real payment, or says no.
        """
        response = await self._exchange(vendor, Call.SUBMIT, request, until)
        named = tx_id(vendor, response)
        if named and response.status_code == httpx.codes.PAYMENT_REQUIRED and not asks_for_x402(response):
            request.headers[TX_ID_HEADER] = named
            response = await self._exchange(vendor, Call.SUBMIT, request, until)
        if not response.is_success:
            return None
        return replace(read_unpaid(vendor, response), tx_id=tx_id(vendor, response) or named)

    @contextmanager
    def _withholding(self, vendor: Vendor) -> Iterator[Callable[[_T], _T]]:
        """What comes out of a call, results through the function given and errors by themselves, has no token."""
        token = self._token(vendor)
        try:
            yield lambda value: withhold(value, token)
        except VendorError as exc:
            withhold_from_error(exc, token)
            raise

    async def _ask(
        self,
        vendor: Vendor,
        call: Call,
        read: Callable[[Vendor, httpx.Response], _T],
        within: float,
        *,
        content: bytes | None = None,
        params: dict[str, str] | None = None,
    ) -> _T:
        """An idempotent call: made again while the vendor is unavailable and there is time.

        A silent connection gets half of it: a pooled one may be dead without anybody having said so.
        """
        clock = asyncio.get_running_loop().time
        until = clock() + within
        async for attempt in stamina.retry_context(
            on=lambda exc: wait_before_retry(exc, until - clock()),
            attempts=_ATTEMPTS,
            timeout=None,  # the hook above knows the deadline, and does not wait for what cannot be in time
            wait_initial=MAX_BACKOFF / 3,
            wait_jitter=MAX_BACKOFF / 3,
            wait_max=MAX_BACKOFF,
        ):
            with attempt, self._withholding(vendor) as shown:  # stamina logs what the attempt raised
                request = self._request(vendor, call, within / 2, content=content, params=params)
                return shown(read(vendor, await self._exchange(vendor, call, request, until)))
        raise AssertionError("stamina ends in a return or a raise")

    async def _exchange(
        self, vendor: Vendor, call: Call, request: httpx.Request, until: float, auth: PaymentAuth | None = None
    ) -> httpx.Response:
        """The answer with its whole body, or the typed error of having none.

        Once a payment has left us, any error at all leaves its outcome unknown, our own mistakes included.
        """
        response: httpx.Response | None = None
        # httpx bounds each phase; a byte now and then would pass that for ever, but not this
        deadline = asyncio.timeout_at(until)
        try:
            async with deadline:
                response = await self._http.send(request, stream=True, auth=auth, follow_redirects=False)
                cut = call is Call.STATUS or (auth is not None and auth.paid)
                return await _whole(response, self._room, vendor.vendor_id, cut=cut)
        except Exception as exc:
            paid = auth is not None and auth.paid
            late = isinstance(exc, TimeoutError) and deadline.expired()
            if not (paid or late or isinstance(exc, _OF_THE_VENDOR)):
                raise
            raise without_answer(vendor, call, exc, paid=paid, heads=response) from exc
        finally:
            if response is not None:
                await response.aclose()

    def _request(
        self,
        vendor: Vendor,
        call: Call,
        per_phase: float,
        *,
        content: bytes | None = None,
        params: dict[str, str] | None = None,
        key: str | None = None,
    ) -> httpx.Request:
        """A request of the contract: POST with `content`, GET without. `per_phase` is httpx's time-out."""
        headers = {
            "authorization": f"Bearer {self._token(vendor)}",
            "x-vendor-id": vendor.vendor_id,
            "accept": "application/json",
        }
        if content is not None:
            headers["content-type"] = "application/json"
        if key is not None:
            headers["idempotency-key"] = key
        try:
            request = self._http.build_request(
                "GET" if content is None else "POST",
                vendor.endpoint.rstrip("/") + call.value,
                content=content,
                params=params,
                headers=headers,
                timeout=per_phase,
            )
            if call is not Call.QUOTE:
                request.extensions[READ_ON] = True
            assert request.url.host  # decodes an international name, or raises
        except (httpx.InvalidURL, UnicodeError) as exc:
            raise InvalidVendor("endpoint", f"{vendor.endpoint} is no URL that can be called") from exc
        return request

    def _token(self, vendor: Vendor) -> str:
        """The bearer token. A bad one is refused here: deeper down the error would quote it."""
        token = self._secret_for(vendor)
        if not is_token(token):
            where = "secret is sealed, but" if vendor.sealed else f"names {vendor.secret_ref}, which"
            raise InvalidVendor("secret_ref", f"{where} holds no token: 1 to 4096 visible ASCII characters")
        return token


async def _whole(response: httpx.Response, room: Room, vendor_id: str, *, cut: bool) -> httpx.Response:
    """The response with its body. `cut`: of one that is too long, as much as may be read; marked as `CUT`."""
    body, taken = bytearray(), 0
    extensions = response.extensions
    try:
        async for chunk in response.aiter_raw():
            more = max(0, len(body) + len(chunk) - FREE - taken)
            if not room.take(vendor_id, more):
                raise ResponseTooLarge(f"there is no room for more than the first {len(body)} bytes now")
            taken += more
            body += chunk
    except ResponseTooLarge:
        if not cut:
            raise
        extensions = {**extensions, CUT: True}
    finally:
        room.give(vendor_id, taken)
    return httpx.Response(
        response.status_code,
        headers=[(name, value) for name, value in response.headers.raw if name.lower() != b"content-length"],
        content=bytes(body),
        extensions=extensions,
        request=response.request,
    )


def _json(content: JsonObject) -> bytes:
    """Compact JSON with sorted keys, so that the same content is the same bytes after any reload."""
    return json.dumps(content, allow_nan=False, separators=(",", ":"), sort_keys=True).encode()
