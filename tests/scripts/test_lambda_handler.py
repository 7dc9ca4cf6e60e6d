"""The Lambda handler, in a process of its own as on the platform, with events as AWS sends them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from pydantic import JsonValue

from scripts.servers import clean

PROGRAM = """
import json, sys
from scripts.lambda_handler import handler

class Context:
    def get_remaining_time_in_millis(self):
        return 60_000

for line in sys.stdin:
    try:
        print(json.dumps(handler(json.loads(line), Context())))
    except RuntimeError as exc:
        print(json.dumps({"raised": str(exc)}))
"""


def http_event(method: str, path: str, body: JsonValue = None, query: str = "") -> dict[str, JsonValue]:
    """API Gateway's event of an HTTP API, payload format 2.0."""
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": query,
        "headers": {
            "accept": "*/*",
            "content-type": "application/json",
            "host": "abc123.execute-api.eu-central-1.amazonaws.com",
            "user-agent": "curl/8.5.0",
            "x-amzn-trace-id": "Root=1-6910c1d2-0123456789abcdef01234567",
            "x-forwarded-for": "203.0.113.7",
            "x-forwarded-port": "443",
            "x-forwarded-proto": "https",
        },
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "abc123",
            "domainName": "abc123.execute-api.eu-central-1.amazonaws.com",
            "domainPrefix": "abc123",
            "http": {
                "method": method,
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": "203.0.113.7",
                "userAgent": "curl/8.5.0",
            },
            "requestId": "JKJaXmPLvHcESHA=",
            "routeKey": "$default",
            "stage": "$default",
            "time": "21/Nov/2026:08:00:00 +0000",
            "timeEpoch": 1795248000000,
        },
        "body": json.dumps(body) if body is not None else "",
        "isBase64Encoded": False,
    }


def schedule_event(source: str) -> dict[str, JsonValue]:
    """EventBridge's event of a schedule."""
    return {
        "version": "0",
        "id": "53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa",
        "detail-type": "Scheduled Event",
        "source": source,
        "account": "123456789012",
        "time": "2026-11-21T08:00:00Z",
        "region": "eu-central-1",
        "resources": ["arn:aws:events:eu-central-1:123456789012:rule/purser-tick"],
        "detail": {},
    }


def handled(directory: Path, *events: dict[str, JsonValue]) -> list[dict[str, JsonValue]]:
    """The results of these events in one process, in which every warning is an error."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM],
        input="\n".join(map(json.dumps, events)),
        cwd=directory,
        env=clean({}),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


START: JsonValue = {"userId": "u1", "goal": "Fine-tune tiny-llm", "budgetTotal": 5}


VENDOR: JsonValue = {
    "vendorId": "away",
    "name": "Away",
    "endpoint": "http://127.0.0.1:1",
    "basePricePerHour": 1,
    "supportedGpuTypes": ["A100"],
}


def messages(done: dict[str, JsonValue], run: dict[str, JsonValue]) -> list[str]:
    """What a round did to this run, the only one that was due."""
    ticked = done["ticked"]
    assert isinstance(ticked, list)
    found = [each for each in ticked if isinstance(each, dict)]
    assert {str(each["runId"]) for each in found} <= {json.loads(str(run["body"]))["_id"]}
    return [str(each["message"]) for each in found]


def test_http_and_schedule_events_work_on_the_same_runs(tmp_path: Path) -> None:
    """Runs started over HTTP are ticked by the schedule, in one loop, with clients that stay open in between."""
    first, _, round_1, second, round_2, round_3, listed = handled(
        tmp_path,
        http_event("POST", "/api/agent-start", START),
        http_event("POST", "/api/vendors", VENDOR),
        schedule_event("aws.events"),
        http_event("POST", "/api/agent-start", START),
        schedule_event("aws.scheduler"),
        schedule_event("aws.scheduler"),
        http_event("GET", "/api/runs"),
    )

    assert first["statusCode"] == second["statusCode"] == 201
    for done, run in ((round_1, first), (round_2, second)):
        said = messages(done, run)
        assert said[:2] == ["Job at away did not start"] * 2
        assert said[2].startswith("Run failed: ")
        assert done["failed"] == []
    assert round_3 == {"ticked": [], "failed": []}
    assert [run["status"] for run in json.loads(str(listed["body"]))["runs"]] == ["failed", "failed"]


def test_a_problem_is_an_answer_and_not_a_failure(tmp_path: Path) -> None:
    """The gateway gets the problem with its status and media type."""
    (answer,) = handled(tmp_path, http_event("GET", "/api/agent-status", query=f"runId={'0' * 24}"))

    assert answer["statusCode"] == 404
    headers = answer["headers"]
    assert isinstance(headers, dict)
    assert headers["content-type"] == "application/problem+json"


def test_an_event_of_another_kind_fails_loudly(tmp_path: Path) -> None:
    """What is no request and no schedule is not quietly taken for one of them."""
    (queue,) = handled(tmp_path, {"Records": [{"eventSource": "aws:sqs"}]})
    (other,) = handled(tmp_path, {**schedule_event("aws.events"), "detail-type": "EC2 Instance Launch"})

    assert "unable to infer a handler" in str(queue["raised"])
    assert "unable to infer a handler" in str(other["raised"])
