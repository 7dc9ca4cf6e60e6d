"""The description of the API that /docs shows: every field, parameter and error is explained."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from api._app import create_app

DESCRIPTION: dict[str, Any] = create_app().openapi()
OPERATIONS = [
    (f"{method.upper()} {path}", operation)
    for path, methods in DESCRIPTION["paths"].items()
    for method, operation in methods.items()
]
BUILT_IN = ("HTTPValidationError", "ValidationError")
"""FastAPI's own error shapes, which no route answers with."""


def test_every_field_is_described() -> None:
    """In requests, answers and errors."""
    silent = [
        f"{name}.{field}"
        for name, schema in DESCRIPTION["components"]["schemas"].items()
        for field, shape in schema.get("properties", {}).items()
        if not shape.get("description") and name not in BUILT_IN
    ]

    assert silent == []


def test_every_route_has_a_summary_a_description_and_its_errors() -> None:
    """As problem+json, with the codes that it may bear."""
    for name, operation in OPERATIONS:
        assert operation.get("summary"), name
        assert operation.get("description"), name
        errors = {status: answer for status, answer in operation["responses"].items() if int(status) >= 400}
        assert "503" in errors, name
        for status, answer in errors.items():
            assert "`" in answer["description"], f"{name} {status}"
            assert list(answer["content"]) == ["application/problem+json"], f"{name} {status}"
            media = answer["content"]["application/problem+json"]
            assert {"code", "detail", "status"} <= set(media["schema"]["properties"])
            for code, example in media["examples"].items():
                assert (example["value"]["code"], example["value"]["status"]) == (code, int(status))


def test_every_parameter_is_described() -> None:
    """In paths, queries and headers."""
    silent = [
        f"{name} {parameter['name']}"
        for name, operation in OPERATIONS
        for parameter in operation.get("parameters", ())
        if not parameter.get("description") and not parameter["schema"].get("description")
    ]

    assert silent == []


def test_requests_have_examples() -> None:
    """So that /docs can be tried at once."""
    for name in ("KeyBody", "StartBody", "RunBody", "VendorBody"):
        fields = DESCRIPTION["components"]["schemas"][name]
        assert [field for field in fields["required"] if not fields["properties"][field].get("examples")] == []


def test_the_routes_are_those_of_the_design() -> None:
    """No more and no fewer."""
    assert sorted(name for name, _ in OPERATIONS) == [
        "DELETE /api/keys/{key_id}",
        "DELETE /api/vendors/{vendor_id}",
        "GET /api/agent-status",
        "GET /api/cron-tick",
        "GET /api/health",
        "GET /api/keys",
        "GET /api/parked-runs",
        "GET /api/runs",
        "GET /api/vendors",
        "GET /metrics",
        "PATCH /api/vendors/{vendor_id}",
        "POST /api/agent-cancel",
        "POST /api/agent-start",
        "POST /api/agent-tick",
        "POST /api/keys",
        "POST /api/vendors",
        "POST /api/vendors/reseal",
        "POST /api/vendors/{vendor_id}/feedback",
    ]


def _references(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        yield from (value for key, value in node.items() if key == "$ref" and isinstance(value, str))
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)


def test_every_reference_leads_somewhere() -> None:
    """What generates clients from the document stops at the first one that does not."""
    document = create_app().openapi()
    found = set(_references(json.loads(json.dumps(document))))
    assert found
    for reference in found:
        place: Any = document
        for part in reference.removeprefix("#/").split("/"):
            place = place[part]
