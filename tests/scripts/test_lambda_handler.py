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


def test_http_and_schedule_events_work_on_the_same_runs(tmp_path: Path) -> None:
    """A run started over HTTP is ticked by the schedule, in one loop, with clients that stay open in between."""
    start, _, round_, again, status = handled(
        tmp_path,
        http_event("POST", "/api/agent-start", START),
        http_event("POST", "/api/vendors", VENDOR),
        schedule_event("aws.events"),
        schedule_event("aws.scheduler"),
        http_event("GET", "/api/runs", query="limit=1"),
    )

    assert start["statusCode"] == 201
    run = json.loads(str(start["body"]))
    assert round_["failed"] == again["failed"] == []
    ticked = round_["ticked"]
    assert isinstance(ticked, list)
    messages = [each["message"] for each in ticked if isinstance(each, dict) and each["runId"] == run["_id"]]
    assert messages[:2] == ["Job at away did not start"] * 2
    assert str(messages[2]).startswith("Run failed: ")
    assert again["ticked"] == []
    (after,) = json.loads(str(status["body"]))["runs"]
    assert (after["_id"], after["tick"], after["status"]) == (run["_id"], 3, "failed")


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
