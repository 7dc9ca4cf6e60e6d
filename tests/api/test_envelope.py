"""What every request gets and every answer bears, whatever the route."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path

import httpx
import pytest

from api._app import create_app
from api._context import Context
from api._middleware import MAX_HEADERS, MAX_URL
from scripts.serve.servers import api_server
from tests.api.client import Api, an_api

SAFE = {
    "cache-control": "no-store",
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


async def answers(api: Api, monkeypatch: pytest.MonkeyPatch) -> dict[str, httpx.Response]:
    """One of each kind."""

    async def broken() -> None:
        raise ZeroDivisionError("secret detail")

    bearer = {"Authorization": "Bearer token-of-the-operator"}
    found = {
        "200": await api.http.get("/api/runs", headers=bearer),
        "201": await api.post("/api/agent-start", {"userId": "u1", "goal": "g", "budgetTotal": 5}, **bearer),
        "401": await api.http.get("/api/runs"),
        "200 of /docs": await api.http.get("/docs"),
        "404": await api.http.get("/api/nowhere"),
        "404 with a slash": await api.http.get("/api/runs/"),
        "405": await api.http.put("/api/runs"),
        "405 of HEAD": await api.http.head("/api/agent-start"),
        "405 of OPTIONS": await api.http.options("/api/agent-start"),
        "405 of nobody's method": await api.http.request("BREW", "/api/runs"),
        "413": await api.post("/api/agent-start", {"goal": "x" * 70_000}, **bearer),
        "414": await api.http.get("/api/runs?cursor=" + "x" * MAX_URL, headers=bearer),
        "415": await api.http.post("/api/agent-start", content="{}", headers=bearer),
        "422": await api.post("/api/agent-start", {}, **bearer),
        "431": await api.http.get("/api/runs", headers={"X-Much": "x" * MAX_HEADERS}),
        "openapi": await api.http.get("/openapi.json"),
        "metrics": await api.http.get("/metrics", headers=bearer),
    }
    monkeypatch.setattr(api.stage.database, "ping", broken)
    found["500"] = await api.http.get("/api/health")
    return found


async def test_every_answer_bears_the_headers_and_an_id(monkeypatch: pytest.MonkeyPatch) -> None:
    """Errors, unknown routes, odd methods and faults of ours too; every error is a problem that names the id."""
    for kind, answer in (await answers(await an_api(api_token="token-of-the-operator"), monkeypatch)).items():
        assert kind.partition(" ")[0] in (str(answer.status_code), "openapi", "metrics")
        for name, value in SAFE.items():
            assert answer.headers[name] == value, (kind, name)
        assert answer.headers["permissions-policy"], kind
        assert re.fullmatch(r"[A-Za-z0-9._-]{1,64}", answer.headers["x-request-id"]), kind
        if answer.is_error:
            assert answer.headers["content-type"] == "application/problem+json", kind
            problem = json.loads(answer.text or "{}")  # none with HEAD
            assert problem.get("requestId", "none") in (answer.headers["x-request-id"], "none"), kind
            assert problem.get("status") == (None if kind == "405 of HEAD" else answer.status_code), kind
        assert not [name for name in answer.headers if name.startswith("access-control-")], kind
        assert "secret detail" not in answer.text


async def test_each_request_has_an_id_of_its_own() -> None:
    """Unless it brings one."""
    api = await an_api()
    ids = {(await api.http.get("/api/runs")).headers["x-request-id"] for _ in range(5)}

    assert len(ids) == 5
    given = await api.http.get("/api/runs", headers={"X-Request-Id": "trace-66a1.B_7"})
    assert given.headers["x-request-id"] == "trace-66a1.B_7"


async def test_a_parameter_may_hold_anything() -> None:
    """Signs of any script, escapes that are none, bytes that are no text."""
    api = await an_api()

    for value in ("%C2%A3%02%C3%BA", "%", "%zz", "%ff%fe", "\u00fc", ";", "a=b"):
        answer = await api.http.get(f"/api/runs?userId={value}")
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request"), value


@pytest.mark.parametrize("bad", ["", "x" * 65, "white space here", 'quote"quote', "line%0abreak", "<script>1"])
async def test_an_id_that_is_not_well_formed_is_not_taken(bad: str) -> None:
    """It would go into logs and answers."""
    answer = await (await an_api()).http.get("/api/runs", headers={"X-Request-Id": bad})

    assert re.fullmatch(r"[A-Za-z0-9._-]{1,64}", answer.headers["x-request-id"])
    assert answer.headers["x-request-id"] != bad


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("userId=u1&userId=u2", "query.userId: must be given once"),
        ("limit=5&status=running&limit=5", "query.limit: must be given once"),
        ("userId&userId=", "query.userId: must be given once"),
        ("%C3%BC=1&%c3%bc=2", "query.\u00fc: must be given once"),
        ("&".join(f"p{number}=" for number in range(101)), "a query may have 100 parameters"),
    ],
)
async def test_a_parameter_is_given_once(query: str, said: str) -> None:
    """Of two, one would be ignored: whose runs are these?"""
    answer = await (await an_api()).http.get(f"/api/runs?{query}")

    assert (answer.status_code, answer.json()["code"], answer.json()["detail"]) == (422, "invalid_request", said)


@pytest.mark.parametrize(
    "path", ["/api/agent-start", "/api/runs", "/api/vendors", "/openapi.json", "/api/nowhere"]
)
async def test_a_preflight_gets_nothing(path: str) -> None:
    """CORS is off: a foreign page may neither send JSON here nor read an answer."""
    headers = {
        "Origin": "https://foreign.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type, authorization",
    }

    answer = await (await an_api()).http.options(path, headers=headers)

    assert answer.status_code in (404, 405)
    assert not [name for name in answer.headers if name.startswith("access-control-")]


@pytest.mark.parametrize("platform", ["VERCEL", "VERCEL_IPC_PATH", "AWS_LAMBDA_FUNCTION_NAME"])
async def test_browsers_are_held_to_https_where_it_is_used(monkeypatch: pytest.MonkeyPatch, platform: str) -> None:
    """On a platform, and wherever the request came over https; not on a laptop."""
    api = await an_api()
    over_https = await api.http.get("https://purser/api/runs")
    monkeypatch.setenv(platform, "1")
    transport = httpx.ASGITransport(app=create_app(Context()))
    async with httpx.AsyncClient(transport=transport, base_url="http://purser") as http:
        deployed = await http.get("/api/nowhere")

    assert "strict-transport-security" not in (await api.http.get("/api/runs")).headers
    assert over_https.headers["strict-transport-security"] == "max-age=63072000"
    assert deployed.headers["strict-transport-security"] == "max-age=63072000"


async def test_each_request_is_one_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """Method, path without its query, status and time."""
    api = await an_api()
    with caplog.at_level(logging.INFO, "api"):
        await api.http.get("/api/runs?userId=u1")
        await api.http.get("/api/nowhere")

    lines = [vars(record) for record in caplog.records if record.message == "request"]
    assert [(line["method"], line["path"], line["status"]) for line in lines] == [
        ("GET", "/api/runs", 200),
        ("GET", "/api/nowhere", 404),
    ]
    assert all(line["ms"] >= 0 for line in lines)


async def test_what_is_logged_of_a_request_is_short(caplog: pytest.LogCaptureFixture) -> None:
    """Anybody may send a method of 60 KB, and each line is searched for secrets: that must not take seconds."""
    api = await an_api()
    with caplog.at_level(logging.INFO, "api"):
        await api.http.request("ew" * 30_000, "/api/" + "ew" * 3_000)

    (line,) = [vars(record) for record in caplog.records if record.message == "request"]
    assert len(line["method"] + line["path"]) < 300


def test_over_a_socket_too(tmp_path: Path) -> None:
    """As a server sends it: HEAD has no body, what is too large is said to be, the connection outlives it."""
    with api_server(tmp_path, {}) as server, httpx.Client(base_url=server.ready(), trust_env=False) as http:
        head = http.head("/api/runs")
        long = http.get("/api/runs?cursor=" + "x" * MAX_URL)
        large = http.get("/api/runs", headers={"X-Much": "x" * MAX_HEADERS})
        well = http.get("/api/health")

    assert (head.status_code, head.content) == (200, b"")
    assert (long.status_code, long.json()["code"]) == (414, "uri_too_long")
    assert (large.status_code, large.json()["code"]) == (431, "headers_too_large")
    assert well.status_code == 200
