"""A stand-in for the resolver and the routes of this machine: names lead where a test says, public addresses to
servers of the test. The sockets are real; no packet leaves the machine.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

import pytest

from net import names

__all__ = ["Internet"]


class Internet:
    """`names` holds the answers for each name, the last of which stays; `places` the port behind a public address.

    `looked_up` and `connected` are what was asked of it, in order.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch) -> None:
        self.names: dict[str, list[list[str]]] = {}
        self.places: dict[str, int] = {}
        self.looked_up: list[str] = []
        self.connected: list[tuple[str, int]] = []
        self.silent: set[str] = set()
        """Names that get no answer, and addresses that do not accept."""
        self._connect = loop.create_connection
        monkeypatch.setattr(names, "look_up", self._look_up)
        monkeypatch.setattr(loop, "create_connection", self._create_connection)

    async def _look_up(self, name: str, port: int) -> list[tuple[Any, ...]]:
        self.looked_up.append(name)
        if name in self.silent:
            await asyncio.Event().wait()
        answers = self.names.get(name)
        if answers is None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        found = answers.pop(0) if len(answers) > 1 else answers[0]
        return [
            (socket.AF_INET6 if ":" in each else socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port))
            for each in found
        ]

    async def _create_connection(self, factory: Callable[[], Any], host: Any, port: Any, **options: Any) -> Any:
        address = ip_address(host)  # a name must not come as far as this
        self.connected.append((host, port))
        if host in self.silent:
            await asyncio.Event().wait()
        if host in self.places:
            return await self._connect(factory, "127.0.0.1", self.places[host], **options)
        if not address.is_loopback:
            raise OSError(f"no route to {host}")
        return await self._connect(factory, host, port, **options)
