"""Processes are killed every second, one sleeps through its leases, runs go on: no cent is lost or paid twice."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from scripts.client.api import Client
from scripts.seed import seed as seed_vendors
from scripts.serve.servers import vendor_server
from tests.wire.fleet import TOKEN, Fleet
from tests.wire.given import drop, fresh_name, needs_server, server_uri
from tests.wire.reckoning import reckon
from tests.wire.traffic import Traffic

pytestmark = needs_server

SEED: Final = int(os.environ.get("PURSER_WIRE_SEED", "1"))
"""Decides who is asked what and who is killed; the machine decides what they are at just then."""

SLOW: Final = 200
"""Milliseconds that a vendor takes to answer: long enough that many a kill falls between payment and record."""

PROCESSES: Final = 4
"""Three are killed, one sleeps."""

NAPS: Final = 2
NAP_SECONDS: Final = 32.0
"""Longer than a lease: whoever wakes finds its runs in other hands, and does not know."""

RUNS: Final = 100
TICKERS: Final = 6
CANCELS: Final = 5
KILL_SECONDS: Final = 60.0
DRAIN_SECONDS: Final = 90.0
"""What is left after the last kill must be over by then: a lease lasts 30 s, then everything is free to go on."""

LEASE_SECONDS: Final = 35.0
"""After the last kill nobody has a lease any more that it died with."""


@pytest.fixture
def store() -> Iterator[dict[str, str]]:
    """Settings of a database of our own on the server, gone afterwards."""
    name = fresh_name()
    yield {"MONGODB_URI": server_uri(), "MONGODB_DB_NAME": name}
    drop(name)


async def sleep_and_wake(fleet: Fleet) -> None:
    """A process that stands still in the middle of its ticks, again and again."""
    for _ in range(NAPS):
        await asyncio.sleep(3)
        fleet.sleep()
        await asyncio.sleep(NAP_SECONDS)
        fleet.wake()


async def live_through(fleet: Fleet, traffic: Traffic) -> float:
    """A minute of kills under traffic, then the rest in peace; the seconds that the rest took."""
    async with asyncio.TaskGroup() as group:
        clients = [group.create_task(traffic.tick(f"ticker {number}")) for number in range(TICKERS)]
        clients.append(group.create_task(traffic.cron()))
        work = [group.create_task(traffic.start(RUNS, KILL_SECONDS / 2 / RUNS))]
        work.append(group.create_task(traffic.cancel(CANCELS, KILL_SECONDS / 2 / CANCELS)))
        work.append(group.create_task(sleep_and_wake(fleet)))
        rng, until = traffic.rng("kills"), time.monotonic() + KILL_SECONDS
        while time.monotonic() < until:
            await asyncio.sleep(1)
            fleet.kill_one(rng)
        since = time.monotonic()
        async with asyncio.timeout(DRAIN_SECONDS):
            await asyncio.gather(*work)
            await traffic.all_ended()
            if traffic.waiting:  # whatever was under way for them is over then
                await asyncio.sleep(max(0.0, since + LEASE_SECONDS - time.monotonic()))
                await traffic.all_ended()
        for client in clients:
            client.cancel()
    return time.monotonic() - since


async def test_a_minute_of_kills_loses_nothing(
    tmp_path: Path, store: dict[str, str], record_property: Callable[[str, object], None]
) -> None:
    """Every run ends, books balance, vendors got what we booked and no more, what was answered is still there."""
    began = time.monotonic()
    record_property("seed", SEED)
    training = {"EPOCH_SECONDS": "0.2", "FAIL_RATE": "0.2", "FAULT_SEED": str(SEED), "FAULTS": f"slow={SLOW}"}
    with vendor_server(tmp_path, training) as vendors, Fleet(PROCESSES, tmp_path, store) as fleet:
        with Client(fleet.ready()[0], TOKEN) as client:
            seed_vendors(client, vendors.ready())
        traffic = Traffic(fleet, SEED)
        try:
            rest = await live_through(fleet, traffic)
        finally:
            await traffic.close()
            for name, value in {"kills": fleet.kills, **traffic.count}.items():
                record_property(name, value)
        found = await asyncio.to_thread(reckon, traffic, fleet.ready()[0], vendors.url)

    for status, number in sorted(found.ended.items()):
        record_property(f"runs {status}", number)
    record_property("settlements", found.settlements)
    record_property("payments sent again", found.sent_again)
    record_property("observations", found.observations)
    record_property("answers held against the trail", found.answers)
    record_property("seconds after the last kill", round(rest))
    record_property("seconds", round(time.monotonic() - began))
    assert sum(found.ended.values()) == RUNS
    assert fleet.kills >= KILL_SECONDS * 0.8
    assert found.settlements >= RUNS / 2
