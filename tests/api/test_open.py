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

from agent.process.settings import Settings
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
    "base_url",
    ["http://127.0.0.1:3000", "http://127.9.9.9", "http://[::1]:3000", "http://[::ffff:127.0.0.1]:3000"],
)
async def test_this_machine_is_served(base_url: str) -> None:
    assert (await answered(base_url, Host="127.0.0.1:3000"))[0] == 200


@pytest.mark.parametrize(
    "base_url",
    ["http://192.168.1.5:3000", "http://purser", "http://[::ffff:192.168.1.5]", "http://[2001:db8::1]"],
)
async def test_what_came_in_on_another_address_is_not(base_url: str) -> None:
    status, detail = await answered(base_url, Host="127.0.0.1")

    assert (status, "another address" in detail) == (503, True)
    assert "API_TOKEN is not set" in detail


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "LOCALHOST:3000", "localhost:", "127.0.0.1", "127.0.0.1:1", "127.9.9.9:65535"),
        *("[::1]", "[::1]:3000", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]:3000", "[::FFFF:7F00:1]"),
    ],
)
async def test_a_host_that_is_this_machine_is_served(host: str) -> None:
    assert (await answered("http://127.0.0.1", Host=host))[0] == 200


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "evil-localhost", "localhost.", ""),
        *(
            "localhost:evil.example",
            "localhost:3000.evil.example",
            "localhost:80:80",
            "127.0.0.1:evil",
            "localhost:-1",
        ),
        *(
            "[::1",
            "::1",
            "[::1]evil.example",
            "[::1].evil.example",
            "[::1]:evil",
            "[::1]3000",
            "[::1%25lo]",
            "[::1%lo]",
        ),
        *(
            "[127.0.0.1]",
            "[localhost]",
            "[::2]",
            "[::ffff:192.168.1.5]",
            "user@localhost",
            "localhost/",
            "localhost,x",
        ),
        *(
            "127.0.0.1, evil.example",
            "localhost evil.example",
            "127.1",
            "0.0.0.0",
            "2130706433",
            "0x7f.0.0.1",
            "[]",
            ":3000",
        ),
    ],
)
async def test_a_host_is_matched_as_a_whole(host: str) -> None:
    """No name that only begins or ends like this machine's: DNS may lead any name here."""
    status, detail = await answered("http://127.0.0.1", Host=host)

    assert (status, "for another host" in detail) == (503, True)


async def test_there_is_one_host() -> None:
    """Of two, the server and a proxy may each take another."""
    app = create_app(Context(Settings(), database=EmbeddedDatabase()))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://127.0.0.1") as http:
        answer = await http.get("/api/runs", headers=[("Host", "localhost"), ("Host", "evil.example")])

    assert (answer.status_code, answer.json()["code"]) == (503, "not_configured")


@pytest.mark.parametrize(
    "name",
    [
        *("Forwarded", "Via", "X-Forwarded", "X-Forwarded-For", "x-forwarded-proto", "X-Forwarded-Host"),
        *("X-Real-IP", "X-Client-IP", "X-Cluster-Client-IP", "X-Original-Forwarded-For", "X-ProxyUser-Ip"),
        *("CF-Connecting-IP", "CF-Ray", "CDN-Loop", "True-Client-IP", "Fastly-Client-IP", "Fly-Client-IP"),
        *("X-Envoy-External-Address", "X-Amzn-Trace-Id", "X-Vercel-Id", "X-Azure-ClientIP", "X-Appengine-User-IP"),
        *("Client-IP", "Proxy-Connection", "Proxy-Authorization", "Max-Forwards", "X-A-Proxy-Of-Next-Year"),
        *(
            "Tailscale-User-Login",
            "Ngrok-Skip-Browser-Warning",
            "Remote-User",
            "Surrogate-Capability",
            "X-Varnish",
        ),
    ],
)
async def test_what_no_local_client_sends_is_a_sign_of_a_proxy(name: str) -> None:
    """By a list of what clients send: proxies' marks are many, and others come up. The header is named."""
    status, detail = await answered("http://127.0.0.1", **{name: "203.0.113.7"})

    assert (status, "proxy" in detail, name.lower() in detail) == (503, True, True)


