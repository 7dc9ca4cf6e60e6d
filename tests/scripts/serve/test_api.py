"""`purser serve`: serves this machine without a token, and does not start anywhere else without one."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from scripts.client.api import Client
from scripts.exits import Exit
from scripts.serve.servers import ROOT, clean


@contextmanager
def serving(
    directory: Path,
    *arguments: str,
    form: Sequence[str] = ("--json",),
    program: Sequence[str] = ("-m", "scripts.cli"),
    **settings: str,
) -> Iterator[subprocess.Popen[str]]:
    """`purser serve` as a process; killed if it does not end by itself."""
    with subprocess.Popen(
        [sys.executable, *program, "serve", *form, *arguments],
        cwd=directory,
        env=clean(settings) | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()
            process.communicate()


def refused(directory: Path, *arguments: str, **settings: str) -> str:
    """What it says when it does not start."""
    with serving(directory, *arguments, **settings) as process:
        out, errors = process.communicate(timeout=30)
    assert (process.returncode, out) == (Exit.SETUP, "")
    detail: str = json.loads(errors.splitlines()[-1])["detail"]
    return detail


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.0.0.2"])
def test_this_machine_is_served_without_a_token(tmp_path: Path, host: str) -> None:
    """It says where, once it listens, and ends when it is told to."""
    with serving(tmp_path, "--host", host, "--port", "0") as process:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        with Client(url) as client:
            assert client.health() == "embedded"
            assert client.runs(None, None, 1, None).value.runs == ()
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)


def test_whoever_never_ends_a_request_does_not_hold_it(tmp_path: Path) -> None:
    """When it is told to stop, what is under way has its time, and no more."""
    impatient = "from scripts import serve; serve.GRACE_SECONDS = 1; import scripts.cli.__main__"
    with serving(tmp_path, "--port", "0", program=("-c", impatient)) as process:
        assert process.stdout is not None
        url = httpx.URL(json.loads(process.stdout.readline())["url"])
        with socket.create_connection((url.host, url.port or 0)) as half:
            head = ("POST /api/agent-start HTTP/1.1", "Host: localhost", "Content-Type: application/json")
            half.sendall("\r\n".join([*head, "Content-Length: 100", "", "{"]).encode())
            with Client(str(url)) as client:
                client.health()  # it has been read by now
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=30)


@pytest.mark.parametrize("host", ["0.0.0.0", "0", "::"])
def test_no_other_address_is_served_without_a_token(tmp_path: Path, host: str) -> None:
    """By any of its names; the message says what to set."""
    if host == "::" and not socket.has_dualstack_ipv6():
        pytest.skip("skipped: this machine has no IPv6")
    detail = refused(tmp_path, "--host", host, "--port", "0")

    assert detail.startswith("API_TOKEN is not set")
    assert "127.0.0.1" in detail


def test_with_a_token_every_address_is_served(tmp_path: Path) -> None:
    """To whoever has it."""
    with serving(tmp_path, "--host", "0.0.0.0", "--port", "0", API_TOKEN="token-of-the-operator") as process:
        assert process.stdout is not None
        port = json.loads(process.stdout.readline())["url"].rpartition(":")[2]
        url = f"http://127.0.0.1:{port}/api/runs"
        transport = httpx.HTTPTransport(retries=5)
        with httpx.Client(transport=transport, timeout=30) as http:
            assert http.get(url).status_code == 401
            assert http.get(url, headers={"Authorization": "Bearer token-of-the-operator"}).status_code == 200


def test_its_log_is_json_and_holds_no_secret(tmp_path: Path) -> None:
    """Each line of both streams, requests too, and it does not watch for changes."""
    token = "purser-t0ken-that-nobody-may-see"
    with serving(tmp_path, "--port", "0", API_TOKEN=token) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        headers = {"Authorization": f"Bearer {token}"}
        url = f"{json.loads(first)['url']}/api/runs"
        with httpx.Client(transport=httpx.HTTPTransport(retries=5), headers=headers, timeout=30) as http:
            assert http.get(url, params={"userId": token}).status_code == 200
            assert http.get(f"{url}/{token}").status_code == 404
        process.send_signal(signal.SIGTERM)
        out, errors = process.communicate(timeout=30)

    lines = [json.loads(line) for line in [*out.splitlines(), *errors.splitlines()]]
    assert {200, 404} <= {line.get("status") for line in lines}
    assert token not in first + out + errors
    assert "reload" not in errors


@pytest.mark.parametrize("settings", [{}, {"API_TOKEN": "token-of-the-operator"}])
def test_people_are_told_of_a_page_that_is_there(tmp_path: Path, settings: dict[str, str]) -> None:
    """With a token and without: nothing is typed into it."""
    with serving(tmp_path, "--port", "0", form=(), **settings) as process:
        assert process.stdout is not None
        url = process.stdout.readline().partition("described at ")[2].rstrip(")\n")
        with httpx.Client(transport=httpx.HTTPTransport(retries=5), timeout=30) as http:
            assert (url.endswith("/docs"), http.get(url).status_code) == (True, 200)


def test_what_is_missing_or_taken_is_said_at_once(tmp_path: Path) -> None:
    """A setting, an address of another machine, a port."""
    key = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
    missing = refused(tmp_path, "--port", "0", X402_PRIVATE_KEY=key)
    assert missing == "not set: API_TOKEN; set what is named in the environment or in .env"
    assert "no address of this machine" in refused(tmp_path, "--host", "no.such.host.invalid")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert f"port {port} cannot be used" in refused(tmp_path, "--port", port)
