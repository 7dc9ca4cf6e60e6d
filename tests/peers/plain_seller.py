"""The mock vendors as a seller that knows no orders: `python -m tests.peers.plain_seller`.

Plain x402 middleware sells to whoever pays and gives `Idempotency-Key` no meaning. So each request gets a key of
its own here, and what is left is exactly that: a 402 for every request without a payment, a sale for every one
with a payment that was not used before. The journal stays the witness.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterable
from itertools import count

from starlette.types import ASGIApp, Receive, Scope, Send

from gpu_vendor_mock.app import create_app
from gpu_vendor_mock.server import make_server
from gpu_vendor_mock.settings import load_settings

__all__ = ["without_orders"]

Header = tuple[bytes, bytes]


def without_orders(app: ASGIApp) -> ASGIApp:
    """The app, for which no two requests have the same Idempotency-Key."""
    numbers = count(1)

    def renamed(headers: Iterable[Header]) -> list[Header]:
        key = b"request-%d" % next(numbers)
        return [(name, key if name == b"idempotency-key" else value) for name, value in headers]

    async def plain(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "headers": renamed(scope["headers"])}, receive, send)

    return plain


def main() -> None:
    """Serve on a free port of this machine; the line on stdout names the address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        sys.stdout.write(f"a plain seller at http://127.0.0.1:{listening.getsockname()[1]}\n")
        sys.stdout.flush()
        make_server(without_orders(create_app(load_settings()))).run(sockets=[listening])


if __name__ == "__main__":
    main()
