"""The database goes away for five seconds, hung or killed: callers are told to come back, and nothing is lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from scripts.client.api import Client
from scripts.seed import seed as seed_vendors
from scripts.serve.servers import vendor_server
from tests.wire.fleet import CRON_SECRET, TOKEN, Fleet
from tests.wire.given import HOW_TO_GET_ONE, fresh_name, needs_server
from tests.wire.reckoning import reckon
from tests.wire.servers import DatabaseServer, find_server
from tests.wire.traffic import Traffic

pytestmark = needs_server

SEED: Final = 1
RUNS: Final = 20
AWAY_SECONDS: Final = 5.0
ANSWER_SECONDS: Final = 6.0
"""A request is refused after this long at the latest: `MongoDatabase` gives an operation 4 s."""

BACK_SECONDS: Final = 5.0
"""Health is well again this soon after the database is back."""

DRAIN_SECONDS: Final = 90.0

Json = dict[str, Any]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[DatabaseServer]:
    """A server that is ours to stop, whichever one the other tests were given."""
    command = find_server()
    if command is None:
        pytest.skip(f"skipped: no MongoDB server: {HOW_TO_GET_ONE}")
    directory = tmp_path / "database"
    directory.mkdir()
    with DatabaseServer(command, directory) as server:
        yield server


async def hung(database: DatabaseServer) -> None:
    """Connections stay open, nothing answers; what was sent is done later, when nobody waits for it any more."""
    database.freeze()
    await asyncio.sleep(AWAY_SECONDS)
    database.thaw()


async def killed(database: DatabaseServer) -> None:
    """SIGKILL, and a new process on the same data."""
    database.kill()
    await asyncio.sleep(AWAY_SECONDS)
    await asyncio.to_thread(database.start)


async def refusals(api: str, run_id: str) -> list[tuple[httpx.Response, float]]:
    """What every kind of request is answered while the database is away, and after how many seconds."""
    order = {"userId": "u1", "goal": "run 0", "budgetTotal": 5}
    run: Json = {"runId": run_id}
    asked: list[tuple[str, str, Json | None, dict[str, str]]] = [
        ("GET", "/api/health", None, {}),
        ("GET", "/metrics", None, {}),
        ("POST", "/api/agent-start", order, {"idempotency-key": "start-0"}),
        ("POST", "/api/agent-tick", run, {}),
        ("POST", "/api/agent-cancel", run, {}),
        ("GET", f"/api/agent-status?runId={run_id}", None, {}),
        ("GET", "/api/runs", None, {}),
        ("GET", "/api/vendors", None, {}),
        ("GET", "/api/cron-tick", None, {"authorization": f"Bearer {CRON_SECRET}"}),
    ]
    async with httpx.AsyncClient(timeout=30, trust_env=False) as http:

        async def ask(
            method: str, path: str, body: Json | None, headers: dict[str, str]
        ) -> tuple[httpx.Response, float]:
            began = time.monotonic()
            sent = {"authorization": f"Bearer {TOKEN}", **headers}
            return await http.request(method, api + path, json=body, headers=sent), time.monotonic() - began

        return await asyncio.gather(*(ask(*each) for each in asked))


async def well_again(api: str) -> float:
    """Wait for health to say so; the seconds that it took."""
    began = time.monotonic()
    async with httpx.AsyncClient(timeout=30, trust_env=False) as http:
        while (await http.get(f"{api}/api/health")).status_code != httpx.codes.OK:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    return time.monotonic() - began


@pytest.mark.parametrize("away", [hung, killed])
async def test_a_database_that_is_away_for_a_while_costs_time_and_nothing_else(
    away: Callable[[DatabaseServer], Any],
    database: DatabaseServer,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    """503 with Retry-After within a bounded time, health says so, work goes on afterwards, the books are right."""
    began = time.monotonic()
    store = {"MONGODB_URI": database.uri, "MONGODB_DB_NAME": fresh_name()}
    with (
        vendor_server(tmp_path, {"EPOCH_SECONDS": "0.2", "FAULTS": "slow=50"}) as vendors,
        Fleet(2, tmp_path, store) as fleet,
    ):
        api, _ = fleet.ready()
        with Client(api, TOKEN) as client:
            seed_vendors(client, vendors.ready())
        traffic = Traffic(fleet, SEED)
        try:
            async with asyncio.TaskGroup() as group:
                clients = [group.create_task(traffic.tick(f"ticker {number}")) for number in range(4)]
                starts = group.create_task(traffic.start(RUNS, 0.3))
                await asyncio.sleep(2)  # in the middle of things
                outage = group.create_task(away(database))
                await asyncio.sleep(0)
                answers = await refusals(api, traffic.answered[0].run_id)
                await outage
                back = await well_again(api)
                async with asyncio.timeout(DRAIN_SECONDS):
                    await starts
                    await traffic.all_ended()
                for each in clients:
                    each.cancel()
        finally:
            await traffic.close()
        found = await asyncio.to_thread(reckon, traffic, api, vendors.url)

    for answer, seconds in answers:
        assert answer.status_code == 503, answer.request.url
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["code"] == "store_unavailable"
        assert int(answer.headers["retry-after"]) > 0
        assert seconds < ANSWER_SECONDS, answer.request.url
    assert back < BACK_SECONDS
    assert sum(found.ended.values()) == RUNS
    for name, value in traffic.count.items():
        record_property(name, value)
    record_property("slowest 503 in seconds", round(max(seconds for _, seconds in answers), 1))
    record_property("seconds until health is well", round(back, 1))
    record_property("runs", sum(found.ended.values()))
    record_property("settlements", found.settlements)
    record_property("payments sent again", found.sent_again)
    record_property("seconds", round(time.monotonic() - began))
