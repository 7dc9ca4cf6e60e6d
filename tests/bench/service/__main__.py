"""`python -m tests.bench.service [--quick]`: what ticks, looks and starts cost. MONGODB_TEST_URI names a server.

It fails where something fails, never on a figure.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent.store.mongo import MongoDatabase
from scripts.client.api import Client
from scripts.seed import seed
from scripts.serve.servers import api_server, vendor_server
from tests.bench.service import age, cold, load, many
from tests.bench.service.table import Figure, lines
from tests.wire.given import HOW_TO_GET_ONE, fresh_name
from tests.wire.servers import served

TOKEN: Final = "token-of-the-benchmark"


@dataclass(frozen=True, slots=True)
class Sizes:
    """How often, how many, how long (seconds)."""

    rounds: int
    observations: int
    turns: int
    runs: int
    many_seconds: float
    clients: int
    load_seconds: float


FULL: Final = Sizes(11, 100_000, 60, 1_000, 15, 64, 60)
QUICK: Final = Sizes(1, 1_000, 5, 20, 2, 8, 2)


def main() -> int:
    """Run it and print."""
    parser = argparse.ArgumentParser(prog="tests.bench.service", description="What the service costs.")
    parser.add_argument("--quick", action="store_true", help="few turns: whether it works, not how fast it is")
    quick = parser.parse_args().quick
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as directory, served(_warm) as server:
        if server is None:
            sys.stderr.write(f"no MongoDB server: {HOW_TO_GET_ONE}\n")
            return 1
        if quick:
            sys.stdout.write("quick: these figures say nothing\n")
        figures = measure(QUICK if quick else FULL, server.uri, Path(directory))
    sys.stdout.write("\n".join(lines(figures)) + "\n")
    cores, busy = os.cpu_count(), os.getloadavg()[0]
    seconds = time.monotonic() - began
    sys.stdout.write(f"\n{seconds:.0f} s on {cores} cores, load {busy:.1f} at the end, {server.name}\n")
    return 0


def _warm(words: list[str]) -> list[str]:
    """With the compiler that takes longer and makes faster code: it serves for minutes here."""
    return [word for word in words if not word.startswith("-XX:TieredStopAtLevel")]


def measure(sizes: Sizes, uri: str, directory: Path) -> list[Figure]:
    """All rows, one after the other: nothing else is under way while one is measured."""
    figures = cold.imports(sizes.rounds)
    figures += _on(uri, lambda database: age.measure(database, sizes.observations, sizes.turns))
    figures += _on(uri, lambda database: many.measure(database, sizes.runs, sizes.many_seconds))
    name = fresh_name()
    with ExitStack() as held:
        held.callback(lambda: asyncio.run(_drop(uri, name)))
        vendors = held.enter_context(vendor_server(directory, {"EPOCH_SECONDS": "5"}))
        store = {
            "MONGODB_URI": uri,
            "MONGODB_DB_NAME": name,
            "API_TOKEN": TOKEN,
            "CRON_SECRET": "secret-of-the-cron",
        }
        api = held.enter_context(api_server(directory, store))
        vendors.ready()
        api.ready()
        with Client(api.url, TOKEN) as client:
            seed(client, vendors.url)
            run_id = client.start({"userId": "u1", "goal": "Fine-tune tiny-llm", "budgetTotal": 5}).value.id
            client.tick(run_id)
        figures.append(cold.command(sizes.rounds, api.url, TOKEN, run_id))
        figures += asyncio.run(load.measure(api.url, TOKEN, sizes.clients, sizes.load_seconds))
    return figures


def _on(uri: str, measured: Callable[[MongoDatabase], Awaitable[Sequence[Figure]]]) -> list[Figure]:
    """Measure on a database of its own, in a loop of its own."""

    async def run() -> list[Figure]:
        database = MongoDatabase(uri, fresh_name())
        try:
            return [*await measured(database)]
        finally:
            await database.drop()
            await database.close()

    return asyncio.run(run())


async def _drop(uri: str, name: str) -> None:
    database = MongoDatabase(uri, name)
    await database.drop()
    await database.close()


if __name__ == "__main__":
    sys.exit(main())
