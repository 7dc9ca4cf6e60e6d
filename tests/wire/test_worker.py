"""`purser worker` as a process beside a server: it ticks by itself, and SIGTERM in the middle of a purchase costs
nothing but time."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import httpx
import pytest

from agent.book.models import Constraints, Run
from agent.intake.runs import Order, start
from agent.process.world import real_world
from agent.store.mongo import MongoDatabase
from agent.store.runs import RunStore
from agent.store.vendors import VendorStore
from gpu_vendor_mock.catalog import DEFAULT_CATALOG
from gpu_vendor_mock.settings import LOCAL_SECRET
from scripts.serve.servers import ServerProcess, clean, vendor_server
from tests.agent.stage import registered
from tests.wire.given import fresh_name, needs_server, server_uri

pytestmark = needs_server

SECONDS: Final = 90.0
"""Longest wait for anything: a lease that a worker left lasts 30 s."""

SLOW: Final = "2000"
"""Milliseconds that the vendors take for each answer, so that a purchase has a middle."""


@pytest.fixture
async def database() -> AsyncIterator[tuple[MongoDatabase, dict[str, str]]]:
    """An empty database, and the settings that name it."""
    name = fresh_name()
    database = MongoDatabase(server_uri(), name)
    yield database, {"MONGODB_URI": server_uri(), "MONGODB_DB_NAME": name}
    await database.drop()
    await database.close()


@contextmanager
def working(directory: Path, store: dict[str, str], *options: str) -> Iterator[subprocess.Popen[str]]:
    """A worker process; killed at the end if it is still there."""
    settings = {
        "X402_PRIVATE_KEY": "42" * 32,
        "API_TOKEN": "of-no-use-to-a-worker",
        "LOOPBACK_VENDORS": "allow",
        "TICK_DEADLINE_SECONDS": "10",
        "POLL_SECONDS": "0.2",
        **store,
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "scripts.cli", "worker", *options],
        cwd=directory,
        env=clean(settings),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


async def a_run(database: MongoDatabase, vendors: ServerProcess) -> Run:
    """A new run, with two vendors to rent from."""
    registry = VendorStore(database)
    for persona in DEFAULT_CATALOG:
        await registry.add(replace(registered(persona, pinned=True), endpoint=vendors.ready()))
    order = Order("u1", "Fine-tune tiny-llm", 5_000_000, Constraints())
    return await start(RunStore(database), real_world(), order, None)


async def until(database: MongoDatabase, run: Run, holds: Callable[[Run], bool]) -> Run:
    """The run, once that holds."""
    async with asyncio.timeout(SECONDS):
        while not holds(found := await RunStore(database).get(run.id)):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    return found


def stopped(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit code and output of a process that is about to end."""
    output, _ = process.communicate(timeout=SECONDS)
    return process.returncode, output


def signed(run: Run) -> bool:
    return any(each.authorization is not None for each in run.reservations.values())


def journal(vendors: ServerProcess) -> dict[str, list[dict[str, object]]]:
    """What really happened at the vendors."""
    headers = {"authorization": f"Bearer {LOCAL_SECRET}"}
    answer = httpx.get(f"{vendors.url}/journal", headers=headers, timeout=30, trust_env=False)
    found: dict[str, list[dict[str, object]]] = answer.json()
    return found


async def test_a_purchase_that_a_worker_was_stopped_in_is_neither_lost_nor_paid_twice(
    database: tuple[MongoDatabase, dict[str, str]], tmp_path: Path
) -> None:
    """With next to no grace it is cut off once the payment is signed; another worker goes on after the lease."""
    store, settings = database
    with vendor_server(tmp_path, {"EPOCH_SECONDS": "0.2", "FAULTS": f"slow={SLOW}"}) as vendors:
        run = await a_run(store, vendors)
        with working(tmp_path, settings, "--grace", "0.1") as first:
            middle = await until(store, run, signed)
            first.send_signal(signal.SIGTERM)
            code, output = await asyncio.to_thread(stopped, first)
        left = await RunStore(store).get(run.id)
        with working(tmp_path, settings) as second:
            ended = await until(store, run, lambda run: run.status != "running")
            second.send_signal(signal.SIGTERM)
            last = await asyncio.to_thread(stopped, second)
        happened = journal(vendors)

    assert (code, "1 were cut off" in output) == (0, True)
    assert left.lease is not None
    assert left.next_tick_at == left.lease.until
    assert left.reservations == middle.reservations
    assert (ended.status, ended.budget_spent, ended.reservations) == ("completed", 1_400_000, {})
    assert last[0] == 0
    assert [each["amount"] for each in happened["settlements"]] == [1_400_000]
    assert len({str(each["nonce"]) for each in happened["settlements"]}) == 1
    assert len(happened["jobs"]) == 1


async def test_a_worker_that_has_the_time_finishes_its_tick(
    database: tuple[MongoDatabase, dict[str, str]], tmp_path: Path
) -> None:
    """Then nobody has to wait for its lease."""
    store, settings = database
    with vendor_server(tmp_path, {"EPOCH_SECONDS": "0.2", "FAULTS": f"slow={SLOW}"}) as vendors:
        run = await a_run(store, vendors)
        with working(tmp_path, settings, "--grace", "30") as worker:
            await until(store, run, signed)
            worker.send_signal(signal.SIGINT)
            code, output = await asyncio.to_thread(stopped, worker)
        left = await RunStore(store).get(run.id)

    assert (code, "0 were cut off" in output) == (0, True)
    assert (left.lease, left.phase, left.budget_spent) == (None, "waiting", 1_400_000)


async def test_whoever_insists_is_obeyed_at_once(
    database: tuple[MongoDatabase, dict[str, str]], tmp_path: Path
) -> None:
    """The second signal does not wait for the grace."""
    store, settings = database
    with vendor_server(tmp_path, {"FAULTS": f"slow={SLOW}"}) as vendors:
        run = await a_run(store, vendors)
        with working(tmp_path, settings, "--grace", "60") as worker:
            await until(store, run, lambda run: run.lease is not None)
            worker.send_signal(signal.SIGTERM)
            assert worker.stdout is not None
            while "stopping" not in await asyncio.to_thread(worker.stdout.readline):
                pass
            began = time.monotonic()
            worker.send_signal(signal.SIGTERM)
            code, _ = await asyncio.to_thread(stopped, worker)

    assert code == -signal.SIGTERM
    assert time.monotonic() - began < 5


async def test_two_workers_share_what_is_due(
    database: tuple[MongoDatabase, dict[str, str]], tmp_path: Path
) -> None:
    """All runs end, and each job is paid once."""
    store, settings = database
    with vendor_server(tmp_path, {"EPOCH_SECONDS": "0.1"}) as vendors:
        runs = [await a_run(store, vendors)]
        world = real_world()
        for number in range(19):
            order = Order(f"u{number % 3}", f"run {number}", 5_000_000, Constraints())
            runs.append(await start(RunStore(store), world, order, None))
        with working(tmp_path, settings) as first, working(tmp_path, settings) as second:
            ended = [await until(store, run, lambda run: run.status != "running") for run in runs]
            for worker in (first, second):
                worker.send_signal(signal.SIGTERM)
            outputs = [await asyncio.to_thread(stopped, worker) for worker in (first, second)]
        happened = journal(vendors)

    assert {run.status for run in ended} == {"completed"}
    assert [code for code, _ in outputs] == [0, 0]
    assert len({str(each["nonce"]) for each in happened["settlements"]}) == len(happened["settlements"]) == 20
    assert len(happened["jobs"]) == 20
