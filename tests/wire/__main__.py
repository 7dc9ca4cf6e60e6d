"""`python -m tests.wire`: the tests that want a server, on one of our own. Arguments are for pytest, not TESTS.

MONGODB_TEST_URI names another one. With PURSER_WIRE=required a test that is skipped is a failure: what CI says.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from scripts.serve.servers import ROOT
from tests.wire.given import HOW_TO_GET_ONE
from tests.wire.servers import DatabaseServer, find_server

OF_STORES = ("tests/agent/store", "tests/x402/selling/test_settlements.py")
TESTS = ("-n", "2", "--dist", "loadfile", "tests/wire", "tests/scale", *OF_STORES, "tests/e2e")


def main() -> int:
    """Exit code of pytest."""
    if "MONGODB_TEST_URI" in os.environ:
        return _pytest({})
    command = find_server()
    if command is None:
        sys.stdout.write(f"no MongoDB server: {HOW_TO_GET_ONE}\n")
        return _pytest({})
    with tempfile.TemporaryDirectory() as directory, DatabaseServer(command, Path(directory)) as server:
        sys.stdout.write(f"{command.name} at {server.uri}\n")
        sys.stdout.flush()
        return _pytest({"MONGODB_TEST_URI": server.uri})


def _pytest(added: dict[str, str]) -> int:
    command = [sys.executable, "-m", "pytest", "-p", "tests.wire.report", *(sys.argv[1:] or TESTS)]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, **added}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
