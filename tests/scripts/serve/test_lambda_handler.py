"""The Lambda handler, in a process of its own as on the platform, with events as AWS sends them."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import JsonValue

from scripts.serve.servers import clean
from tests.scripts.lambda_events import KINDS, QUEUE_EVENT, TOKEN, Event, http_api, scheduled

PROGRAM = """
import json, sys, threading
from scripts.serve.lambda_handler import handler

class Context:
    def get_remaining_time_in_millis(self):
        return 60_000

def handle(event):
    try:
        result = handler(event, Context())
    except Exception as exc:
        result = {"raised": type(exc).__name__, "said": str(exc)}
    print("RESULT", json.dumps(result))  # among what is logged

for line in sys.stdin:
    if "threads" in sys.argv:
        thread = threading.Thread(target=handle, args=(json.loads(line),))
        thread.start()
        thread.join()
    else:
        handle(json.loads(line))
"""

Done = dict[str, Any]


def handled(directory: Path, *events: JsonValue, threads: bool = False, **settings: str) -> list[Done]:
    """The results of these events in one process, in which every warning is an error."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, *(["threads"] if threads else [])],
        input="\n".join(map(json.dumps, events)),
        cwd=directory,
        env=clean({"API_TOKEN": TOKEN, **settings}),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    said = done.stdout.splitlines()
    return [json.loads(line.removeprefix("RESULT ")) for line in said if line.startswith("RESULT ")]


def body(answer: Mapping[str, Any]) -> Done:
    """What an answer says, as JSON."""
    assert answer["isBase64Encoded"] is False
    found: Done = json.loads(answer["body"])
    return found


START: JsonValue = {"userId": "u1", "goal": "Fine-tune tiny-llm für 5 €", "budgetTotal": 5}
VENDOR: JsonValue = {
    "vendorId": "away",
    "name": "Away",
    "endpoint": "http://127.0.0.1:1",
    "basePricePerHour": 1,
    "supportedGpuTypes": ["A100"],
}
SCHEDULES: dict[str, Event] = {
    "a rule": scheduled("aws.events"),
    "a scheduler left to itself": scheduled("aws.scheduler"),
    "the scheduler of our template": {"purser": "tick"},
}


@pytest.mark.parametrize("threads", [False, True], ids=["one thread", "a thread per event"])
def test_http_and_schedule_events_work_on_the_same_runs(tmp_path: Path, threads: bool) -> None:
    """Runs started over HTTP are ticked by the schedule, in one loop, with clients that stay open in between."""
    first, _, round_1, second, round_2, round_3, listed = handled(
        tmp_path,
        http_api("POST", "/api/agent-start", START),
        http_api("POST", "/api/vendors", VENDOR),
        scheduled("aws.events"),
        http_api("POST", "/api/agent-start", START),
        {"purser": "tick"},
        scheduled("aws.scheduler"),
        http_api("GET", "/api/runs"),
        threads=threads,
    )

    assert first["statusCode"] == second["statusCode"] == 201
    for done, run in ((round_1, first), (round_2, second)):
        said = [each["message"] for each in done["ticked"] if each["runId"] == body(run)["_id"]]
        assert said == ["away could not be reached", "No vendor can be reached: away"]
        assert len(said) == len(done["ticked"])
        assert done["failed"] == []
    assert (round_3["ticked"], round_3["failed"]) == ([], [])
    assert [run["phase"] for run in body(listed)["runs"]] == ["waiting", "waiting"]


@pytest.mark.parametrize("kind", KINDS)
def test_requests_of_every_kind_are_answered(tmp_path: Path, kind: str) -> None:
    """With their bodies, queries and statuses, base64 or not, and problems as answers."""
    make = KINDS[kind]
    started, listed, none, strange = handled(
        tmp_path,
        make("POST", "/api/agent-start", START, ""),
        make("GET", "/api/runs", None, "userId=u1&limit=1"),
        make("GET", "/api/agent-status", None, f"runId={'0' * 24}"),
        make("POST", "/api/agent-tick", {"runId": "no id"}, ""),
    )

    assert (started["statusCode"], body(started)["goal"]) == (201, "Fine-tune tiny-llm für 5 €")
    assert [run["_id"] for run in body(listed)["runs"]] == [body(started)["_id"]]
    assert [answer["statusCode"] for answer in (listed, none, strange)] == [200, 404, 422]
    headers = none.get("headers") or {name: value[0] for name, value in none["multiValueHeaders"].items()}
    assert headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_schedule_ticks(tmp_path: Path, schedule: str) -> None:
    """Rules and schedulers, told what to send or not."""
    _, done = handled(tmp_path, http_api("POST", "/api/agent-start", START), SCHEDULES[schedule])

    assert [each["message"] for each in done["ticked"]] == ["Run failed: no vendor is registered"]


def test_a_round_without_a_database_is_a_failed_invocation(tmp_path: Path) -> None:
    """Lambda counts it and tries again; a request is answered 503, for its sender is the one to try again."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound and not listened on: refused
        uri = f"mongodb://someone:hunter2@127.0.0.1:{closed.getsockname()[1]}/?serverSelectionTimeoutMS=200"
        tick, request = handled(
            tmp_path,
            {"purser": "tick"},
            http_api("GET", "/api/health"),
            MONGODB_URI=uri,
            API_TOKEN="token-of-the-operator",
        )

    assert tick["raised"] == "StoreUnavailable"
    assert "hunter2" not in tick["said"]
    assert (request["statusCode"], body(request)["code"]) == (503, "store_unavailable")


def test_a_round_without_its_settings_is_a_failed_invocation(tmp_path: Path) -> None:
    """What is missing is named; nothing is made up on a platform."""
    tick, request = handled(
        tmp_path, {"purser": "tick"}, http_api("GET", "/api/health"), AWS_LAMBDA_FUNCTION_NAME="purser"
    )

    assert tick["raised"] == "ConfigurationError"
    assert "MONGODB_URI" in tick["said"]
    assert (request["statusCode"], body(request)["code"]) == (503, "not_configured")


STRANGERS: list[tuple[JsonValue, str]] = [
    (QUEUE_EVENT, "with Records"),
    ({**scheduled("aws.events"), "detail-type": "EC2 Instance Launch"}, "with account, detail, detail-type"),
    ({**scheduled("aws.events"), "source": "someone.else"}, "with account, detail, detail-type"),
    ({"purser": "drop"}, "with purser"),
    ({"purser": "tick", "more": 1}, "with more, purser"),
    ({"requestContext": "a word"}, "with requestContext"),
    ({"requestContext": {"routeKey": "$connect"}}, "with requestContext"),
    ({}, "with nothing in it"),
    ([], "list"),
    ("tick", "str"),
    (None, "NoneType"),
]
"""Events of other kinds, and how their shape is told."""


def test_an_event_of_another_kind_fails_loudly(tmp_path: Path) -> None:
    """It says what is taken and the shape of what came, not what was in it."""
    answers = handled(tmp_path, *(event for event, _ in STRANGERS))

    for done, (_, shape) in zip(answers, STRANGERS, strict=True):
        assert done["raised"] == "UnknownEvent"
        assert f"({shape}" in done["said"]
        assert "{'purser': 'tick'}" in done["said"]
        assert "secret" not in done["said"]
        assert "drop" not in done["said"]
