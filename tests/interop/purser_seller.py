"""A seller of ours as a process: `python -m tests.interop.purser_seller FACILITATOR_URL PAY_TO [required]`.

`POST /goods` costs $0.01, collected through the facilitator; it keeps to the payment-identifier extension, which
`required` makes compulsory. `GET /runs` says how often its handler ran. Prints its address.
"""

from __future__ import annotations

import socket
import sys

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from x402.client import BoundedTransport
from x402.codec import encode_header
from x402.errors import FacilitatorError, MalformedHeader
from x402.idempotency import PaymentIdConflict, PaymentIdMissing, PaymentIds, declaration
from x402.remote import RemoteFacilitator
from x402.seller import PaymentRefused, Seller, read_payment, receipt_headers
from x402.wire import PAYMENT_IDENTIFIER, RECEIPT_HEADERS

PRICE = 10_000


def app_for(facilitator: str, pay_to: str, *, required: bool) -> Starlette:
    """The app. Everything it knows of payments comes from `x402`."""
    http = httpx.AsyncClient(transport=BoundedTransport(httpx.AsyncHTTPTransport()))
    extensions = {PAYMENT_IDENTIFIER: declaration(required=required)}
    seller = Seller(RemoteFacilitator(http, facilitator), pay_to, "eip155:84532", extensions=extensions)
    answers: PaymentIds[Response] = PaymentIds(required=required)
    runs: list[int] = []

    async def goods(request: Request) -> Response:
        terms = seller.terms(PRICE, str(request.url))

        def ask(reason: str) -> Response:
            headers, body = terms.challenge(reason)
            return Response(body, 402, headers)

        try:
            payment = read_payment(request.headers)
        except MalformedHeader as exc:
            return JSONResponse({"error": str(exc)}, 400)
        if payment is None:
            return ask("payment required")

        async def sell() -> Response:
            receipt = await seller.collect(payment, terms)
            runs.append(1)
            return JSONResponse({"goods": "delivered"}, headers=receipt_headers(payment.version, receipt))

        try:
            return await answers.once(payment, request.url.path.encode() + await request.body(), sell)
        except PaymentIdMissing as exc:
            return JSONResponse({"error": str(exc)}, 400)
        except PaymentIdConflict as exc:
            return JSONResponse({"error": str(exc)}, 409)
        except PaymentRefused as exc:
            refusal = ask(str(exc))
            if exc.receipt is not None:
                refusal.headers[RECEIPT_HEADERS[payment.version]] = encode_header(exc.receipt.as_json())
            return refusal
        except FacilitatorError as exc:
            return JSONResponse({"error": str(exc)}, 503)

    async def count(_request: Request) -> Response:
        return JSONResponse(len(runs))

    return Starlette(routes=[Route("/goods", goods, methods=["POST"]), Route("/runs", count)])


def main() -> None:
    """Serve until terminated."""
    facilitator, pay_to, *rest = sys.argv[1:]
    app = app_for(facilitator, pay_to, required="required" in rest)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        sys.stdout.write(f"http://127.0.0.1:{listening.getsockname()[1]}\n")
        sys.stdout.flush()
        uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off")).run(sockets=[listening])


if __name__ == "__main__":
    main()
