"""A facilitator to sell through: `python -m gpu_vendor_mock.facilitator [--host 127.0.0.1] [--port 4021]`.

It speaks the facilitator's HTTP of x402 (`x402.selling.desk`) to any seller, ours or others, and settles offline
against a ledger in memory: real signatures, no chain, every payer has enough. `GET /journal` shows what moved.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Callable
from dataclasses import asdict

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gpu_vendor_mock.server import listen, port
from net.strict_json import MAX_BYTES
from x402.selling.desk import FacilitatorDesk
from x402.selling.facilitator import Facilitator
from x402.selling.offline import MemoryLedger, OfflineFacilitator

__all__ = ["facilitator_app", "main"]


def facilitator_app(facilitator: Facilitator, ledger: MemoryLedger) -> Starlette:
    """The ASGI app: the desk's routes, and the ledger's transfers under /journal."""
    desk = FacilitatorDesk(facilitator)

    async def ask(request: Request) -> Response:
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BYTES:
                return JSONResponse({"error": f"at most {MAX_BYTES} bytes"}, 413)
        status, answer = await desk.answer(request.method, request.url.path, bytes(body))
        return Response(answer, status, {"cache-control": "no-store"}, "application/json")

    async def journal(_request: Request) -> Response:
        return JSONResponse([asdict(transfer) for transfer in ledger.journal])

    return Starlette(
        routes=[
            Route("/journal", journal, methods=["GET"]),
            *(Route(path, ask, methods=["GET", "POST"]) for path in ("/supported", "/verify", "/settle")),
        ]
    )


def main(clock: Callable[[], float] = time.time) -> int:
    """Serve until a signal ends it. The line printed to stdout names the address; 0 takes a free port."""
    parser = argparse.ArgumentParser(
        prog="gpu_vendor_mock.facilitator", description="An x402 facilitator, offline."
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=port, default=4021, help="port, 0 for a free one (default: %(default)s)")
    arguments = parser.parse_args()
    try:
        listening = listen(arguments.host, arguments.port)
    except OSError as exc:
        sys.stderr.write(f"cannot listen on {arguments.host}:{arguments.port}: {exc}\n")
        return 2
    ledger = MemoryLedger()
    app = facilitator_app(OfflineFacilitator(ledger, clock), ledger)
    with listening:
        sys.stdout.write(f"facilitator at http://{arguments.host}:{listening.getsockname()[1]}\n")
        sys.stdout.flush()
        config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off")
        with contextlib.suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listening])
    return 0


if __name__ == "__main__":
    sys.exit(main())
