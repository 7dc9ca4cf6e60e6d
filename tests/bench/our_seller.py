"""Purser's seller with its facilitator inside: `GET /goods` costs $0.01, `GET /plain` nothing."""

from __future__ import annotations

import sys
import time

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gpu_vendor_mock.server import listen
from tests.x402.samples import NETWORK, PAYEE
from x402.selling.offline import MemoryLedger, OfflineFacilitator
from x402.selling.seller import PaymentRefused, Seller, read_payment, receipt_headers

_SELLER = Seller(OfflineFacilitator(MemoryLedger(), time.time), PAYEE, NETWORK)


async def goods(request: Request) -> Response:
    """Money first, then the goods."""
    terms = _SELLER.terms(10_000, str(request.url))
    payment = read_payment(request.headers)
    reason = "payment required"
    if payment is not None:
        try:
            receipt = await _SELLER.collect(payment, terms)
            return JSONResponse({"goods": "delivered"}, headers=receipt_headers(payment.version, receipt))
        except PaymentRefused as exc:
            reason = str(exc)
    headers, body = terms.challenge(reason)
    return Response(body, 402, headers)


async def plain(_request: Request) -> Response:
    """The same for nothing."""
    return JSONResponse({"goods": "delivered"})


def main() -> None:
    """Serve until terminated."""
    app = Starlette(routes=[Route("/goods", goods), Route("/plain", plain)])
    with listen("127.0.0.1", 0) as listening:
        sys.stdout.write(f"http://127.0.0.1:{listening.getsockname()[1]}\n")
        sys.stdout.flush()
        uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off")).run(sockets=[listening])


if __name__ == "__main__":
    main()
