"""Who is let in, and what is refused when something is missing."""

from __future__ import annotations

import logging

import httpx
import pytest

from agent.book.errors import StoreUnavailable
from agent.process.settings import load_settings
from api._app import create_app
from api._context import Context
from tests.agent.stage import KEY
from tests.api.client import an_api


async def test_with_a_token_set_everything_but_health_needs_it() -> None:
    """401 and nothing done; the right one is let in."""
    api = await an_api(api_token="token-of-the-operator", cron_secret="secret-of-the-cron")
    paths = ("/api/runs", "/api/vendors", "/api/agent-status?runId=" + "0" * 24, "/metrics", "/api/cron-tick")

    for path in paths:
        for header in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "token-of-the-operator"}):
            answer = await api.http.get(path, headers=header)
            assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized"), path
            assert answer.headers["www-authenticate"] == "Bearer"
    assert (await api.post("/api/agent-start", {})).status_code == 401
    assert (
        await api.http.get("/api/runs", headers={"Authorization": "Bearer token-of-the-operator"})
    ).status_code == 200
    assert (await api.http.get("/api/health")).status_code == 200


async def test_the_cron_needs_its_own_secret_and_is_shut_without_one() -> None:
    """The API's token does not open it, and nothing does where no secret is set."""
    shut = await an_api()
    assert (await shut.http.get("/api/cron-tick", headers={"Authorization": "Bearer "})).status_code == 401

    api = await an_api(
        api_token="token-of-the-operator", cron_secret="secret-of-the-cron", tick_deadline_seconds=10
    )
    await api.post(
        "/api/agent-start",
        {"userId": "u1", "goal": "goal", "budgetTotal": 5},
        Authorization="Bearer token-of-the-operator",
    )
    refused = await api.http.get("/api/cron-tick", headers={"Authorization": "Bearer token-of-the-operator"})
    round_ = await api.http.get("/api/cron-tick", headers={"Authorization": "Bearer secret-of-the-cron"})

    assert refused.status_code == 401
    assert [each["message"] for each in round_.json()["ticked"]] == ["Job started"]
    assert round_.json()["failed"] == []


