"""How many commands a tick and a look at a run cost the database: what a thousand runs pay for is this."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

import httpx
import pytest

from agent.store import mongo
from agent.store.mongo import MongoDatabase
from api._app import create_app
from api._context import Context
from tests.agent.stage import Stage, a_stage
from tests.wire.given import fresh_name, needs_server, server_uri
from tests.wire.listening import Wire

pytestmark = needs_server

STARTING_TICK: Final = 14
WAITING_TICK: Final = 5
STATUS: Final = 4


@dataclass
class Heard:
    """A stage on a server, and what is asked of it."""

    stage: Stage
    wire: Wire

    def commands(self) -> list[str]:
        """What was sent since the last call."""
        sent, self.wire.sent = self.wire.sent, []
        return [f"{name} {collection}" for name, collection, _ in sent]


@pytest.fixture
async def heard(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Heard]:
    """A stage on a server that is listened to."""
    wire = Wire()
    monkeypatch.setitem(mongo._OPTIONS, "event_listeners", [wire])
    database = MongoDatabase(server_uri(), fresh_name())
    stage = await a_stage(database=database)
    await stage.services.restored.mark()  # a process looks once a minute, whatever it ticks
    yield Heard(stage, wire)
    await database.drop()
    await database.close()


async def test_a_tick_that_starts_a_job_costs_fourteen_commands_at_most(heard: Heard) -> None:
    """From the claim to the last record: quote, reservation, authorization, settlement and the trail."""
    run = await heard.stage.start()
    heard.commands()
    result = await heard.stage.tick(run)

    sent = heard.commands()

    assert result.message == "Job started"
    assert len(sent) <= STARTING_TICK, sent


async def test_a_tick_that_waits_costs_five_commands_at_most(heard: Heard) -> None:
    """Whether the vendor has news or not, and whether all of the last tick was told or not."""
    run = await heard.stage.start()
    await heard.stage.tick(run)
    for seconds in (0, 0, 4, 12, 0):
        heard.stage.clock.pass_(seconds)
        heard.commands()
        result = await heard.stage.tick(run)

        sent = heard.commands()

        assert result.run.phase == "waiting"
        assert len(sent) <= WAITING_TICK, sent


async def test_a_look_at_a_run_costs_four_commands_at_most(heard: Heard) -> None:
    """The run, its jobs, its payments and a page of its trail, the largest one too."""
    run = await heard.stage.start()
    await heard.stage.tick(run)
    services = heard.stage.services
    app = create_app(Context(services.settings, services.world, heard.stage.database))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://127.0.0.1") as http:
        for limit in (100, 500):
            heard.commands()
            answer = await http.get("/api/agent-status", params={"runId": str(run.id), "limit": limit})

            sent = heard.commands()

            assert len(answer.json()["observations"]) > 3
            assert len(sent) <= STATUS, sent
