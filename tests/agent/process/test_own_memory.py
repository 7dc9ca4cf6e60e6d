"""Nobody but root looks into a process that has read the settings: the wallet's key is among them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from scripts.serve.servers import ROOT, clean
from tests.agent.stage import KEY

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the flag is Linux's")

TELLING: Final = """
import atexit, ctypes, resource, runpy, sys
PR_GET_DUMPABLE = 3
dumpable = lambda: ctypes.CDLL(None).prctl(PR_GET_DUMPABLE, 0, 0, 0, 0)
resource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2)
before = dumpable()
atexit.register(lambda: print("dumpable", before, dumpable(), "core", resource.getrlimit(resource.RLIMIT_CORE)[0]))
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""
"""Runs a module, and tells at its end whether it can be looked into."""

CLOSED: Final = "dumpable 1 0 core 0"
OPEN: Final = "dumpable 1 1 "


def said(directory: Path, *command: str, **settings: str) -> str:
    """The last line of a process that runs this command, with these settings."""
    done = subprocess.run(
        [sys.executable, "-c", TELLING, *command],
        cwd=directory,
        env=clean(settings),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    "command",
    [
        ("wallet", "address"),
        ("wallet", "import"),
        ("pay", "GET", "http://127.0.0.1:9/", "--max-usd", "1"),
        ("worker",),
        ("serve", "--host", "no.such.host.invalid"),
        ("init",),
    ],
    ids=" ".join,
)
def test_a_command_with_the_key_is_closed(tmp_path: Path, command: tuple[str, ...]) -> None:
    """Whatever becomes of it; before the settings are read it is as open as any."""
    assert said(tmp_path, "scripts.cli", *command, X402_PRIVATE_KEY=KEY) == CLOSED


def test_the_app_is_closed_with_its_first_look_at_the_settings(tmp_path: Path) -> None:
    """As `uvicorn api.index:app` has it, without `purser serve`. A function is not: its machine is its own."""
    (tmp_path / "asked.py").write_text("from api.index import app\napp.state.context.settings\n")
    settings = {"X402_PRIVATE_KEY": KEY, "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    needed = {name: f"mongodb://{name}.invalid" for name in ("MONGODB_URI", "API_TOKEN", "CRON_SECRET")}

    assert said(tmp_path, "asked", **settings) == CLOSED
    on_platform = said(
        tmp_path, "asked", **settings, **needed, GPU_VENDOR_SECRET="agreed-with-them", AWS_LAMBDA_FUNCTION_NAME="f"
    )
    assert on_platform.startswith(OPEN)


def test_a_command_that_only_asks_a_server_does_not_wait_for_it(tmp_path: Path) -> None:
    """`status` reads no settings, and has no key."""
    assert said(tmp_path, "scripts.cli", "status", "a" * 24).startswith(OPEN)
