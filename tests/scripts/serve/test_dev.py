"""`purser dev`, in a copy of the checkout whose files may be changed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from scripts.client.api import Client
from scripts.client.registry import list_vendors, remove_vendor
from scripts.exits import Exit
from scripts.serve.servers import ROOT, clean

PACKAGES = ("api", "agent", "vendors", "x402", "net", "gpu_vendor_mock", "scripts")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A checkout with a blank in its name."""
    root = tmp_path / "a check out"
    for name in PACKAGES:
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    return root


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def dev(root: Path, *arguments: str, **settings: str) -> Iterator[subprocess.Popen[str]]:
    """`purser dev` in that checkout; killed with all its children if it does not end by itself."""
    command = [sys.executable, "-m", "scripts.cli", "dev", *arguments]
    environment = clean(settings) | {"PYTHONPATH": str(root)}
    with subprocess.Popen(
        command,
        cwd=root,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        watchdog = threading.Timer(60, os.killpg, (process.pid, signal.SIGKILL))
        watchdog.start()
        try:
            yield process
        finally:
            process.terminate()
            process.communicate()
            watchdog.cancel()


def line(process: subprocess.Popen[str]) -> str:
    """The next line of its stdout."""
    assert process.stdout is not None
    return process.stdout.readline()


def vendor_ids(url: str) -> list[str]:
    """Who is registered there."""
    with Client(url) as client:
        return [each.vendor_id for each in list_vendors(client).value.vendors]


def test_dev_serves_seeds_reloads_and_stops(copy: Path) -> None:
    """API and vendors are up, a change of the code restarts the API, and its new store has the vendors again."""
    ports = [str(free_port()), str(free_port())]
    with dev(copy, "--port", ports[0], "--vendor-port", ports[1], "--json") as process:
        first = json.loads(line(process))
        assert first == {"url": f"http://127.0.0.1:{ports[0]}", "vendorsUrl": f"http://127.0.0.1:{ports[1]}"}
        assert vendor_ids(first["url"]) == ["gpu_vendor_1", "gpu_vendor_2"]

        with Client(first["url"]) as client:
            remove_vendor(client, "gpu_vendor_1")
        with (copy / "api" / "index.py").open("a") as module:
            module.write("\napp.title = 'Purser, edited'\n")
        assert json.loads(line(process)) == first
        assert vendor_ids(first["url"]) == ["gpu_vendor_1", "gpu_vendor_2"]

        process.send_signal(signal.SIGINT)
        assert process.wait() == Exit.OK
    for port in ports:
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", int(port))) != 0


def test_dev_says_what_it_makes_do_with(copy: Path) -> None:
    """The notices of the settings, and then the addresses."""
    ports = [str(free_port()), str(free_port())]
    with dev(copy, "--port", ports[0], "--vendor-port", ports[1]) as process:
        said = [line(process)]
        while said[-1] and not said[-1].startswith("API at "):
            said.append(line(process))
        process.terminate()
        assert process.stderr is not None
        log = process.stderr.read()

    events = [json.loads(text)["event"] for text in log.splitlines() if text.startswith("{")]
    notices = [event.split()[0] for event in events if " is not set: " in event]
    assert notices == ["MONGODB_URI", "X402_PRIVATE_KEY", "GPU_VENDOR_SECRET", "API_TOKEN"]
    assert f"http://127.0.0.1:{ports[0]}/docs" in said[-1]


@pytest.mark.parametrize("taken", ["--port", "--vendor-port"])
def test_a_port_that_is_taken_is_said_at_once(copy: Path, taken: str) -> None:
    """Exit 7, with the port's number."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        other = "--vendor-port" if taken == "--port" else "--port"
        with dev(copy, taken, port, other, str(free_port()), "--json") as process:
            out, errors = process.communicate()

    assert (process.returncode, out) == (Exit.SETUP, "")
    assert f"port {port} cannot be used" in json.loads(errors)["detail"]


def test_a_setting_that_is_missing_is_said_at_once(copy: Path) -> None:
    """Exit 7, before anything is served."""
    with dev(copy, "--json", PLANNER_MODE="fireworks") as process:
        _, errors = process.communicate()

    assert process.returncode == Exit.SETUP
    assert "FIREWORKS_API_KEY" in json.loads(errors)["detail"]


def test_dev_seeds_its_vendors_whatever_wallet_pays(copy: Path) -> None:
    """A wallet rules vendors on this machine out; here they are what the command is for."""
    ports = [str(free_port()), str(free_port())]
    wallet = {"X402_PRIVATE_KEY": "11" * 32, "API_TOKEN": "token-of-the-operator"}
    with dev(copy, "--port", ports[0], "--vendor-port", ports[1], "--json", **wallet) as process:
        assert line(process)
        with Client(f"http://127.0.0.1:{ports[0]}", "token-of-the-operator") as client:
            seeded = list_vendors(client).value.vendors
            assert [each.vendor_id for each in seeded] == ["gpu_vendor_1", "gpu_vendor_2"]
