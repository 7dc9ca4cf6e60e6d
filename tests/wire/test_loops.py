"""Invocations in whatever loop the platform brings: none fails, and no connection is left over."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

import pytest

from scripts.serve.servers import ROOT, clean
from tests.wire.given import drop, fresh_name, needs_server, server_uri

pytestmark = [
    needs_server,
    pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="sockets are counted where Linux shows them"),
]

EVENTS: Final = 50
ONE_LOOP: Final = 8
"""Sockets of one loop at most: two to wake it, monitors and pool of the database, one to the vendor."""


class _Vendor(BaseHTTPRequestHandler):
    """Answers anything and keeps the connection open, as vendors do."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """An empty object."""
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def vendor() -> Iterator[str]:
    """The address of a vendor."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Vendor) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def invoked(way: str, vendor: str) -> tuple[list[int], int, str]:
    """Sockets before the first event and after each, those at last, and what the process complains of."""
    name = fresh_name()
    settings = {"MONGODB_URI": server_uri(), "MONGODB_DB_NAME": name, "API_TOKEN": "token-of-the-loops"}
    try:
        done = subprocess.run(
            [sys.executable, "-W", "default", "-m", "tests.wire.looping", way, str(EVENTS), vendor],
            cwd=ROOT,
            env=clean(settings),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    finally:
        drop(name)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    # a notice for each setting that is missing is no complaint
    complaints = [line for line in done.stderr.splitlines() if " is not set: " not in line]
    return found["during"], found["after"], "\n".join(complaints)


@pytest.mark.parametrize("way", ["in_a_new_loop", "in_a_new_thread", "in_two_threads"])
def test_a_loop_takes_its_connections_with_it(vendor: str, way: str) -> None:
    """After each invocation the process has as many sockets as before the first, and nobody warns of one."""
    during, after, complaints = invoked(way, vendor)

    assert set(during) == {during[0]}
    assert after == during[0]
    assert complaints == ""


def test_a_loop_that_stays_keeps_its_connections(vendor: str) -> None:
    """Warm invocations connect no more than the first, and the end of the loop closes what is there."""
    during, after, complaints = invoked("in_one_loop", vendor)

    assert 0 < during[1] - during[0] <= ONE_LOOP
    assert max(during[1:]) <= during[0] + ONE_LOOP
    assert after == during[0]
    assert complaints == ""


@pytest.mark.parametrize(("way", "loops"), [("in_a_loop_closed_rudely", 1), ("in_a_loop_that_is_left", 2)])
def test_what_a_loop_leaves_behind_is_closed_with_the_next(vendor: str, way: str, loops: int) -> None:
    """Where a loop had no chance to close anything, what is left never grows beyond what one or two loops have."""
    during, _, _ = invoked(way, vendor)

    assert max(during) <= during[0] + loops * ONE_LOOP
