"""Serving the mock vendor: a listening socket, one line that says where, and uvicorn."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import socket
import sys

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from gpu_vendor_mock.app import create_app
from gpu_vendor_mock.dropping import with_abort
from gpu_vendor_mock.errors import BadSetting
from gpu_vendor_mock.settings import LOCAL_SECRET, Settings
from gpu_vendor_mock.settling import settling
from net.addresses import is_loopback

__all__ = ["DroppingProtocol", "listen", "make_server", "port", "serve"]


class DroppingProtocol(H11Protocol):
    """HTTP/1.1 whose requests can close their connection without an answer. For uvicorn's `http=` option."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Give the app a way to abort this connection."""
        super().connection_made(transport)
        self.app = with_abort(self.app, transport.abort)


def serve(settings: Settings, host: str, port: int) -> None:
    """Serve until a signal ends it. Port 0 takes a free one; the line printed to stdout names the address.

    Raises:
        BadSetting: the address cannot be listened on, or is open to others while the secret is the well-known one.
    """
    if settings.gpu_vendor_secret.get_secret_value() == LOCAL_SECRET and not is_loopback(host):
        raise BadSetting(f"{host} can be reached by others: set GPU_VENDOR_SECRET to a secret of your own first")
    try:
        listening = listen(host, port)
    except OSError as exc:
        raise BadSetting(f"cannot listen on {host}:{port}: {exc}") from exc
    with listening:
        vendors = ", ".join(persona.vendor_id for persona in settings.mock_vendors)
        sys.stdout.write(f"mock vendors at http://{host}:{listening.getsockname()[1]} ({vendors})\n")
        sys.stdout.flush()
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(_serve_on(listening, settings))


def listen(host: str, port: int) -> socket.socket:
    """A listening socket whose connections send at once. Port 0 takes a free one.

    uvicorn writes head and body apart, and asyncio leaves sockets made by `create_server` as they are: without
    TCP_NODELAY every answer on a kept connection waits for the client's delayed acknowledgement, 40 ms.

    Raises:
        OSError: the address cannot be listened on.
    """
    listening = socket.create_server((host, port))
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


async def _serve_on(listening: socket.socket, settings: Settings) -> None:
    async with settling(settings) as facilitator:
        await make_server(create_app(settings, facilitator=facilitator)).serve(sockets=[listening])


def make_server(app: ASGIApp) -> uvicorn.Server:
    """A server for `app` under which the faults that drop connections really drop them. Quiet but for warnings."""
    config = uvicorn.Config(app, http=DroppingProtocol, log_level="warning", access_log=False, lifespan="off")
    return uvicorn.Server(config)


def port(text: str) -> int:
    """A port as an argument of the command line; for argparse."""
    number = int(text)
    if not 0 <= number <= 65_535:
        raise argparse.ArgumentTypeError("a port is a number from 0 to 65535")
    return number