CURL = {"User-Agent": "curl/8.5.0", "Accept": "*/*"}
CLIENTS: dict[str, dict[str, str]] = {
    "curl": CURL,
    "curl with JSON of 2 KB": {**CURL, "Content-Type": "application/json", "Expect": "100-continue"},
    "curl --http2": {
        **CURL,
        "Connection": "Upgrade, HTTP2-Settings",
        "Upgrade": "h2c",
        "HTTP2-Settings": "AAMAAABk",
    },
    "requests": {"User-Agent": "python-requests/2.32", "Accept-Encoding": "gzip", "Connection": "keep-alive"},
    "wget": {"User-Agent": "Wget/1.21", "Accept-Encoding": "identity", "Connection": "Keep-Alive"},
    "fetch of node": {
        "Accept-Language": "*",
        "Sec-Fetch-Mode": "cors",
        "User-Agent": "node",
        "Accept-Encoding": "br",
    },
    "Postman": {"Postman-Token": "a5d", "Cache-Control": "no-cache"},
    "with OpenTelemetry": {"traceparent": "00-0af7-b7ad-01", "tracestate": "a=b", "baggage": "a=b"},
    "with Zipkin": {"X-B3-TraceId": "80f198ee", "X-B3-SpanId": "e457", "b3": "1"},
    "with an id of its own": {"X-Request-Id": "r1", "Idempotency-Key": "k1"},
    "with a made-up token": {"Authorization": "Bearer anything"},
    "a monitor": {"If-None-Match": '"x"', "Pragma": "no-cache", "Range": "bytes=0-"},
}
CHROME = {
    "Sec-Ch-Ua": '"Chromium";v="140"',
    "Sec-Ch-Ua-Mobile": "?0",
    "Sec-Ch-Ua-Platform": '"Linux"',
    "Sec-Fetch-Mode": "cors",
    "Sec-Fetch-Dest": "empty",
    "Sec-GPC": "1",
    "DNT": "1",
    "Priority": "u=1, i",
    "Cookie": "of=another; server=of; this=machine",
    "Upgrade-Insecure-Requests": "1",
    "X-Requested-With": "XMLHttpRequest",
    "Referer": "http://127.0.0.1/docs",
}


@pytest.mark.parametrize("client", CLIENTS)
async def test_ordinary_clients_are_served(client: str) -> None:
    assert await answered("http://127.0.0.1", **CLIENTS[client]) == (200, "")


@pytest.mark.parametrize(
    ("host", "headers"),
    [
        ("127.0.0.1", {"Sec-Fetch-Site": "none", "Sec-Fetch-User": "?1"}),
        ("127.0.0.1", {"Sec-Fetch-Site": "same-origin"}),
        ("127.0.0.1:3000", {"Sec-Fetch-Site": "same-origin", "Origin": "http://127.0.0.1:3000"}),
        ("LocalHost:8080", {"Origin": "http://localhost:8080"}),
        ("[::1]:3000", {"Origin": "http://[::1]:3000"}),
    ],
)
async def test_a_browser_on_its_own_page_is_served(host: str, headers: dict[str, str]) -> None:
    """Or where a person typed the address."""
    assert await answered("http://127.0.0.1", Host=host, **CHROME, **headers) == (200, "")


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "http://127.0.0.1.evil.example"},
        {"Origin": "http://127.0.0.1:3001"},
        {"Origin": "https://127.0.0.1"},
        {"Origin": "http://localhost"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "of-a-kind-to-come"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://127.0.0.1"},
    ],
)
async def test_a_page_of_another_site_is_not(headers: dict[str, str]) -> None:
    """Its requests come in over the loopback address too, from the browser on this machine."""
    status, detail = await answered("http://127.0.0.1", **headers)

    assert (status, "a page of another" in detail) == (503, True)


async def test_a_page_of_another_site_starts_no_run() -> None:
    """Nor is a key that it may have a way around that."""
    api = await an_api()
    token = (await api.post("/api/keys", {"userId": "u1", "name": "n"})).json()["token"]
    body = {"userId": "u1", "goal": "g", "budgetTotal": 5}

    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        for more in ({}, {"Authorization": f"Bearer {token}"}):
            assert (await api.post("/api/agent-start", body, **headers, **more)).status_code == 503
    assert await api.stage.database.collection("runs").count({}) == 0


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
