"""The strangers' environments, and talking to a script that runs in one: JSON, a line at a time.

The script is told what to do in its first line. It may ask (`{"ask": ...}`), and is answered in a line; what it
says last is `{"done": ...}`. It ends by itself or is killed after its time, and with it what it has started.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from net.strict_json import Json, JsonObject
from scripts.serve.servers import ROOT, clean
from tests.strangers.table import Result

__all__ = [
    "CONFORMANCE",
    "HARNESS",
    "HOSTILE",
    "OFFICIAL",
    "StrangerFailed",
    "ask",
    "missing",
    "results_in",
    "surroundings",
]

_ENVIRONMENTS: Final = ROOT / ".venv-strangers"
_THEIRS: Final = Path(__file__).parent / "theirs"

HOSTILE: Final = _ENVIRONMENTS / "hostile-facilitator/bin/python"
HARNESS: Final = _ENVIRONMENTS / "agent-security-harness/bin/python"
CONFORMANCE: Final = _ENVIRONMENTS / "x402-conformance/bin/python"
OFFICIAL: Final = ROOT / ".venv-peers/bin/python"
"""The official SDK's, which `make interop` and `make bench` have too."""


class StrangerFailed(Exception):
    """A stranger's script did not end as it should. The message holds the last it said."""


def missing() -> str | None:
    """Which environments are not there, or None."""
    absent = [path.parents[1].name for path in (HOSTILE, HARNESS, CONFORMANCE, OFFICIAL) if not path.exists()]
    return f"not installed: {', '.join(absent)}; make strangers installs them" if absent else None


def surroundings(**settings: str) -> dict[str, str]:
    """The environment of a process of ours or of theirs: nothing of the user's, and no proxy before loopback."""
    return clean({"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1", **settings})


def ask(
    python: Path,
    script: str,
    told: JsonObject,
    *,
    seconds: float,
    answer: Callable[[JsonObject], JsonObject] | None = None,
) -> JsonObject:
    """Run a script of `theirs/` and return what it was done with.

    Raises:
        StrangerFailed: it failed, did not end in time, or said something else.
    """
    with tempfile.TemporaryDirectory() as empty, tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            [str(python), "-I", str(_THEIRS / script)],
            cwd=empty,
            env=surroundings(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
        )
        late = threading.Timer(seconds, _kill, [process.pid])
        late.start()
        try:
            done = _conversation(process, told, answer)
            process.wait()
        finally:
            late.cancel()
            _kill(process.pid)
            process.communicate()
        if done is None or process.returncode != 0:
            errors.seek(0)
            told_last = errors.read()[-2000:] or "(it said nothing)"
            raise StrangerFailed(f"{script} ended with {process.returncode} within {seconds:g} s: {told_last}")
        return done


def _kill(group: int) -> None:
    """The script, the purchases that it lets us make, and their servers: all are of its session."""
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def _conversation(
    process: subprocess.Popen[bytes], told: JsonObject, answer: Callable[[JsonObject], JsonObject] | None
) -> JsonObject | None:
    assert process.stdin is not None
    assert process.stdout is not None
    said: JsonObject = told
    while True:
        try:
            process.stdin.write(json.dumps(said).encode() + b"\n")
            process.stdin.flush()
        except BrokenPipeError:
            return None
        line = process.stdout.readline()
        if not line:
            return None
        message: dict[str, Json] = json.loads(line)
        match message:
            case {"done": dict(done)}:
                return done
            case {"ask": dict(question)} if answer is not None:
                said = answer(question)
            case _:
                raise StrangerFailed(f"a stranger's script said something else: {line[:200]!r}")


def results_in(suite: str, done: JsonObject) -> list[Result]:
    """The results that a script was done with: check, outcome and detail each.

    Raises:
        StrangerFailed: they have another shape.
    """
    match done:
        case {"results": list(rows)}:
            return [_result(suite, row) for row in rows]
    raise StrangerFailed(f"{suite}: the script was done without results")


def _result(suite: str, row: Json) -> Result:
    match row:
        case [str(check), str(outcome), str(detail)]:
            return Result(suite, check, outcome, detail)
    raise StrangerFailed(f"{suite}: a result of another shape: {row!r}")
