"""An API on a restored backup serves, says so in its health, and ticks without buying."""

from __future__ import annotations

import httpx

from agent.engine.restored import answer_for
from api._app import create_app
from tests.agent.backup import dump, moved_to, restore
from tests.agent.stage import a_stage
from tests.api.client import Api, StageContext


async def on_a_backup() -> Api:
    """The API on a database with a run and two vendors, in another place than where it was written."""
    stage = await a_stage()
    await stage.start()
    await stage.services.restored.mark()
    stage = moved_to(stage, await restore(await dump(stage.database)))
    app = create_app(StageContext(stage, stage.services.settings))
    http = httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://127.0.0.1")
    return Api(http, stage, app)


async def test_runs_are_read_started_ticked_and_cancelled_on_a_backup_and_nothing_is_bought() -> None:
    """Health stays 200: whoever must answer for the backup needs a server that shows what is in it."""
    api = await on_a_backup()
    health = await api.http.get("/api/health")
    (listed,) = (await api.http.get("/api/runs")).json()["runs"]
    ids = [str((await api.started())["_id"]), str(listed["_id"])]
    ticked = [await api.post("/api/agent-tick", {"runId": each}) for each in ids]
    cancelled = (await api.post("/api/agent-cancel", {"runId": ids[0]})).json()

    assert (health.status_code, "purser init --restored" in health.json()["restored"]) == (200, True)
    assert [each.status_code for each in ticked] == [200, 200]
    assert all("purser init --restored" in each.json()["message"] for each in ticked)
    assert cancelled["run"]["status"] == "cancelled"
    assert api.stage.record.payments == []


async def test_health_says_nothing_of_it_once_it_was_answered_for() -> None:
    api = await on_a_backup()
    await answer_for(api.stage.database, api.stage.services.world, 0, api.stage.services.wallet.address)

    assert (await api.http.get("/api/health")).json()["restored"] is None
