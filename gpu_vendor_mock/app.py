"""The HTTP face: who may ask, which vendor is meant, what goes wrong on the way. The selling is in `shop`.

Every request but GET /health needs the bearer token; the vendor is chosen by `x-vendor-id`. Errors are
`{"error": {"code", "message"}}`.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from http import HTTPStatus

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gpu_vendor_mock.answer import Answer
from gpu_vendor_mock.catalog import Persona
from gpu_vendor_mock.dropping import NoAnswer
from gpu_vendor_mock.errors import BadSetting, Refused
from gpu_vendor_mock.faults import (
    FAULT_HEADER,
    Endpoint,
    Fault,
    FaultBook,
    FaultName,
    RequestFaults,
    parse_header,
)
from gpu_vendor_mock.framing import OneLength
from gpu_vendor_mock.jobs import Jobs
from gpu_vendor_mock.journal import FaultFired, Journal, Presented
from gpu_vendor_mock.orders import Submission
from gpu_vendor_mock.reading import QuoteRequest, SubmitRequest, idempotency_key, parse_body, read_body
from gpu_vendor_mock.settings import Settings
from gpu_vendor_mock.shop import Shop
from gpu_vendor_mock.till import Presentation, Till, read_presentation
from x402.networks import register
from x402.selling.facilitator import Facilitator
from x402.selling.offline import MemoryLedger, OfflineFacilitator
from x402.wire import PAYMENT_HEADERS

__all__ = ["create_app"]


def create_app(
    settings: Settings,
    *,
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    new_id: Callable[[], str] = lambda: secrets.token_hex(8),
    facilitator: Facilitator | None = None,
    journal: Journal | None = None,
) -> Starlette:
    """The vendors of `settings` as an ASGI app. It keeps everything in memory, and must run in one event loop.

    `clock` gives Unix seconds, `sleep` is what the fault `slow` waits with, `new_id` names quotes and jobs.
    Without a `facilitator`, payments are settled offline against a ledger of nonces; every payer has enough.
    `journal` is written to, for one who wants to read along in this process. Tokens of one's own in the settings
    become known to the process.
    """
    for token in settings.x402_assets:
        register(token)
    journal = Journal() if journal is None else journal
    jobs = Jobs(settings, clock, new_id)
    till = Till(facilitator or OfflineFacilitator(MemoryLedger(), clock))
    shop = Shop(settings, jobs, till, journal, clock, new_id)
    counter = _Counter(settings, shop, journal, clock, new_id, sleep)
    return Starlette(
        routes=[
            Route("/quote", counter.quote, methods=["POST"]),
            Route("/submit-job", counter.submit, methods=["POST"]),
            Route("/job-status", counter.status, methods=["GET"]),
            Route("/journal", counter.show_journal, methods=["GET"]),
            Route("/health", counter.health, methods=["GET"]),
        ],
        middleware=[Middleware(OneLength)],
        exception_handlers={Refused: _refused, HTTPException: _no_such_route},
    )


@dataclass(frozen=True, slots=True)
class _Visit:
    """One request that was let in, and what is to go wrong with it."""

    persona: Persona
    faults: RequestFaults
    body: bytes
    presented: Presentation | None


class _Counter:
    """Where requests come in and answers go out."""

    def __init__(
        self,
        settings: Settings,
        shop: Shop,
        journal: Journal,
        clock: Callable[[], float],
        new_id: Callable[[], str],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._bearer = f"Bearer {settings.gpu_vendor_secret.get_secret_value()}".encode()
        self._personas = {persona.vendor_id: persona for persona in settings.vendors}
        self._book = FaultBook(settings.configured_faults)
        self._shop = shop
        self._journal = journal
        self._clock = clock
        self._new_id = new_id
        self._sleep = sleep

    async def quote(self, request: Request) -> Response:
        async def ask(visit: _Visit) -> Answer:
            return self._shop.quote(visit.persona, parse_body(visit.body, QuoteRequest))

        return await self._serve(request, ask, Endpoint.QUOTE)

    async def submit(self, request: Request) -> Response:
        async def order(visit: _Visit) -> Answer | None:
            submission = Submission(
                persona=visit.persona,
                key=self._order_key(request, visit.presented),
                request=parse_body(visit.body, SubmitRequest),
                url=str(request.url),
                presented=visit.presented,
                faults=visit.faults,
                named=visit.presented is not None or idempotency_key(request) is not None,
            )
            return await self._shop.submit(submission)

        paying = any(name in request.headers for name in PAYMENT_HEADERS.values())
        aims = (Endpoint.SUBMIT_JOB, Endpoint.PAYMENT) if paying else (Endpoint.SUBMIT_JOB,)
        return await self._serve(request, order, *aims)

    async def status(self, request: Request) -> Response:
        async def look(visit: _Visit) -> Answer:
            return self._shop.status(visit.persona, request.query_params.get("vendorJobId", ""))

        return await self._serve(request, look, Endpoint.JOB_STATUS)

    async def show_journal(self, request: Request) -> Response:
        self._check_token(request)
        await self._shop.cash_what_is_due()
        return _send(Answer.of(200, self._journal.as_json()))

    async def health(self, _request: Request) -> Response:
        return _send(Answer.of(200, {"status": "ok", "vendors": list(self._personas)}))

    async def _serve(
        self, request: Request, handle: Callable[[_Visit], Awaitable[Answer | None]], *aims: Endpoint
    ) -> Response:
        """Let the request in, do to it what the faults aimed at it say, and hand it on."""
        self._check_token(request)
        await self._shop.cash_what_is_due()
        persona = self._persona(request)
        faults = RequestFaults(self._book, persona.vendor_id, _asked_faults(request), self._note_fault)
        # Body and payment first: a client that gives up on a slow or broken vendor has sent them all the same.
        body = await read_body(request) if request.method == "POST" else b""
        presented = self._presented(request, persona)
        if slow := faults.take(FaultName.SLOW):
            await self._sleep(slow.number / 1_000)
        if faults.take(FaultName.HTTP_500, *aims):
            return _send(Answer.error(500, "internal_error", "something broke at the vendor"))
        answer = await handle(_Visit(persona, faults, body, presented))
        if answer is None:
            return NoAnswer()
        if faults.take(FaultName.MALFORMED_JSON, *aims):
            answer = replace(answer, body=answer.body[: len(answer.body) // 2])
        return _send(answer)

    def _check_token(self, request: Request) -> None:
        # Header values arrive as latin-1, so this gives back the bytes that were sent.
        sent = request.headers.get("authorization", "").encode("latin-1")
        if not hmac.compare_digest(sent, self._bearer):
            raise Refused(401, "unauthorized", "send Authorization: Bearer with the vendor's secret")

    def _persona(self, request: Request) -> Persona:
        persona = self._personas.get(request.headers.get("x-vendor-id", ""))
        if persona is None:
            raise Refused(404, "unknown_vendor", f"x-vendor-id must be one of {', '.join(self._personas)}")
        return persona

    def _presented(self, request: Request, persona: Persona) -> Presentation | None:
        """The payment in the request, which is noted whatever comes of it."""
        presented = read_presentation(request.headers)
        if presented is not None:
            authorization = presented.payment.authorization
            self._journal.payments.append(
                Presented(
                    at=self._clock(),
                    vendor_id=persona.vendor_id,
                    key=self._order_key(request, presented),
                    payer=authorization.payer,
                    nonce=authorization.nonce,
                    value=authorization.value,
                    valid_before=authorization.valid_before,
                    sha256=presented.sha256,
                )
            )
        return presented

    def _order_key(self, request: Request, presented: Presentation | None) -> str:
        """What names the order: the Idempotency-Key; where there is none, as from other x402 clients, the payment.

        A request with neither is an order of its own: it is told the terms, and what pays for them names it.
        """
        key = idempotency_key(request)
        if key is None and presented is not None:
            return f"payment-{presented.payment.authorization.nonce.lower()}"
        return f"unnamed-{self._new_id()}" if key is None else key

    def _note_fault(self, vendor_id: str, fault: Fault) -> None:
        self._journal.faults.append(FaultFired(self._clock(), vendor_id, str(fault)))


def _asked_faults(request: Request) -> tuple[Fault, ...]:
    try:
        return parse_header(request.headers.get(FAULT_HEADER, ""))
    except BadSetting as exc:
        raise Refused(400, "bad_fault", f"{FAULT_HEADER}: {exc}") from exc


def _send(answer: Answer) -> Response:
    headers = {"cache-control": "no-store"} | {name.lower(): value for name, value in answer.headers.items()}
    return Response(answer.body, answer.status, headers, media_type="application/json")


async def _refused(_request: Request, exc: Exception) -> Response:
    assert isinstance(exc, Refused)
    headers = {"www-authenticate": "Bearer"} if exc.status == HTTPStatus.UNAUTHORIZED else {}
    return _send(Answer.error(exc.status, exc.code, exc.message).with_headers(headers))


async def _no_such_route(_request: Request, exc: Exception) -> Response:
    assert isinstance(exc, HTTPException)
    code = HTTPStatus(exc.status_code).phrase.lower().replace(" ", "_")
    return _send(Answer.error(exc.status_code, code, exc.detail).with_headers(exc.headers or {}))
