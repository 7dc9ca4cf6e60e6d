"""`purser serve`: the API in this process, on an address that it may be served on."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from typing import Final

import uvicorn

from agent.book.errors import ConfigurationError
from agent.process.settings import Settings
from agent.store import open_database
from net.addresses import is_loopback
from scripts.serve.bounded_protocol import BoundedProtocol, OncePerSecond, most_connections
from scripts.serve.complete import check_complete
from scripts.serve.servers import ServerFailed

__all__ = ["run_server"]

GRACE_SECONDS: Final = 30
"""How long requests under way may take when it is told to stop: a tick of the usual length ends by itself. What is
cut off others take up."""

BACKLOG: Final = 2048
"""Connections that may wait to be taken."""


def run_server(settings: Settings, host: str, port: int, on_up: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM. `on_up` is told the address once it is listened on.

    Raises:
        ConfigurationError: a setting is missing; or there is no API_TOKEN, and others could reach the address; or
            the database cannot be used, or there is none, and nothing to keep runs in memory.
        ServerFailed: the address is none of this machine's, or its port is taken.
    """
    check_complete(settings)
    family, address = _resolved(host, port)
    if settings.api_token is None and not is_loopback(str(address[0])):
        raise ConfigurationError(
            f"API_TOKEN is not set, and {host} can be reached from other machines: set it (openssl rand -hex 32 "
            "makes one), or serve on 127.0.0.1"
        )
    open_database(settings)  # whether it can be is said now, not with every request
    with _listening(family, address) as listening:
        shown = f"[{address[0]}]" if family is socket.AF_INET6 else str(address[0])
        on_up(f"http://{shown}:{listening.getsockname()[1]}")
        BoundedProtocol.most = most_connections()
        logging.getLogger("asyncio").addFilter(OncePerSecond("socket.accept() out of system resource"))
        config = uvicorn.Config(
            "api.index:app",
            http=BoundedProtocol,
            server_header=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
        uvicorn.Server(config).run(sockets=[listening])


def _resolved(host: str, port: int) -> tuple[socket.AddressFamily, tuple[str, int]]:
    """The address that a name stands for: what is checked is what is listened on."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as exc:
        raise ServerFailed(f"{host} is no address of this machine ({exc.strerror}); try 127.0.0.1") from exc
    family, _, _, _, address = found[0]
    return family, (str(address[0]), int(address[1]))


def _listening(family: socket.AddressFamily, address: tuple[str, int]) -> socket.socket:
    try:
        return socket.create_server(address, family=family, backlog=BACKLOG)
    except OSError as exc:
        raise ServerFailed(
            f"{address[0]} port {address[1]} cannot be used ({exc.strerror}): is something else there already?"
        ) from exc
