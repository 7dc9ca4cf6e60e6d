"""Every route of the API's description, called through the app that Vercel finds, answers as described."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

import httpx
import pytest

from scripts.serve.servers import ROOT
from tests.scripts.vercel import entry_file, loaded

TOKEN: Final = "token-of-the-routes"
CRON_SECRET: Final = "cron-of-the-routes"

FIRST: Final = ("POST /api/agent-start", "POST /api/keys", "POST /api/vendors")
"""What others need to be there; what deletes comes last."""

ANSWERS: Final = {
    "runId": ("POST /api/agent-start", "_id"),
    "vendor_id": ("POST /api/vendors", "vendorId"),
    "key_id": ("POST /api/keys", "_id"),
}
"""Parameters that name what an earlier answer made: the route and the field."""

WITHOUT_A_VENDOR = {"POST /api/vendors/{vendor_id}/feedback": "409"}
"""What cannot succeed here, where no vendor is there to take a job."""

Described = dict[str, Any]


def operations(description: Described) -> Iterator[tuple[str, Described]]:
    """`METHOD /path` and what the description says of it, in an order in which all can succeed."""
    found = {
        f"{method.upper()} {path}": operation
        for path, methods in description["paths"].items()
        for method, operation in methods.items()
    }
    ranked = sorted(found, key=lambda name: (name not in FIRST, name.startswith("DELETE"), name))
    yield from ((name, found[name]) for name in ranked)


class Caller:
    """Builds requests from the description alone, and remembers the answers that later ones need."""

    def __init__(self, http: httpx.AsyncClient, description: Described) -> None:
        """Nothing was called yet."""
        self._http = http
        self._schemas = description["components"]["schemas"]
        self._answers: dict[str, Any] = {}

    async def call(self, name: str, operation: Described, token: str | None) -> httpx.Response:
        """Send what the route needs and no more."""
        method, path = name.split()
        needed = {
            (each["in"], each["name"]): self._known(each["name"])
            for each in operation.get("parameters", ())
            if each.get("required")
        }
        for (place, key), value in needed.items():
            path = path.replace(f"{{{key}}}", value) if place == "path" else path
        response = await self._http.request(
            method,
            path,
            params={key: value for (place, key), value in needed.items() if place == "query"},
            json=self._body(method, operation),
            headers={} if token is None else {"Authorization": f"Bearer {token}"},
        )
        if response.is_success and response.content and name not in self._answers:
            self._answers[name] = response
        return response

    def _known(self, parameter: str) -> str:
        route, field = ANSWERS[parameter]
        answer = self._answers.get(route)
        return "0" * 24 if answer is None else str(answer.json()[field])

    def _body(self, method: str, operation: Described) -> Described | None:
        if "requestBody" not in operation:
            return None
        reference = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
        schema = self._schemas[reference.rpartition("/")[2]]
        body = {name: schema["properties"][name]["examples"][0] for name in schema.get("required", ())}
        if "runId" in body:
            body["runId"] = self._known("runId")
        return body or ({"name": "Another name"} if method == "PATCH" else {})


@pytest.fixture
async def http(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[httpx.AsyncClient, Described]]:
    """Requests to the app that Vercel finds, fresh, and its description."""
    monkeypatch.setenv("API_TOKEN", TOKEN)
    monkeypatch.setenv("CRON_SECRET", CRON_SECRET)
    path = entry_file(ROOT)
    assert path is not None
    app = loaded(path)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://purser.example") as client:
        yield client, app.openapi()


async def test_every_route_succeeds_as_described(http: tuple[httpx.AsyncClient, Described]) -> None:
    """With what the description requires; the status is the one that it promises."""
    client, description = http
    caller = Caller(client, description)

    for name, operation in operations(description):
        token = CRON_SECRET if "cron" in name else TOKEN
        response = await caller.call(name, operation, token)

        (promised,) = [status for status in operation["responses"] if status.startswith("2")]
        promised = WITHOUT_A_VENDOR.get(name, promised)
        assert str(response.status_code) == promised, f"{name}: {response.text}"


async def test_every_route_but_health_refuses_strangers(http: tuple[httpx.AsyncClient, Described]) -> None:
    """401 as described, whatever was to be done; health tells a monitor without a token."""
    client, description = http
    caller = Caller(client, description)

    for name, operation in operations(description):
        response = await caller.call(name, operation, None)

        assert str(response.status_code) in operation["responses"], name
        assert response.status_code == (200 if name == "GET /api/health" else 401), f"{name}: {response.text}"


async def test_without_its_variables_every_route_says_which_are_missing(
    http: tuple[httpx.AsyncClient, Described], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deployment that nobody has configured: 503 with names, from all of them."""
    client, description = http
    monkeypatch.setenv("VERCEL", "1")
    caller = Caller(client, description)

    for name, operation in operations(description):
        response = await caller.call(name, operation, CRON_SECRET if "cron" in name else TOKEN)

        assert "503" in operation["responses"]
        assert (response.status_code, response.json()["code"]) == (503, "not_configured"), name
        assert "MONGODB_URI" in response.json()["detail"]


async def test_what_is_no_route_is_a_problem_too(http: tuple[httpx.AsyncClient, Described]) -> None:
    """Vercel sends everything to the app; what the description does not know is 404 or 405, as JSON."""
    client, description = http

    assert (await client.get("/")).json()["code"] == "not_found"
    for name, _ in operations(description):
        response = await client.put(name.split()[1].replace("{vendor_id}", "x"))

        assert (response.status_code, response.json()["code"]) == (405, "method_not_allowed"), name
