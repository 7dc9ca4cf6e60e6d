"""The function in Lambda's own Python runtime: what its schedule and its callers get, and what Lambda counts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from pydantic import JsonValue

from scripts.seed import catalog
from scripts.serve.lambda_handler import TICK_EVENT
from scripts.serve.servers import vendor_server
from tests.platforms.aws import LambdaFunction
from tests.platforms.shipped import CONFIGURED, ROUNDS, SECRETS, needs_runtimes
from tests.scripts.lambda_events import QUEUE_EVENT, http_api, scheduled
from tests.wire.given import needs_server

pytestmark = needs_runtimes

PASSWORD: Final = "hunter2-of-the-database"


@needs_server
def test_a_run_is_ticked_to_its_end_by_the_schedule(tmp_path: Path, store: dict[str, str]) -> None:
    """Started over the HTTP API, ticked by what the template sends, paid at vendors that cash."""
    (tmp_path / "function").mkdir()
    with (
        vendor_server(tmp_path, {"EPOCH_SECONDS": "0.02"}) as vendors,
        LambdaFunction(tmp_path / "function", {**CONFIGURED, **store}) as function,
    ):
        for vendor in catalog(vendors.ready()):
            assert function.invoke(http_api("POST", "/api/vendors", vendor)).body["statusCode"] == 201
        order: JsonValue = {"userId": "u1", "goal": "Fine-tune tiny-llm", "budgetTotal": 5}
        run_id = json.loads(function.invoke(http_api("POST", "/api/agent-start", order)).body["body"])["_id"]
        ticked: list[Any] = []
        seen: dict[str, Any] = {"run": {"status": "running"}}
        for _ in range(ROUNDS):
            done = function.invoke({**TICK_EVENT})
            assert not done.failed
            ticked += done.body["ticked"]
            answer = function.invoke(http_api("GET", "/api/agent-status", query=f"runId={run_id}"))
            seen = json.loads(answer.body["body"])
            if seen["run"]["status"] != "running":
                break
        said = function.logged()

    assert (seen["run"]["status"], len(seen["payments"])) == ("completed", 1)
    assert {each["runId"] for each in ticked} == {run_id}
    assert '"path": "/api/agent-status"' in said
    assert not [name for name, secret in SECRETS.items() if secret in said]


def test_what_cannot_be_done_fails_the_invocation_and_no_request(tmp_path: Path) -> None:
    """With the database away a round is an error, which Lambda counts and tries again; a request gets a 503."""
    away = {"MONGODB_URI": f"mongodb://purser:{PASSWORD}@127.0.0.1:1/", **CONFIGURED}
    schedules: list[JsonValue] = [{**TICK_EVENT}, scheduled("aws.events")]
    with LambdaFunction(tmp_path, away) as function:
        rounds = [function.invoke(event) for event in schedules]
        request = function.invoke(http_api("GET", "/api/runs"))
        strange = function.invoke(QUEUE_EVENT)
        said = function.logged()

    assert [(done.failed, done.body["errorType"]) for done in rounds] == [(True, "StoreUnavailable")] * 2
    assert not request.failed
    assert (request.body["statusCode"], json.loads(request.body["body"])["code"]) == (503, "store_unavailable")
    assert (strange.failed, strange.body["errorType"]) == (True, "UnknownEvent")
    assert "StoreUnavailable" in said  # the runtime prints what fails by itself, past our logs
    assert not [name for name, secret in {**SECRETS, "password": PASSWORD}.items() if secret in said]


def test_a_function_that_nobody_configured_serves_nobody(tmp_path: Path) -> None:
    """A request is told what is missing; a round fails with the same."""
    with LambdaFunction(tmp_path, {}) as function:
        request = function.invoke(http_api("GET", "/api/runs"))
        done = function.invoke({**TICK_EVENT})

    assert (request.body["statusCode"], json.loads(request.body["body"])["code"]) == (503, "not_configured")
    assert (done.failed, done.body["errorType"]) == (True, "ConfigurationError")
    assert "MONGODB_URI" in done.body["errorMessage"]
