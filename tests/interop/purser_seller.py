"""A seller of ours as a process: `python -m tests.interop.purser_seller FACILITATOR_URL PAY_TO [required]`.

`POST /goods` costs $0.01, collected through the facilitator; it keeps to the payment-identifier extension, which
`required` makes compulsory. `GET /runs` says how often its handler ran. `--settlements` names what it shares with
others: a file, or the URI of a database of MongoDB. With `--dies` it kills itself before its first paid answer.
Prints its address.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
from typing import Any

import httpx
import uvicorn
from pymongo import AsyncMongoClient
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from x402.client import BoundedTransport
from x402.codec import encode_header
from x402.errors import FacilitatorError, MalformedHeader, SettlementsUnavailable
from x402.selling.idempotency import PaymentIdConflict, PaymentIdMissing, PaymentIds, declaration
from x402.selling.remote import RemoteFacilitator
from x402.selling.seller import PaymentRefused, Seller, read_payment, receipt_headers
from x402.selling.settlements import MemorySettlements, Settlements
from x402.selling.settlements_mongo import MongoSettlements
from x402.selling.settlements_sqlite import SqliteSettlements
from x402.wire import PAYMENT_IDENTIFIER, RECEIPT_HEADERS

PRICE = 10_000


def settlements_at(where: str | None) -> Settlements:
    """The memory that a command line names."""
    if where is None:
        return MemorySettlements()
    if not where.startswith("mongodb://"):
        return SqliteSettlements(where)
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(where)
    return MongoSettlements(client.get_default_database()["settlements"])


def app_for(facilitator: str, pay_to: str, settlements: Settlements, *, required: bool, dies: bool) -> Starlette:
    """The app. Everything it knows of payments comes from `x402`."""
    http = httpx.AsyncClient(transport=BoundedTransport(httpx.AsyncHTTPTransport()))
    extensions = {PAYMENT_IDENTIFIER: declaration(required=required)}
    remote = RemoteFacilitator(http, facilitator)
    seller = Seller(remote, pay_to, "eip155:84532", extensions=extensions, settlements=settlements)
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
            if dies:
                os.kill(os.getpid(), signal.SIGKILL)
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
        except (FacilitatorError, SettlementsUnavailable) as exc:
            return JSONResponse({"error": str(exc)}, 503)

    async def count(_request: Request) -> Response:
        return JSONResponse(len(runs))

    return Starlette(routes=[Route("/goods", goods, methods=["POST"]), Route("/runs", count)])


def main() -> None:
    """Serve until terminated."""
    parser = argparse.ArgumentParser()
    parser.add_argument("facilitator")
    parser.add_argument("pay_to")
    parser.add_argument("required", nargs="?", choices=["required"])
    parser.add_argument("--settlements")
    parser.add_argument("--dies", action="store_true")
    told = parser.parse_args()
    memory = settlements_at(told.settlements)
    app = app_for(told.facilitator, told.pay_to, memory, required=told.required is not None, dies=told.dies)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        sys.stdout.write(f"http://127.0.0.1:{listening.getsockname()[1]}\n")
        sys.stdout.flush()
        uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off")).run(sockets=[listening])


if __name__ == "__main__":
    main()
