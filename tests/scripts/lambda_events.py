"""Events as AWS sends them to a function: of the kinds that the handler takes, and of one that it does not."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Final
from urllib.parse import parse_qsl, urlencode

from pydantic import JsonValue

__all__ = [
    "KINDS",
    "QUEUE_EVENT",
    "TOKEN",
    "Event",
    "function_url",
    "http_api",
    "load_balancer",
    "rest_api",
    "scheduled",
]

Event = dict[str, JsonValue]

TOKEN: Final = "token-of-the-events"
"""What every request bears."""

_HOST: Final = "abc123.execute-api.eu-central-1.amazonaws.com"
_HEADERS: Final[dict[str, JsonValue]] = {
    "accept": "*/*",
    "authorization": f"Bearer {TOKEN}",
    "content-type": "application/json",
    "host": _HOST,
    "user-agent": "curl/8.5.0",
    "x-amzn-trace-id": "Root=1-6910c1d2-0123456789abcdef01234567",
    "x-forwarded-for": "203.0.113.7",
    "x-forwarded-port": "443",
    "x-forwarded-proto": "https",
}


def http_api(method: str, path: str, body: JsonValue = None, query: str = "", *, encoded: bool = False) -> Event:
    """API Gateway's HTTP API, payload format 2.0. `encoded`: the body in base64, as binary media types come."""
    text = "" if body is None else json.dumps(body)
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": query,
        "headers": _HEADERS,
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "abc123",
            "domainName": _HOST,
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
        "body": base64.b64encode(text.encode()).decode() if encoded else text,
        "isBase64Encoded": encoded,
    }


def function_url(method: str, path: str, body: JsonValue = None, query: str = "") -> Event:
    """A function URL: format 2.0, another host, always base64 where there is a body."""
    event = http_api(method, path, body, query, encoded=body is not None)
    host = "u2c7fkzw3qxmkd6lbrhsgxs5dq0abcde.lambda-url.eu-central-1.on.aws"
    context = event["requestContext"]
    assert isinstance(context, dict)
    return {
        **event,
        "headers": {**_HEADERS, "host": host},
        "requestContext": {**context, "accountId": "anonymous", "domainName": host},
    }


def rest_api(method: str, path: str, body: JsonValue = None, query: str = "") -> Event:
    """API Gateway's REST API (v1), proxy integration, stage `prod`."""
    pairs = parse_qsl(query)
    return {
        "resource": "/{proxy+}",
        "path": path,
        "httpMethod": method,
        "headers": _HEADERS,
        "multiValueHeaders": {name: [value] for name, value in _HEADERS.items()},
        "queryStringParameters": dict(pairs) or None,
        "multiValueQueryStringParameters": {name: [value] for name, value in pairs} or None,
        "pathParameters": {"proxy": path.lstrip("/")},
        "stageVariables": None,
        "requestContext": {
            "resourcePath": "/{proxy+}",
            "httpMethod": method,
            "path": f"/prod{path}",
            "protocol": "HTTP/1.1",
            "stage": "prod",
            "accountId": "123456789012",
            "apiId": "abc123",
            "requestId": "c6af9ac6-7b61-11e6-9a41-93e8deadbeef",
            "identity": {"sourceIp": "203.0.113.7", "userAgent": "curl/8.5.0"},
        },
        "body": None if body is None else json.dumps(body),
        "isBase64Encoded": False,
    }


def load_balancer(method: str, path: str, body: JsonValue = None, query: str = "") -> Event:
    """An application load balancer."""
    arn = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/purser/49e9d65c45c6791a"
    return {
        "requestContext": {"elb": {"targetGroupArn": arn}},
        "httpMethod": method,
        "path": path,
        "queryStringParameters": {name: urlencode({"": value})[1:] for name, value in parse_qsl(query)},
        "headers": _HEADERS,
        "body": "" if body is None else json.dumps(body),
        "isBase64Encoded": False,
    }


KINDS: Final[dict[str, Callable[[str, str, JsonValue, str], Event]]] = {
    "rest_api": rest_api,
    "http_api": http_api,
    "http_api_base64": lambda method, path, body, query: http_api(method, path, body, query, encoded=True),
    "function_url": function_url,
    "load_balancer": load_balancer,
}
"""Every kind of request."""


def scheduled(source: str) -> Event:
    """What EventBridge sends by itself: its rules (`aws.events`), or its scheduler (`aws.scheduler`)."""
    by_rule = source == "aws.events"
    name = "events:eu-central-1:123456789012:rule/purser" if by_rule else "scheduler:::schedule/default/purser"
    return {
        "version": "0",
        "id": "53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa",
        "detail-type": "Scheduled Event",
        "source": source,
        "account": "123456789012",
        "time": "2026-11-21T08:00:00Z",
        "region": "eu-central-1",
        "resources": [f"arn:aws:{name}"],
        "detail": {} if by_rule else "{}",
    }


QUEUE_EVENT: Final[Event] = {
    "Records": [{"eventSource": "aws:sqs", "body": "a secret that somebody queued", "messageId": "1"}]
}
"""Of a kind that no part of Purser asks for."""
