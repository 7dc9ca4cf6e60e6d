"""Runs whose ticks keep failing are seen by monitors, and by those who may look closer."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import pytest

from agent.book.models import Run
from agent.store.collections import Bson
from agent.store.due import PARKED_AFTER, Due, DueStore
from tests.agent.stage import Stage
from tests.api.client import an_api


async def park(stage: Stage, run: Run) -> None:
    """Let the run stumble until it is parked, over something that must not be shown."""
    spoiled = {"$set": {"budgetTotal": "a secret amount"}}
    assert await stage.database.collection("runs").update({"_id": run.id}, spoiled)
    for _ in range(PARKED_AFTER):
        await stage.services.due.stumbled(run.id, stage.clock.now, "unreadable")


async def test_a_parked_run_shows_in_health_metrics_and_its_own_list() -> None:
    """Health and metrics tell the operator how many there are, and no more."""
    api = await an_api()
    run, fine = await api.stage.start(), await api.stage.start()
    await park(api.stage, run)

    health = (await api.http.get("/api/health")).json()
    metrics = (await api.http.get("/metrics")).text
    listed = await api.http.get("/api/parked-runs")
    runs = (await api.http.get("/api/runs")).json()

    assert health == {"status": "ok", "store": "embedded", "clock": None, "restored": None, "parkedRuns": 1}
    assert "purser_runs_parked 1\n" in metrics
    (parked,) = listed.json()["runs"]
    assert (parked["_id"], parked["userId"], parked["status"]) == (str(run.id), "u1", "running")
    assert (parked["stumble"]["code"], parked["stumble"]["times"]) == ("unreadable", PARKED_AFTER)
    assert "secret" not in listed.text
    assert [each["_id"] for each in runs["runs"]] == [str(fine.id)]
    assert runs["unreadable"] == [str(run.id)]
    assert (await api.http.get("/api/parked-runs?userId=u2")).json() == {"runs": []}


SPOILED = {"runs": "budgetTotal", "jobs": "progress", "payments": "amount", "observations": "data"}
"""Collections, and a field of each that is no text."""


@pytest.mark.parametrize(("spoiled", "field"), SPOILED.items())
async def test_a_run_that_cannot_be_read_says_so_and_no_more(spoiled: str, field: str) -> None:
    """With a code of its own, for every request that needs it; what is stored is not shown."""
    api = await an_api()
    run = await api.stage.finish(await api.stage.start())
    where: Bson = {"_id": run.id} if spoiled == "runs" else {"runId": run.id}
    assert await api.stage.database.collection(spoiled).update(where, {"$set": {field: "a secret text"}})

    answers = [await api.http.get("/api/agent-status", params={"runId": str(run.id)})]
    if spoiled == "runs":
        body = {"runId": str(run.id)}
        answers += [await api.http.post(f"/api/agent-{name}", json=body) for name in ("tick", "cancel")]

    for answer in answers:
        assert (answer.status_code, answer.json()["code"]) == (500, "run_unreadable")
        assert str(run.id) in answer.json()["detail"]
        assert "secret" not in answer.text


async def test_a_round_says_what_it_did() -> None:
    """Ticks and failures, whether more is due: a monitor of the cron needs no more."""
    api = await an_api(
        api_token="token-of-the-operator", cron_secret="secret-of-the-cron", tick_deadline_seconds=10
    )
    run, bad = await api.stage.start(), await api.stage.start()
    await api.stage.database.collection("runs").update({"_id": bad.id}, {"$set": {"budgetTotal": "much"}})

    done = (await api.http.get("/api/cron-tick", headers={"Authorization": "Bearer secret-of-the-cron"})).json()

    assert done == {
        "ticked": [{"runId": str(run.id), "message": "Job started"}],
        "failed": [str(bad.id)],
        "ticks": 1,
        "failures": 1,
        "busy": 0,
        "cutOff": 0,
        "left": False,
    }


async def test_a_tick_may_take_longer_than_the_usual_round(monkeypatch: pytest.MonkeyPatch) -> None:
    """The round is made long enough for it: some time has passed when the first tick is begun."""
    api = await an_api(
        api_token="token-of-the-operator", cron_secret="secret-of-the-cron", tick_deadline_seconds=200
    )
    await api.stage.start()
    page = DueStore.page

    async def slow(self: DueStore, now: datetime, limit: int, without: Sequence[str] = ()) -> list[Due]:
        api.stage.clock.pass_(1)
        return await page(self, now, limit, without)

    monkeypatch.setattr(DueStore, "page", slow)
    done = (await api.http.get("/api/cron-tick", headers={"Authorization": "Bearer secret-of-the-cron"})).json()

    assert done["ticks"] == 1
