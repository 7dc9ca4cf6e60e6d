"""A vendor whose name leads elsewhere from one call to the next: into this network, and perhaps back."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from tests.hostile.arena import QUOTED, Arena
from tests.hostile.liar import Canary, Liar
from tests.hostile.opening import an_arena
from tests.net.internet import Internet

PAID = QUOTED["gpu_vendor_1"]
HERE, INSIDE = ["127.0.0.1"], ["10.0.0.1"]


async def _under_a_name(arena: Arena, name: str, port: int) -> None:
    """The first vendor is registered under a name of this machine, which may be called and paid over http."""
    endpoint = f"http://{name}:{port}"
    arena.known.add(endpoint)
    await arena.services.vendors.change("gpu_vendor_1", lambda vendor: replace(vendor, endpoint=endpoint))


@pytest.mark.parametrize("calls", [0, 1, 2])
async def test_a_name_that_turns_inside_gets_nothing_more(monkeypatch: pytest.MonkeyPatch, calls: int) -> None:
    """Before the quote, the order and the payment: nobody is paid who was not checked, and the run goes on."""
    internet = Internet(asyncio.get_running_loop(), monkeypatch)
    internet.names["localhost"] = [HERE] * calls + [INSIDE]
    async with an_arena(pace=400) as arena, Liar(arena.honest, arena.canary.url, {}) as vendor:
        await _under_a_name(arena, "localhost", vendor.port)
        ended = await arena.finish(await arena.start())
        told = await arena.told(ended)
        *first, second = await arena.jobs(ended)
    assert (ended.status, second.vendor_id) == ("completed", "gpu_vendor_2")
    assert "leads to 10.0.0.1, which is another machine" in told
    assert (vendor.seen.payments, arena.moved("gpu_vendor_1")) == (set(), 0)
    assert {host for host, _ in internet.connected} == {"127.0.0.1"}
    # once something is signed, only its expiry says that it cannot be cashed any more
    assert [job.actual_cost for job in first] == [[], [0], [PAID]][calls]


async def test_a_name_that_comes_back_gets_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The payment that was not delivered is delivered once the name leads out again; no second one is signed."""
    internet = Internet(asyncio.get_running_loop(), monkeypatch)
    internet.names["localhost"] = [HERE, HERE, INSIDE, HERE]
    async with an_arena() as arena, Liar(arena.honest, arena.canary.url, {}) as vendor:
        await _under_a_name(arena, "localhost", vendor.port)
        ended = await arena.finish(await arena.start())
        assert [job.vendor_id for job in await arena.jobs(ended)] == ["gpu_vendor_1"]
        assert (ended.status, ended.budget_spent, arena.moved()) == ("completed", PAID, PAID)
        assert len(vendor.seen.payments) == 1


async def test_metadata_is_never_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that leads to the address where clouds keep keys: the run goes elsewhere, nothing goes there."""
    internet = Internet(asyncio.get_running_loop(), monkeypatch)
    internet.names["gpu.example"] = [["169.254.169.254"]]
    async with an_arena() as arena, Canary() as metadata:
        internet.places["169.254.169.254"] = metadata.port
        await arena.services.vendors.change(
            "gpu_vendor_1", lambda vendor: replace(vendor, endpoint="https://gpu.example")
        )
        arena.known.add("https://gpu.example")
        ended = await arena.finish(await arena.start())
        assert [job.vendor_id for job in await arena.jobs(ended)] == ["gpu_vendor_2"]
        assert (ended.status, ended.budget_spent) == ("completed", QUOTED["gpu_vendor_2"])
        assert "link-local, with clouds' metadata at 169.254.169.254" in await arena.told(ended)
        assert metadata.heard == 0
