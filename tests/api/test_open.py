"""Without API_TOKEN the API is for this machine alone, however a request gets here."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
import uvicorn

from agent.settings import Settings
from agent.store.embedded import EmbeddedDatabase
from api._app import create_app
from api._context import Context
from tests.api.client import an_api


async def answered(base_url: str, **headers: str) -> tuple[int, str]:
    """What the list of runs answers to a request for this address."""
    app = create_app(Context(Settings(), database=EmbeddedDatabase()))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=base_url) as http:
        answer = await http.get("/api/runs", headers=headers)
    return answer.status_code, answer.json().get("detail", "")


@pytest.mark.parametrize(
    ("base_url", "headers"),
    [
        ("http://127.0.0.1:3000", {}),
        ("http://127.9.9.9", {}),
        ("http://[::1]:3000", {}),
        ("http://127.0.0.1", {"Host": "localhost"}),
        ("http://127.0.0.1", {"Host": "LOCALHOST:3000"}),
        ("http://127.0.0.1", {"Host": "[::1]:3000"}),
        ("http://127.0.0.1", {"Authorization": "Bearer anything"}),
        ("http://[::ffff:127.0.0.1]:3000", {"Host": "127.0.0.1:3000"}),
    ],
)
async def test_this_machine_is_served(base_url: str, headers: dict[str, str]) -> None:
    assert (await answered(base_url, **headers))[0] == 200


@pytest.mark.parametrize(
    ("base_url", "headers", "why"),
    [
        ("http://192.168.1.5:3000", {}, "another address"),
        ("http://192.168.1.5", {"Host": "localhost"}, "another address"),
        ("http://purser", {"Host": "127.0.0.1"}, "another address"),
        ("http://[::ffff:192.168.1.5]", {"Host": "127.0.0.1"}, "another address"),
        ("http://127.0.0.1", {"Host": "evil.example"}, "another host"),
        ("http://127.0.0.1", {"Host": "localhost.evil.example"}, "another host"),
        ("http://127.0.0.1", {"Host": "127.0.0.1.evil.example"}, "another host"),
        ("http://127.0.0.1", {"Host": ""}, "another host"),
        ("http://127.0.0.1", {"Host": "[::1"}, ""),
        ("http://127.0.0.1", {"X-Forwarded-For": "203.0.113.7"}, "forwarded"),
        ("http://127.0.0.1", {"x-forwarded-proto": "https"}, "forwarded"),
        ("http://127.0.0.1", {"Forwarded": "for=203.0.113.7"}, "forwarded"),
        ("http://127.0.0.1", {"X-Real-IP": "203.0.113.7"}, "forwarded"),
    ],
)
async def test_nobody_else_is(base_url: str, headers: dict[str, str], why: str) -> None:
    """503 that says what to set: another address, a name that was made to lead here, a proxy in between."""
    status, detail = await answered(base_url, **headers)
    if not why:  # a host that cannot be read is an address of this machine, or none
        assert status in (200, 503)
        return

    assert status == 503
    assert "API_TOKEN is not set" in detail
    assert why in detail


@pytest.mark.parametrize("path", ["/api/vendors", "/metrics", "/api/keys", f"/api/agent-status?runId={'0' * 24}"])
async def test_no_route_forgets_it(path: str) -> None:
    """Each asks who is calling."""
    api = await an_api()

    answer = await api.http.get(path, headers={"Host": "evil.example"})

    assert (answer.status_code, answer.json()["code"]) == (503, "not_configured")


@pytest.mark.parametrize("path", ["agent-start", "agent-tick", "agent-cancel", "vendors", "keys"])
async def test_no_route_that_writes_forgets_it(path: str) -> None:
    """Before it looks at the body."""
    api = await an_api()

    answer = await api.post(f"/api/{path}", {}, Host="evil.example")

    assert (answer.status_code, answer.json()["code"]) == (503, "not_configured")


async def test_keys_can_be_tried_without_a_token() -> None:
    """A key is a key: what it does not allow is not open to whoever sends it."""
    api = await an_api()
    made = await api.post("/api/keys", {"userId": "u1", "name": "a try", "scopes": ["read"]})
    bearer = f"Bearer {made.json()['token']}"

    assert (await api.http.get("/api/keys", headers={"Authorization": bearer})).status_code == 403
    assert (await api.http.get("/api/runs", headers={"Authorization": bearer})).status_code == 200
    wrong = await api.http.get("/api/runs", headers={"Authorization": bearer[:-43] + "A" * 43})
    assert wrong.status_code == 401


def an_address_of_this_machine() -> str | None:
    """One that is not loopback, if there is any; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return None
        address: str = probe.getsockname()[0]
    return None if address.startswith(("127.", "0.")) else address


@contextmanager
def served_everywhere() -> Iterator[int]:
    """The API on all addresses, as somebody may serve it by mistake."""
    listening = socket.socket()
    listening.bind(("0.0.0.0", 0))
    app: Any = create_app(Context(Settings(), database=EmbeddedDatabase()))
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


def test_on_a_real_server_the_address_of_the_connection_counts() -> None:
    """The same process, on all addresses: in over loopback, refused over the network's, whatever Host says."""
    other = an_address_of_this_machine()
    if other is None:
        pytest.skip("skipped: this machine has no address but loopback")
    with served_everywhere() as port, httpx.Client(trust_env=False, timeout=10) as http:
        ask = httpx.HTTPTransport(retries=20)
        with httpx.Client(transport=ask, timeout=10) as patient:
            assert patient.get(f"http://127.0.0.1:{port}/api/runs").status_code == 200
        assert http.get(f"http://127.0.0.1:{port}/api/runs", headers={"Host": "evil.example"}).status_code == 503
        refused = http.get(f"http://{other}:{port}/api/runs", headers={"Host": f"127.0.0.1:{port}"})
        assert (refused.status_code, refused.json()["code"]) == (503, "not_configured")
