"""Names are looked up so that a silent name server costs those who ask for its names, and nobody else."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator

import pytest

from net import names
from net.names import Names


class Resolver:
    """The machine's resolver: names that end in `.silent` get no answer until it is released."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.released = threading.Event()

    def __call__(self, host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        self.asked.append(host)
        if host.endswith(".silent"):
            self.released.wait(20)
        if host.endswith((".silent", ".none")):
            raise socket.gaierror(socket.EAI_NONAME, f"{host} is not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.215.14", port))]


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Resolver]:
    """In place of the machine's, released at the end so that no thread is left."""
    found = Resolver()
    monkeypatch.setattr(socket, "getaddrinfo", found)
    yield found
    found.released.set()


async def test_a_silent_name_server_holds_up_nobody_else(resolver: Resolver) -> None:
    """However many ask for its names: neither other vendors nor what else needs a thread of the loop's."""
    found = Names()
    crowd = [asyncio.create_task(found.find(f"v{number}.silent", 443)) for number in range(60)]
    async with asyncio.timeout(5):
        assert await found.find("honest.example", 443)
        assert await asyncio.to_thread(lambda: "a thread of the loop") == "a thread of the loop"
    resolver.released.set()
    assert all(isinstance(each, OSError) for each in await asyncio.gather(*crowd, return_exceptions=True))


async def test_a_host_is_looked_up_once_at_a_time_also_when_who_asked_has_given_up(resolver: Resolver) -> None:
    found = Names()
    for _ in range(5):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await found.find("v.silent", 443)
    assert resolver.asked == ["v.silent"]


async def test_a_failure_is_remembered_for_some_seconds(
    resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asks again and again costs no look-up each time; a name that answers is asked for anew."""
    found = Names()
    for _ in range(3):
        with pytest.raises(OSError, match="not known"):
            await found.find("v.none", 443)
        await found.find("v.example", 443)
    assert resolver.asked == ["v.none", "v.example", "v.example", "v.example"]
    monkeypatch.setattr(names, "_REMEMBERED_SECONDS", -1.0)
    found = Names()
    for _ in range(2):
        with pytest.raises(OSError, match="not known"):
            await found.find("v.none", 443)
    assert resolver.asked[4:] == ["v.none", "v.none"]


async def test_there_is_a_bound_on_all_of_them(resolver: Resolver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "_MOST_UNDER_WAY", 2)
    found = Names()
    crowd = [asyncio.create_task(found.find(f"v{number}.silent", 443)) for number in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(OSError, match="too many names"):
        await found.find("honest.example", 443)
    resolver.released.set()
    await asyncio.gather(*crowd, return_exceptions=True)
    assert await found.find("honest.example", 443)
