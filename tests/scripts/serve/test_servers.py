"""Servers of our own: up when they say so, gone afterwards, and clear about what went wrong."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from scripts.serve import servers
from scripts.serve.servers import ServerFailed, ServerProcess, check_free, clean, vendor_server

SERVE = """
import http.server, os, signal, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response_only({status})
        self.send_header("content-length", "0")
        self.end_headers()
server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
{before}
print(f"serving at http://127.0.0.1:{{server.server_address[1]}} now", flush=True)
server.serve_forever()
"""


def child(directory: Path, program: str, *, said: list[str] | None = None) -> ServerProcess:
    """A server that is this program."""
    (directory / "stand_in.py").write_text(program)
    echo = said.append if said is not None else None
    return ServerProcess("stand-in", ["stand_in"], "/", directory, clean({}), echo)


def gone(url: str) -> bool:
    """Nothing answers there."""
    try:
        httpx.get(url, trust_env=False)
    except httpx.TransportError:
        return True
    return False


def test_a_server_is_up_inside_its_block_and_gone_after_it(tmp_path: Path) -> None:
    """It picks its own port, and the address is known once it listens."""
    said: list[str] = []
    with child(tmp_path, SERVE.format(status=200, before=""), said=said) as server:
        url = server.ready()
        server.check()

        assert httpx.get(url, trust_env=False).status_code == 200
    assert gone(url)
    assert said == [f"serving at {url} now\n"]


def test_a_server_that_does_not_want_to_stop_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that ignores SIGTERM does not outlive its block."""
    monkeypatch.setattr(servers, "STOP_SECONDS", 0.1)
    stubborn = SERVE.format(status=200, before="signal.signal(signal.SIGTERM, signal.SIG_IGN)")
    with child(tmp_path, stubborn) as server:
        url = server.ready()
    assert gone(url)


def test_a_server_is_stopped_when_its_block_breaks(tmp_path: Path) -> None:
    """Ctrl-C leaves no process behind."""
    urls: list[str] = []

    def interrupted() -> None:
        with child(tmp_path, SERVE.format(status=200, before="")) as server:
            urls.append(server.ready())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert gone(urls[0])


def test_a_server_does_not_outlive_a_parent_that_is_killed(tmp_path: Path) -> None:
    """Nobody is left to stop it, so it stops by itself."""
    (tmp_path / "stand_in.py").write_text(SERVE.format(status=200, before=""))
    program = """
import pathlib, sys
from scripts.serve.servers import ServerProcess, clean
with ServerProcess("stand-in", ["stand_in"], "/", pathlib.Path.cwd(), clean({})) as server:
    print(server.ready(), flush=True)
    sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=clean({}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        url = parent.stdout.readline().strip()
        assert httpx.get(url, trust_env=False).status_code == 200
        parent.kill()
    until = time.monotonic() + 10
    while not gone(url):  # it ends a moment after its pipe
        assert time.monotonic() < until


def test_a_server_that_dies_early_is_an_error_with_its_last_words(tmp_path: Path) -> None:
    """The exit code and the last lines, not the first ones."""
    program = "import sys; print(*range(100), sep='\\n'); sys.exit('no such thing as a free port')"
    with child(tmp_path, program) as server, pytest.raises(ServerFailed) as error:
        server.ready()

    assert "the stand-in ended by itself with exit code 1" in str(error.value)
    assert str(error.value).endswith("no such thing as a free port")
    assert "\n99\n" in str(error.value)
    assert "\n1\n" not in str(error.value)


def test_a_server_that_dies_in_silence_is_an_error_too(tmp_path: Path) -> None:
    """There is always something to read."""
    with child(tmp_path, "") as server, pytest.raises(ServerFailed, match="it said nothing"):
        server.ready()


def test_a_server_that_does_not_come_up_is_an_error(tmp_path: Path) -> None:
    """Waiting has an end."""
    with (
        child(tmp_path, "import signal; signal.pause()") as server,
        pytest.raises(ServerFailed, match=r"does not answer after 0\.2 s"),
    ):
        server.ready(seconds=0.2)


def test_a_server_that_is_not_well_is_an_error_at_once(tmp_path: Path) -> None:
    """An answer that is not 200 says more than waiting for a better one."""
    with child(tmp_path, SERVE.format(status=503, before="")) as server, pytest.raises(ServerFailed, match="503"):
        server.ready()


def test_a_child_sees_none_of_the_users_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo cannot touch real money or data: neither the shell's settings nor a `.env` reach its servers."""
    monkeypatch.setenv("MONGODB_URI", "mongodb://real")
    monkeypatch.setenv("X402_PRIVATE_KEY", "11" * 32)
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy")
    environment = clean({"POLL_SECONDS": "1"})

    assert not {"MONGODB_URI", "X402_PRIVATE_KEY", "HTTPS_PROXY"} & environment.keys()
    assert (environment["POLL_SECONDS"], environment["PATH"]) == ("1", os.environ["PATH"])


def test_the_users_dotenv_is_not_read_by_a_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child runs in a directory of its own; what lies in the user's is not seen."""
    (tmp_path / "users").mkdir()
    (tmp_path / "users" / ".env").write_text("EPOCHS=not-a-number\n")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "users")
    with vendor_server(tmp_path / "empty", {}) as server:
        server.ready()
    with vendor_server(tmp_path / "users", {}) as server, pytest.raises(ServerFailed, match="EPOCHS"):
        server.ready()


def test_a_port_that_is_taken_is_named() -> None:
    """Before anything is started."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ServerFailed, match=f"port {port} cannot be used"):
            check_free(port)
    check_free(port)
