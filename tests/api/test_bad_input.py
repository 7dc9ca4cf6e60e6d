"""Bad input gets a problem with a stable code and the field at fault, and nothing is written."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from bson import ObjectId

from agent.book.models import Lease
from api._problems import CODES
from tests.agent.stage import START
from tests.api.client import Api, an_api

GOOD = {"userId": "u1", "goal": "Fine-tune tiny-llm", "budgetTotal": 5}


async def refused(api: Api, body: object, status: int, code: str, **headers: str) -> dict[str, object]:
    answer = await api.post("/api/agent-start", body, **headers)
    problem: dict[str, object] = answer.json()
    assert (answer.status_code, problem["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["status"] == status
    assert problem["detail"]
    assert (await api.stage.services.runs.page(10)).runs == []
    return problem


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"budgetTotal": 0}, "budgetTotal"),
        ({"budgetTotal": -1}, "budgetTotal"),
        ({"budgetTotal": "5"}, "budgetTotal"),
        ({"budgetTotal": True}, "budgetTotal"),
        ({"budgetTotal": None}, "budgetTotal"),
        ({"budgetTotal": [5]}, "budgetTotal"),
        ({"budgetTotal": 0.0000001}, "budgetTotal"),
        ({"budgetTotal": 1_000_001}, "budgetTotal"),
        ({"goal": ""}, "goal"),
        ({"goal": "   "}, "goal"),
        ({"goal": "x" * 4_001}, "goal"),
        ({"goal": "bell \u0007"}, "goal"),
        ({"goal": 5}, "goal"),
        ({"userId": ""}, "userId"),
        ({"userId": "a b"}, "userId"),
        ({"surprise": 1}, "surprise"),
        ({"budget_total": 5}, "budget_total"),
        ({"maxHours": 0}, "maxHours"),
        ({"maxHours": 721}, "maxHours"),
        ({"maxHours": 0.001}, "maxHours"),
        ({"maxHours": "1"}, "maxHours"),
        ({"maxPricePerHour": 0}, "maxPricePerHour"),
        ({"vendorIds": []}, "vendorIds"),
        ({"vendorIds": ["a b"]}, "vendorIds.0"),
        ({"deadline": "soon"}, "deadline"),
        ({"deadline": "2026-12-01T12:00:00"}, "deadline"),
        ({"deadline": "2026-11-21T08:00:00Z"}, "deadline"),
        ({"deadline": "9999-12-31T23:59:59-14:00"}, "deadline"),
        ({"deadline": "0001-01-01T00:00:00+14:00"}, "deadline"),
        ({"deadline": 1_800_000_000}, "deadline"),
        ({"goal": "turned \u202e around"}, "goal"),
        ({"priceTolerance": 0.6}, "priceTolerance"),
        ({"priceTolerance": -0.1}, "priceTolerance"),
        ({"priceTolerance": "0.1"}, "priceTolerance"),
        ({"gpuType": "../etc"}, "gpuType"),
    ],
)
async def test_a_field_out_of_bounds_is_named(change: dict[str, object], field: str) -> None:
    """Each with its own message."""
    problem = await refused(await an_api(), {**GOOD, **change}, 422, "invalid_request")

    errors = problem["errors"]
    assert isinstance(errors, list)
    assert field in [error["field"] for error in errors]


async def test_hours_that_round_to_none_are_refused() -> None:
    """A number too small for arithmetic looks like a multiple of anything."""
    body = json.dumps(GOOD).removesuffix("}") + ', "maxHours": 1e-9999999}'
    json_body = {"Content-Type": "application/json"}
    answer = await (await an_api()).http.post("/api/agent-start", content=body, headers=json_body)

    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "maxHours")


@pytest.mark.parametrize(
    "goal",
    ["line one\r\nline two", "no\u00a0break", "\U0001f469\u200d\U0001f4bb trains", "naïve Übung 訓練", "a\tb"],
)
async def test_ordinary_text_is_taken(goal: str) -> None:
    """As people paste it: Windows line ends, no-break spaces, joined emoji, any script."""
    run = await (await an_api()).started(goal=goal)

    assert run["goal"] == goal.replace("\r\n", "\n")


@pytest.mark.parametrize("missing", ["userId", "goal", "budgetTotal"])
async def test_a_missing_field_is_named(missing: str) -> None:
    """As required."""
    problem = await refused(
        await an_api(), {key: value for key, value in GOOD.items() if key != missing}, 422, "invalid_request"
    )

    assert problem["errors"] == [{"field": missing, "message": "is required"}]


@pytest.mark.parametrize(
    "number", ["1e400", "1e-400", "5.0000001", "1e7", "123456789012345678901234567890", "-0.0", "1e999999999"]
)
async def test_numbers_that_are_no_budget_are_refused(number: str) -> None:
    """However they are written; no float rounds them into range."""
    text = json.dumps(GOOD).replace("5}", number + "}")

    problem = await refused(await an_api(), text, 422, "invalid_request")

    assert str(problem["detail"]).startswith("budgetTotal:")


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{",
        "not json",
        '{"budgetTotal": NaN}',
        '{"budgetTotal": Infinity}',
        '{"budgetTotal": -Infinity}',
        '{"goal": "a", "goal": "b"}',
        "[" * 20_000,
        '{"budgetTotal": ' + "9" * 5_000 + "}",
        b"\xff\xfe",
        '{"userId": "u1", "goal": "\\ud800", "budgetTotal": 5}',
    ],
)
async def test_what_is_not_json_is_refused(body: str | bytes) -> None:
    """Nor is what only some parsers take: NaN, a key twice, a number that never ends."""
    answer = await (await an_api()).post("/api/agent-start", body)

    assert answer.status_code in (400, 422)
    assert answer.json()["code"] in ("invalid_json", "invalid_request")


@pytest.mark.parametrize("body", ["[]", "5", "null", '"text"'])
async def test_json_that_is_no_object_is_refused(body: str) -> None:
    """The body is one object."""
    await refused(await an_api(), body, 422, "invalid_request")


@pytest.mark.parametrize("body", ["1.5", "[]", "true"])
async def test_a_route_that_needs_no_field_wants_an_object_too(body: str) -> None:
    """Whatever else it is could be read as an object without fields (make fuzz-api)."""
    answer = await (await an_api()).post("/api/vendors/reseal", body)

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


async def test_a_body_that_is_too_large_is_refused() -> None:
    """Before it is read to its end."""
    await refused(await an_api(), {**GOOD, "goal": "x" * 70_000}, 413, "body_too_large")


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", ""])
async def test_another_content_type_is_refused(media_type: str) -> None:
    """JSON must be said to be JSON: a form of a foreign page cannot."""
    headers = {"Content-Type": media_type}

    await refused(await an_api(), GOOD, 415, "unsupported_media_type", **headers)


@pytest.mark.parametrize("key", ["", "a b", "x" * 201])
async def test_a_key_that_is_none_is_refused(key: str) -> None:
    """1 to 200 visible characters."""
    problem = await refused(await an_api(), GOOD, 422, "invalid_request", **{"Idempotency-Key": key})

    assert "header.idempotency-key" in str(problem["detail"])


@pytest.mark.parametrize("path", ["/api/agent-tick", "/api/agent-cancel"])
async def test_a_run_id_is_malformed_or_unknown(path: str) -> None:
    """Each by its own code."""
    api = await an_api()

    for bad in ("", "66a1", "z" * 24, 5, None, {"$ne": 1}):
        answer = await api.post(path, {"runId": bad})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
        assert answer.json()["errors"][0]["field"] == "runId"
    unknown = await api.post(path, {"runId": str(ObjectId())})
    assert (unknown.status_code, unknown.json()["code"]) == (404, "run_not_found")


@pytest.mark.parametrize(
    ("params", "status", "code"),
    [
        ({}, 422, "invalid_request"),
        ({"runId": "66a1"}, 422, "invalid_request"),
        ({"runId": "0" * 24}, 404, "run_not_found"),
        ({"runId": "0" * 24, "limit": "0"}, 422, "invalid_request"),
        ({"runId": "0" * 24, "limit": "501"}, 422, "invalid_request"),
        ({"runId": "0" * 24, "before": "x"}, 422, "invalid_request"),
        ({"runId": "0" * 24, "page": "2"}, 422, "invalid_request"),
    ],
)
async def test_a_status_cannot_be_asked_for_anything(params: dict[str, str], status: int, code: str) -> None:
    """Query parameters have bounds as well."""
    answer = await (await an_api()).http.get("/api/agent-status", params=params)

    assert (answer.status_code, answer.json()["code"]) == (status, code)


@pytest.mark.parametrize("cursor", ["x", "1-2", "999999999999999-" + "0" * 24])
async def test_a_cursor_of_somebody_else_is_refused(cursor: str) -> None:
    """Not a 500."""
    answer = await (await an_api()).http.get("/api/runs", params={"cursor": cursor})

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


async def test_a_finished_run_is_ticked_without_effect() -> None:
    """200, and it says so."""
    api = await an_api()
    run = await api.started()
    await api.post("/api/agent-cancel", {"runId": run["_id"]})

    answer = await api.post("/api/agent-tick", {"runId": run["_id"]})

    assert answer.status_code == 200
    assert answer.json()["message"] == "Run is cancelled; there is nothing left to do"
    assert answer.json()["action"] is None


async def test_a_run_being_ticked_is_busy() -> None:
    """409 with the seconds to wait."""
    api = await an_api()
    run = await api.started()
    lease = Lease(owner="another", until=START.replace(second=30))
    await api.stage.services.runs.claim(ObjectId(run["_id"]), lease, START)

    answer = await api.post("/api/agent-tick", {"runId": run["_id"]})

    assert (answer.status_code, answer.json()["code"]) == (409, "run_busy")
    assert answer.headers["retry-after"] == "5"


async def test_unknown_routes_and_methods_are_problems_too() -> None:
    """Nothing answers in another form."""
    api = await an_api()

    nowhere = await api.http.get("/api/nowhere")
    wrong = await api.http.get("/api/agent-tick")

    assert (nowhere.status_code, nowhere.json()["code"]) == (404, "not_found")
    assert (wrong.status_code, wrong.json()["code"]) == (405, "method_not_allowed")
    assert wrong.headers["allow"] == "POST"


async def test_every_code_in_the_description_exists() -> None:
    """The OpenAPI description lists codes of the table only, and each is described."""
    api = await an_api()
    text = (await api.http.get("/openapi.json")).text

    for code in CODES:
        if code not in ("not_found", "method_not_allowed", "internal_error"):
            assert f"`{code}`" in text, code


async def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever sends half of one, without a key, holds a connection for a while and no longer."""
    monkeypatch.setattr("api._json.BODY_SECONDS", 0.0)
    api = await an_api(api_token="token-of-the-operator", cron_secret="secret-of-the-cron")

    async def half() -> AsyncIterator[bytes]:
        yield b'{"goal"'
        await asyncio.Event().wait()

    answer = await api.http.post("/api/agent-start", content=half(), headers={"Content-Type": "application/json"})

    assert (answer.status_code, answer.json()["code"]) == (408, "body_too_slow")
