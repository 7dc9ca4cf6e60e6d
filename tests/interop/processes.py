"""Peers as processes of their own: servers that print their address, buyers that are told what to buy."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from tests.x402.samples import KEY

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parents[1]
OFFICIAL_PYTHON: Final = ROOT / ".venv-peers/bin/python"
NODE_MODULES: Final = HERE / "node/node_modules"

OURS: Final = (sys.executable, "-m")
PYTHON: Final = (str(OFFICIAL_PYTHON),)
NODE: Final = ("node",)

_ADDRESS: Final = re.compile(r"http://127\.0\.0\.1:\d+")
_PATIENCE: Final = 20.0  # seconds that a peer gets to end by itself


def installed() -> bool:
    """Whether the official SDKs are there; `make interop` brings them."""
    return (ROOT / ".venv-peers/.installed").exists() and (NODE_MODULES / ".package-lock.json").exists()


def _environment() -> dict[str, str]:
    """Ours, without what would lead the official SDK to our package of the same name, or a peer to a proxy."""
    hidden = ("PYTHONPATH", "COV_", "COVERAGE_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    return kept | {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1", "PYTHONUNBUFFERED": "1"}


@contextmanager
def _running(*command: str) -> Iterator[tuple[subprocess.Popen[str], IO[str]]]:
    """A process and what it writes to stderr, until the block ends."""
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        try:
            yield process, errors
        finally:
            process.terminate()
            try:
                process.communicate(timeout=_PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()


@contextmanager
def server(*command: str) -> Iterator[str]:
    """The base URL of a server process, which takes a free port and prints its address."""
    with _running(*command) as (process, errors):
        assert process.stdout is not None
        line = process.stdout.readline()
        found = _ADDRESS.search(line)
        if found is None:
            errors.seek(0)
            raise RuntimeError(f"{' '.join(command)} did not start: {line}{errors.read()[-2000:]}")
        yield found.group()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one order: an answer, or the error that the buyer ended with."""

    status: int
    headers: Mapping[str, str]
    body: str
    error: str = ""


class Buyer:
    """An official client. One order at a time."""

    def __init__(self, process: subprocess.Popen[str], errors: IO[str]) -> None:
        self._process = process
        self._errors = errors

    async def buy(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: str | None = None,
        cap: bool = True,
        follow: bool = False,
    ) -> Outcome:
        """POST and pay if asked to. The test's own servers go on serving meanwhile."""
        order = {"method": "POST", "url": url, "headers": dict(headers or {}), "body": body, "key": KEY}
        line = await asyncio.to_thread(self._exchange, json.dumps(order | {"cap": cap, "follow": follow}))
        told = json.loads(line)
        if "error" in told:
            return Outcome(0, {}, "", told["error"])
        return Outcome(told["status"], told["headers"], told["body"])

    def _exchange(self, line: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            self._errors.seek(0)
            raise RuntimeError(f"the buyer ended: {self._errors.read()[-2000:]}")
        return answer


@contextmanager
def buyer(*command: str) -> Iterator[Buyer]:
    """An official client in a process of its own, until the block ends."""
    with _running(*command) as (process, errors):
        yield Buyer(process, errors)
