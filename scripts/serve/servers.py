"""Servers of our own as child processes: started on free ports, waited for, and always stopped."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import httpx

__all__ = [
    "ROOT",
    "ServerFailed",
    "ServerProcess",
    "api_server",
    "check_free",
    "clean",
    "end",
    "hand_down",
    "vendor_server",
]

ROOT: Final = Path(__file__).resolve().parents[2]
"""The checkout."""

START_SECONDS: Final = 15.0
STOP_SECONDS: Final = 5.0
LOOK_SECONDS: Final = 0.05
HEALTH_SECONDS: Final = 2.0
LAST_LINES: Final = 30
"""Lines of a server's output that are kept for the day it fails."""

_KEPT: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT")
"""What a process needs of its surroundings to run at all. None of them is a setting of Purser."""

_SHORT: Final = 500
"""Characters of an answer that an error shows."""

_ADDRESS: Final = re.compile(r"http://127\.0\.0\.1:[0-9]+")


class ServerFailed(Exception):
    """A server of ours did not come up, or ended by itself. The message holds the last it said."""


def clean(settings: Mapping[str, str]) -> dict[str, str]:
    """An environment with these settings and none of the user's."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1", **settings}


class ServerProcess:
    """A child process that serves HTTP on 127.0.0.1. It lives for one `with` block.

    `environment` None means the user's own. `directory` is where it runs, and so where it would read a `.env`.
    `echo` is given each line that the server prints.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        health: str,
        directory: Path,
        environment: Mapping[str, str] | None,
        echo: Callable[[str], object] | None = None,
    ) -> None:
        """Nothing is started yet. `command` is a module and its arguments; `health` the path that answers 200."""
        self.name = name
        self.url = ""
        self._command = [sys.executable, "-m", "scripts.serve.child", *command]
        self._health = health
        self._directory = directory
        self._environment = environment
        self._echo = echo
        self._said: deque[str] = deque(maxlen=LAST_LINES)
        self._process: subprocess.Popen[str] | None = None
        self._reader = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Self:
        # In our own process group: Ctrl-C and a closing terminal reach it as well.
        self._process = subprocess.Popen(
            self._command,
            cwd=self._directory,
            env=self._environment,
            stdin=subprocess.PIPE,  # never written to: its end tells scripts.serve.child that we are gone
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
        )
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        end(self._running())
        self._reader.join()

    def ready(self, seconds: float = START_SECONDS) -> str:
        """Wait until it answers; its address.

        Raises:
            ServerFailed: it ended, is not well, or does not answer after `seconds`.
        """
        until = time.monotonic() + seconds
        while not self._healthy():
            self.check()
            if time.monotonic() >= until:
                raise self.failure(f"does not answer after {seconds:g} s")
            time.sleep(LOOK_SECONDS)
        return self.url

    def check(self) -> None:
        """It is still there.

        Raises:
            ServerFailed: it ended by itself.
        """
        code = self._running().poll()
        if code is not None:
            self._reader.join()
            raise self.failure(f"ended by itself with exit code {code}")

    def failure(self, what: str) -> ServerFailed:
        """An error about this server, with the last it said."""
        said = "\n".join(self._said) or "(it said nothing)"
        return ServerFailed(f"the {self.name} {what}. The last it said:\n{said}")

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None:
            raise AssertionError("unreachable: a server is used in a with block")
        return self._process

    def _healthy(self) -> bool:
        if not self.url:
            return False
        try:
            answer = httpx.get(self.url + self._health, timeout=HEALTH_SECONDS, trust_env=False)
        except httpx.HTTPError:
            return False
        if answer.status_code != httpx.codes.OK:
            raise self.failure(f"is up and not well: {answer.status_code} {answer.text[:_SHORT]}")
        return True

    def _read(self) -> None:
        """Keep the last lines, and find the address among the first: the port is only known once it is bound."""
        stream = self._running().stdout
        if stream is None:
            raise AssertionError("unreachable: stdout is a pipe")
        with stream:
            for line in stream:
                self._said.append(line.rstrip())
                if not self.url and (found := _ADDRESS.search(line)):
                    self.url = found[0]
                if self._echo is not None:
                    self._echo(line)


def end(process: subprocess.Popen[str]) -> None:
    """Stop a child: asked first, killed if it does not listen. It hears of it on its stdin too."""
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdin is not None:
        process.stdin.close()


def api_server(directory: Path, settings: Mapping[str, str]) -> ServerProcess:
    """The API on a free port and the embedded store, with these settings and none of the user's."""
    command = ["uvicorn", "api.index:app", "--host", "127.0.0.1", "--port", "0", "--no-access-log"]
    return ServerProcess("API", command, "/api/health", directory, clean(settings))


def vendor_server(directory: Path, settings: Mapping[str, str]) -> ServerProcess:
    """The mock vendors on a free port, with these settings and none of the user's."""
    command = ["gpu_vendor_mock", "--port", "0"]
    return ServerProcess("mock vendors", command, "/health", directory, clean(settings))


def hand_down(name: str, value: str) -> None:
    """Give a setting to the processes that this one starts with its own environment."""
    os.environ[name] = value


def check_free(port: int) -> None:
    """The port can be listened on.

    Raises:
        ServerFailed: something else does.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as exc:
            raise ServerFailed(f"port {port} cannot be used ({exc.strerror}): stop what listens there") from exc
