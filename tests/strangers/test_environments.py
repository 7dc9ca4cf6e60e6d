"""Talking to a stranger's script: it is told, asks, is answered, and ends or is ended."""

from __future__ import annotations

import socket
import sys
import threading
from pathlib import Path

import pytest

from net.strict_json import JsonObject
from tests.strangers.__main__ import Overdue, within
from tests.strangers.environments import StrangerFailed, ask, results_in
from tests.strangers.table import Result

HERE = Path(__file__).parent
OURS = Path(sys.executable)
BEGIN = "import json, sys, time\ntold = json.loads(sys.stdin.readline())\n"


def script(directory: Path, body: str) -> str:
    path = directory / "script.py"
    path.write_text(BEGIN + body)
    return str(path)


def test_a_script_is_told_asks_and_is_done(tmp_path: Path) -> None:
    """A line each; in an environment without the user's."""
    body = """
print(json.dumps({"ask": {"double": told["number"]}}), flush=True)
print(json.dumps({"done": {"answer": json.loads(sys.stdin.readline())["is"]}}))
"""

    def double(question: JsonObject) -> JsonObject:
        assert question == {"double": 21}
        return {"is": 42}

    assert ask(OURS, script(tmp_path, body), {"number": 21}, seconds=20, answer=double) == {"answer": 42}


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("sys.exit('no chain here')", "ended with 1 within 20 s: no chain here"),
        ("", "ended with 0 within 20 s: .it said nothing"),
        ("print('{\"ask\": {}}', flush=True); time.sleep(60)", "said something else"),
        ("print('{\"done\": {}}', flush=True); sys.exit(3)", "ended with 3"),
    ],
)
def test_a_script_that_does_not_do_as_it_should_is_named(tmp_path: Path, body: str, why: str) -> None:
    """With the last that it said."""
    with pytest.raises(StrangerFailed, match=why):
        ask(OURS, script(tmp_path, body), {}, seconds=20)


def test_a_script_that_does_not_end_is_ended(tmp_path: Path) -> None:
    """After its time, and not after a minute."""
    with pytest.raises(StrangerFailed, match=r"ended with -9 within 0\.5 s"):
        ask(OURS, script(tmp_path, "time.sleep(60)"), {}, seconds=0.5)


def test_what_a_script_has_started_ends_with_it(tmp_path: Path) -> None:
    """A purchase would go on for a minute, and its servers with it."""
    body = """
import subprocess
child = "import socket, sys, time; s = socket.create_connection(('127.0.0.1', int(sys.argv[1]))); time.sleep(60)"
subprocess.Popen([sys.executable, "-c", child, str(told["port"])], stdout=subprocess.DEVNULL)
print(json.dumps({"ask": {}}), flush=True)
sys.stdin.readline()
print(json.dumps({"done": {}}), flush=True)
"""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(20)
        children: list[socket.socket] = []

        def answer(_question: JsonObject) -> JsonObject:
            children.append(listening.accept()[0])
            return {}

        ask(OURS, script(tmp_path, body), {"port": listening.getsockname()[1]}, seconds=20, answer=answer)
        with children[0] as child:
            child.settimeout(10)
            assert child.recv(1) == b""


def test_results_of_another_shape_are_refused() -> None:
    """A suite without results has not passed."""
    assert results_in("s", {"results": [["c", "pass", ""]]}) == [Result("s", "c", "pass")]
    others: list[JsonObject] = [{}, {"results": [["c", "pass"]]}, {"results": [["c", 1, ""]]}]
    for done in others:
        with pytest.raises(StrangerFailed):
            results_in("s", done)


def test_a_suite_that_waits_for_ever_is_broken_off() -> None:
    """Whatever it waits for."""
    with pytest.raises(Overdue, match=r"not done after 0\.05 s"), within(0.05):
        threading.Event().wait(60)


def test_each_environment_is_pinned_with_hashes() -> None:
    """Each package that is installed beside a stranger's, to the byte."""
    names = sorted(path.stem for path in (HERE / "requirements").glob("*.in"))
    assert names == ["agent-security-harness", "hostile-facilitator", "x402-conformance"]
    for name in names:
        text = (HERE / "requirements" / f"{name}.txt").read_text()
        assert (HERE / "requirements" / f"{name}.in").read_text().strip() in text
        lines = text.replace("\\\n", " ").splitlines()
        packages = [line for line in lines if not line.lstrip().startswith("#")]
        assert packages
        assert all("==" in package and "--hash=sha256:" in package for package in packages)
