"""A seller that gives its facilitator little time: `python -m tests.strangers.hasty goods|vendor URL SECONDS`.

`goods` is the seller of the interop tests, `vendor` the mock vendor; both settle through the facilitator at URL
and wait SECONDS for it, where a real one waits minutes. Prints its address.
"""

from __future__ import annotations

import socket
import sys
from unittest.mock import patch

import httpx
import uvicorn
from starlette.applications import Starlette

from gpu_vendor_mock.app import create_app
from gpu_vendor_mock.settings import Settings
from tests.interop.purser_seller import app_for
from tests.x402.samples import PAYEE
from x402.client import BoundedTransport
from x402.selling import remote
from x402.selling.remote import RemoteFacilitator
from x402.selling.settlements import MemorySettlements


def _app(kind: str, facilitator: str) -> Starlette:
    if kind == "goods":
        return app_for(facilitator, PAYEE, MemorySettlements(), required=False, dies=False)
    http = httpx.AsyncClient(transport=BoundedTransport(httpx.AsyncHTTPTransport()))
    return create_app(Settings(), facilitator=RemoteFacilitator(http, facilitator))


def main() -> None:
    """Serve until terminated."""
    kind, facilitator, seconds = sys.argv[1:]
    with (
        patch.object(remote, "_SETTLE_SECONDS", float(seconds)),
        socket.create_server(("127.0.0.1", 0)) as listening,
    ):
        sys.stdout.write(f"http://127.0.0.1:{listening.getsockname()[1]}\n")
        sys.stdout.flush()
        config = uvicorn.Config(_app(kind, facilitator), log_level="error", lifespan="off")
        uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
