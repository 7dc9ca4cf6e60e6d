"""The demo, on real servers."""

from __future__ import annotations

import io
import json
import re
import signal
import subprocess
import sys
import threading
import time

import httpx
import pytest
from rich.console import Console

from scripts.demo import run as demo
from scripts.demo.run import exit_code, run_demo
from scripts.exits import Exit
from scripts.serve.servers import ROOT, ServerFailed, clean

COMMAND = [sys.executable, "-m", "scripts.cli", "demo"]

TRAPS = {
    "MONGODB_URI": "mongodb://127.0.0.1:1",
    "PLANNER_MODE": "fireworks",
    "X402_NETWORKS": "",
    "API_TOKEN": "token-of-the-operator",
}
"""What a user's shell may hold. The demo must not see it."""


def gone(url: str) -> bool:
    """Nothing answers there."""
    try:
        httpx.get(url, trust_env=False)
    except httpx.ConnectError:
        return True
    return False


def addresses(text: str) -> list[str]:
    """Where the demo's servers were."""
    return re.findall(r"http://127\.0\.0\.1:\d+", text)[:2]


def test_the_demo_shows_a_whole_run_in_time(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Every part of the story is in the output, in order, as plain lines; nothing is left running."""
    began = time.monotonic()
    done = subprocess.run(
        COMMAND, cwd=ROOT, env=clean(TRAPS), capture_output=True, text=True, timeout=60, check=False
    )
    took = time.monotonic() - began

    assert (done.returncode, done.stderr) == (Exit.OK, "")
    assert took < 30
    assert "\x1b" not in done.stdout
    story = [
        r"plan  start a job at gpu_vendor_1 for 1 h  \(stub\)\n +\S.*lowest expected cost",
        r"quote  gpu_vendor_1 quotes 1\.4 USD",
        r"payment  paid 1\.4 USD to gpu_vendor_1\n +transaction 0x[0-9a-f]{64}",
        r"\[#+\.+\] +40 %  gpu_vendor_1  epoch 2/5  loss \d\.\d+",
        r"failure  Job at gpu_vendor_1 failed",
        r"switch  from gpu_vendor_1 to gpu_vendor_2",
        r"payment  paid 1\.8 USD to gpu_vendor_2\n +transaction 0x[0-9a-f]{64}",
        r"100 %  gpu_vendor_2  epoch 5/5  loss \d\.\d+  completed",
        r"end  Run completed",
        r"\nAudit trail\n    1  \d\d:\d\d:\d\d  run_started",
        r"\nBooks\n",
        r"gpu_vendor_1 +- 1\.4 USD  completed  0x[0-9a-f]{64}",
        r"gpu_vendor_2 +- 1\.8 USD  completed  0x[0-9a-f]{64}",
        r"total 5 USD = remaining 1\.8 USD \+ spent 3\.2 USD\n",
        r"Audit of run [0-9a-f]{24}: verified \(\d+ observations",
    ]
    assert re.search(".*".join(story), done.stdout, re.DOTALL), done.stdout
    assert [gone(url) for url in addresses(done.stdout)] == [True, True]


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The same demo with jobs that train in no time."""
    monkeypatch.setattr(demo, "VENDOR_SETTINGS", {**demo.VENDOR_SETTINGS, "EPOCH_SECONDS": "0.01"})
    monkeypatch.setattr(demo, "API_SETTINGS", {**demo.API_SETTINGS, "POLL_SECONDS": "0.05"})
    return monkeypatch


def screen() -> Console:
    """A console that nobody sees."""
    return Console(file=io.StringIO(), width=120)


def test_the_demo_can_be_quiet(fast: pytest.MonkeyPatch) -> None:
    """For --json: no line on the console, the outcome as data."""
    console = screen()
    outcome = run_demo(console, quiet=True)
    told = json.loads(json.dumps(outcome.as_json()))

    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue() == ""
    assert (told["status"], told["budgetSpent"], told["booksBalance"]) == ("completed", 3.2, True)
    assert told["audit"]["verified"] is True


def test_a_run_that_fails_fails_the_demo(fast: pytest.MonkeyPatch) -> None:
    """Balanced books are not enough."""
    fast.setattr(demo, "VENDOR_SETTINGS", {**demo.VENDOR_SETTINGS, "FAIL_RATE": "1"})
    outcome = run_demo(screen())

    assert (outcome.status.run.status, outcome.books.faults, outcome.vendor_faults) == ("failed", (), ())
    assert exit_code(outcome) is Exit.FAILED


def test_books_that_differ_from_the_vendors_fail_the_demo(fast: pytest.MonkeyPatch) -> None:
    """The vendors' own journal is asked, not only our records."""
    fast.setattr(demo, "_settlements", lambda vendors: ())
    console = screen()
    outcome = run_demo(console)

    assert len(outcome.vendor_faults) == 2
    assert exit_code(outcome) is Exit.FAILED
    assert isinstance(console.file, io.StringIO)
    assert "WRONG: gpu_vendor_1 knows nothing of a payment of 1.4" in console.file.getvalue()


def test_a_demo_that_does_not_end_is_ended(fast: pytest.MonkeyPatch) -> None:
    """A demo never hangs."""
    fast.setattr(demo, "RUN_SECONDS", 0.0)

    with pytest.raises(ServerFailed, match="has not ended"):
        run_demo(screen(), quiet=True)


@pytest.mark.parametrize(
    ("name", "settings"), [("API_SETTINGS", {"POLL_SECONDS": "often"}), ("VENDOR_SETTINGS", {"EPOCHS": "many"})]
)
def test_a_server_that_does_not_come_up_is_named(
    fast: pytest.MonkeyPatch, name: str, settings: dict[str, str]
) -> None:
    """With its last words, and soon."""
    fast.setattr(demo, name, settings)

    with pytest.raises(ServerFailed, match=next(iter(settings))):
        run_demo(screen(), quiet=True)


def _hear_all() -> None:
    # a shell lets what it puts into the background ignore Ctrl-C, and children inherit that
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_demo_that_is_stopped_takes_its_servers_along(number: signal.Signals) -> None:
    """Ctrl-C, kill, or a closed terminal: exit 130, no traceback, no process left behind."""
    with subprocess.Popen(
        COMMAND,
        cwd=ROOT,
        env=clean({}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_hear_all,
    ) as process:
        watchdog = threading.Timer(60, process.kill)
        watchdog.start()
        assert process.stdout is not None
        assert process.stderr is not None
        said = ""
        while "Run started" not in said:
            line = process.stdout.readline()
            assert line, process.stderr.read()
            said += line
        process.send_signal(number)
        _, errors = process.communicate()
        watchdog.cancel()

    assert (process.returncode, errors) == (Exit.INTERRUPTED, "")
    assert [gone(url) for url in addresses(said)] == [True, True]