@pytest.mark.parametrize("path", ["/api/health", "/api/runs", "/metrics"])
async def test_a_deployed_function_with_something_missing_refuses_to_serve(
    monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """And names the variables, on every route."""
    monkeypatch.setenv("VERCEL", "1")
    monkeypatch.setenv("MONGODB_URI", "mongodb://127.0.0.1:1")
    monkeypatch.setenv("X402_PRIVATE_KEY", KEY)
    app = create_app(Context(load_settings()))

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://purser") as http:
        answer = await http.get(path)

    assert (answer.status_code, answer.json()["code"]) == (503, "not_configured")
    for name in ("GPU_VENDOR_SECRET", "API_TOKEN", "CRON_SECRET"):
        assert name in answer.json()["detail"]
    assert "X402_PRIVATE_KEY" not in answer.json()["detail"]


async def test_a_value_that_cannot_be_used_is_named_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings are read with the first request; what is wrong is said then."""
    monkeypatch.setenv("X402_PRIVATE_KEY", "hunter2")
    app = create_app()

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://purser") as http:
        answer = await http.get("/api/health")

    assert (answer.status_code, answer.json()["code"]) == (503, "not_configured")
    assert "X402_PRIVATE_KEY" in answer.text
    assert "hunter2" not in answer.text


async def test_a_database_that_is_away_is_503_with_retry_after(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is lost; whoever asked can ask again."""
    api = await an_api()

    async def away() -> None:
        raise StoreUnavailable("the database did not answer as it should")

    monkeypatch.setattr(api.stage.database, "ping", away)
    answer = await api.http.get("/api/health")

    assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")
    assert answer.headers["retry-after"] == "5"


async def test_a_fault_of_ours_shows_nothing_of_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """500 with a stable code, no stack trace."""
    api = await an_api()

    async def broken() -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(api.stage.database, "ping", broken)
    answer = await api.http.get("/api/health")

    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert "secret detail" not in answer.text
    assert "Traceback" not in answer.text


async def test_a_monitor_may_ask_with_head() -> None:
    """As to GET, without a body (RFC 9110, 9.3.2): some monitors send nothing else."""
    api = await an_api()

    got, head = await api.http.get("/api/health"), await api.http.head("/api/health")

    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == got.headers["content-length"]
    assert (await api.http.head("/api/agent-start")).status_code == 405


async def test_health_and_metrics_tell_a_monitor_what_is_there() -> None:
    """Counts come from the database, so every process tells the same."""
    api = await an_api()
    await api.started()

    health = (await api.http.get("/api/health")).json()
    assert health == {"status": "ok", "store": "embedded", "clock": None, "restored": None, "parkedRuns": 0}
    text = (await api.http.get("/metrics")).text
    assert 'purser_runs{status="running"} 1\n' in text
    assert 'purser_runs{status="failed"} 0\n' in text
    assert "purser_runs_parked 0\n" in text
    assert text.endswith("purser_runs_due 1\n")


@pytest.mark.parametrize("path", ["/api/health", "/metrics"])
async def test_strangers_learn_nothing_of_others_runs(path: str) -> None:
    """Whether it is up, and no more: neither without a token nor with a wrong one, a user's or a tired one."""
    api = await an_api(api_token="token-of-the-operator")
    operator = {"Authorization": "Bearer token-of-the-operator"}
    keys = {
        scope: (await api.post("/api/keys", {"userId": "u2", "name": "n", "scopes": [scope]}, **operator)).json()
        for scope in ("run", "admin")
    }
    spent = await api.post("/api/keys", {"userId": "u2", "name": "n", "requestsPerMinute": 1}, **operator)
    bearers = [None, "wrong", keys["run"]["token"], keys["run"]["token"][:-43] + "A" * 43, spent.json()["token"]]

    async def seen(bearer: str | None) -> httpx.Response:
        return await api.http.get(path, headers={} if bearer is None else {"Authorization": f"Bearer {bearer}"})

    await seen(bearers[-1])
    before = [await seen(bearer) for bearer in bearers]
    await api.post("/api/agent-start", {"userId": "u1", "goal": "g", "budgetTotal": 5}, **operator)
    api.stage.services.world.clocks.vendor_says("a.example", 7200, api.stage.clock.now)
    api.stage.services.world.clocks.vendor_says("b.example", 7200, api.stage.clock.now)
    after = [await seen(bearer) for bearer in bearers]

    told = {"/api/health": "clocks of 2 of 2 vendors", "/metrics": 'purser_runs{status="running"} 1'}
    refused = 0 if path == "/api/health" else len(bearers)
    assert sum(each.status_code in (401, 403, 429) for each in after) == refused
    for each, was in zip(after, before, strict=True):
        text = each.text.replace(each.headers["x-request-id"], "ID")
        assert text == was.text.replace(was.headers["x-request-id"], "ID")
        if each.status_code == 200:
            assert each.json() == {"status": "ok"}
    for allowed in ("token-of-the-operator", keys["admin"]["token"]):
        said = (await seen(allowed)).text
        assert told[path] in said


async def test_health_in_open_mode_tells_this_machine_alone() -> None:
    """A page of another site, or a caller behind a proxy, learns that it is up."""
    api = await an_api()

    for headers in (
        {"Origin": "https://evil.example"},
        {"CF-Connecting-IP": "203.0.113.7"},
        {"Host": "evil.example"},
    ):
        answer = await api.http.get("/api/health", headers=headers)
        assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    assert (await api.http.get("/api/health")).json()["store"] == "embedded"


async def test_by_default_a_context_wires_itself_for_the_loop_it_is_used_in(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As a process started with nothing set does, and says what it makes do with."""
    context = Context()

    with caplog.at_level(logging.WARNING):
        services = context.services()

    assert "X402_PRIVATE_KEY is not set: paying with a throw-away key that holds no money" in caplog.messages
    assert services is context.services()
    assert context.database.embedded
    await context.close()
    assert services.http.is_closed
