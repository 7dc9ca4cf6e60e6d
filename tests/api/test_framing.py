"""Where a request ends and which path it names: the same to a proxy in front as to the server."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from scripts.serve.servers import ROOT, ServerProcess, api_server, clean, vendor_server
from tests.api.client import an_api
from tests.scripts.lambda_events import KINDS, TOKEN
from tests.scripts.serve.test_lambda_handler import body, handled
from tests.scripts.vercel import entry_file, loaded

HIDDEN = b"GET /api/nowhere HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
"""A request that is a part of another one's body to whoever goes by the other length."""


def purser_serve(directory: Path, settings: dict[str, str]) -> ServerProcess:
    """The API by `purser serve`, as the image runs it."""
    command = ["scripts.cli", "serve", "--port", "0"]
    return ServerProcess("API", command, "/api/health", directory, clean({**settings, "PYTHONPATH": str(ROOT)}))


def heard(url: str, *parts: bytes) -> bytes:
    """All that a server says on one connection until it closes it."""
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port or 80), timeout=10) as connection:
        connection.sendall(b"".join(parts))
        said = b""
        while more := connection.recv(65_536):
            said += more
    return said


def post(path: str, *headers: str) -> bytes:
    return "\r\n".join([f"POST {path} HTTP/1.1", "Host: 127.0.0.1", *headers, "", ""]).encode()


@pytest.mark.parametrize(
    "server", [api_server, purser_serve, vendor_server], ids=["uvicorn", "serve", "mock vendors"]
)
@pytest.mark.parametrize("order", [1, -1], ids=["length first", "encoding first"])
def test_a_body_with_two_lengths_closes_the_connection(
    tmp_path: Path, server: Callable[..., AbstractContextManager[ServerProcess]], order: int
) -> None:
    """400, and nothing that follows is taken for a request, whichever length it is a body by."""
    lengths = [f"Content-Length: {5 + len(HIDDEN)}", "Transfer-Encoding: chunked"][::order]
    with server(tmp_path, {}) as process:
        said = heard(process.ready(), post("/api/agent-start", *lengths), b"0\r\n\r\n", HIDDEN)

    head, _, text = said.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"connection: close" in head.lower()
    assert b'"two_lengths"' in text
    assert said.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize(
    ("length", "sent"),
    [("Content-Length: 2", b"{}"), ("Transfer-Encoding: chunked", b"2\r\n{}\r\n0\r\n\r\n")],
    ids=["length", "chunks"],
)
def test_a_body_with_one_length_leaves_it_open(tmp_path: Path, length: str, sent: bytes) -> None:
    """What comes next is answered on the same connection."""
    last = b"GET /api/health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
    with api_server(tmp_path, {}) as server:
        said = heard(
            server.ready(), post("/api/agent-start", "Content-Type: application/json", length), sent, last
        )

    assert said.count(b"HTTP/1.1 422 ") == said.count(b"HTTP/1.1 200 ") == 1


PATHS = [
    ("DELETE", "/api/keys/aaaaaaaaaaa%2Fa", 422, "invalid_request"),
    ("POST", "/api/vendors/v1%2Ffeedback", 405, "method_not_allowed"),
    ("POST", "/api/vendors/v1%2ffeedback", 405, "method_not_allowed"),
    ("PATCH", "/api/vendors/v1%2Fv2", 422, "invalid_request"),
    ("DELETE", "/api/vendors/v1%2Fv2", 422, "invalid_request"),
    ("POST", "/api/vendors/v1%2Fv2/feedback", 422, "invalid_request"),
    ("POST", "/api/vendors/v1%252Ffeedback", 405, "method_not_allowed"),
    ("GET", "/api%2Fruns", 404, "not_found"),
    ("GET", "/%2Fapi/runs", 404, "not_found"),
    ("GET", "%2Fapi%2Fruns", 404, "not_found"),
    ("GET", "/api/%72uns", 200, ""),
]
"""What is sent, and what comes of it; the last is a letter that need not have been encoded."""


@pytest.mark.parametrize(("method", "path", "status", "code"), PATHS)
async def test_an_encoded_slash_is_no_separator(method: str, path: str, status: int, code: str) -> None:
    """An id with one stays one segment, and no id; a rule of a proxy about a path holds for what the API does."""
    api = await an_api()

    answer = await api.http.request(method, f"http://127.0.0.1/{path.removeprefix('/')}")

    assert (answer.status_code, answer.json().get("code", "")) == (status, code), answer.text


def test_nor_on_a_server(tmp_path: Path) -> None:
    """uvicorn decodes it, as Vercel's runtime does, which brings a uvicorn of its own."""
    with api_server(tmp_path, {}) as server:
        url = server.ready()
        found = {
            path: heard(url, f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
            for method, path, _, _ in PATHS
            if path.startswith("/")
        }

    for _, path, status, code in PATHS:
        if path.startswith("/"):
            assert found[path].startswith(f"HTTP/1.1 {status} ".encode()), (path, found[path])
            assert code.encode() in found[path]


async def test_nor_in_what_vercel_finds() -> None:
    """It serves the app of the same file."""
    entry = entry_file(ROOT)
    assert entry is not None
    transport = httpx.ASGITransport(app=loaded(entry))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
        for method, path, status, code in PATHS:
            answer = await http.request(method, f"http://127.0.0.1/{path.removeprefix('/')}")
            assert (answer.status_code, answer.json().get("code", "")) == (status, code), answer.text


@pytest.mark.parametrize("kind", KINDS)
def test_nor_in_an_event_of_lambda(tmp_path: Path, kind: str) -> None:
    """Mangum decodes it too, and passes nothing on of what was sent."""
    events = [KINDS[kind](method, path, None, "") for method, path, _, _ in PATHS]

    answers = handled(tmp_path, *events)

    for answer, (_, path, status, code) in zip(answers, PATHS, strict=True):
        assert answer["statusCode"] == status, (path, answer)
        assert body(answer).get("code", "") == code
    assert TOKEN not in str(answers)
