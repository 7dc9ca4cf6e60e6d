"""A MongoDB server of our own: found or fetched, started on a free port with data of its own, always stopped.

`mongod` where there is one, else mongo-java-server (`server/`) with Java and Maven. FerretDB 1 is not taken: it
grants one lease to many clients at once (docs/decisions/0008-server-for-tests.md).
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Final, Self

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from scripts.serve.servers import ROOT

__all__ = ["DatabaseServer", "Served", "ServerCommand", "ServerMissing", "find_server", "served"]

START_SECONDS: Final = 30.0
STOP_SECONDS: Final = 10.0
FETCH_SECONDS: Final = 300.0
LOOK_SECONDS: Final = 0.1

_HERE: Final = Path(__file__).parent / "server"
_CACHE: Final = ROOT / ".cache" / "wire-server"


@dataclass(frozen=True, slots=True)
class ServerCommand:
    """How to start a server: `line` makes the command from a port of 127.0.0.1 and a directory for its data."""

    name: str
    line: Callable[[int, Path], Sequence[str]]


class ServerMissing(Exception):
    """The server could not be fetched, or did not come up. The message says what was tried."""


def find_server() -> ServerCommand | None:
    """How to start a server here, fetching it if need be; None where nothing can be had.

    Raises:
        ServerMissing: Maven is here and could not fetch the jars.
    """
    if shutil.which("mongod"):
        return ServerCommand("mongod", _mongod)
    if shutil.which("java") is None:
        return None
    if not _jars().is_dir():
        if shutil.which("mvn") is None:
            return None
        _fetch(_jars())
    return ServerCommand("mongo-java-server", _java)


class DatabaseServer:
    """A server process for one `with` block. Its port and its data stay the same through `kill` and `start`."""

    def __init__(self, command: ServerCommand, directory: Path) -> None:
        """Nothing is started yet. `directory` is empty or holds what an earlier server left."""
        self._port = _free_port()
        self._command = [*command.line(self._port, directory)]
        self._log = directory / "server.log"
        self._process: subprocess.Popen[bytes] | None = None
        self.uri = f"mongodb://127.0.0.1:{self._port}/"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is None:
            return
        self.thaw()
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def start(self) -> None:
        """Start it and wait until it answers.

        Raises:
            ServerMissing: it does not.
        """
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )
        until = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() >= until:
                self.kill()
                raise ServerMissing(f"{self._command[0]} did not come up:\n{self._log.read_text()[-2_000:]}")
            time.sleep(LOOK_SECONDS)

    def kill(self) -> None:
        """End it with SIGKILL: what was acknowledged must be in its files."""
        self._running().kill()
        self._running().wait()

    def freeze(self) -> None:
        """Stop its process where it stands: connections stay open and nothing answers."""
        self._running().send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen process go on."""
        self._running().send_signal(signal.SIGCONT)

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise AssertionError("unreachable: a server is used in a with block")
        return self._process

    def _answers(self) -> bool:
        with MongoClient[dict[str, object]](self.uri, serverSelectionTimeoutMS=500) as client:
            try:
                client.admin.command("ping")
            except PyMongoError:
                return False
            return True


@dataclass(frozen=True, slots=True)
class Served:
    """A server that answers at `uri`; `name` says what it is."""

    name: str
    uri: str


@contextmanager
def served(changed: Callable[[list[str]], list[str]]) -> Iterator[Served | None]:
    """The server that MONGODB_TEST_URI names, or else one of our own; None where nothing can be had.

    `changed` fits the command line of mongo-java-server to what it is to be used for.
    """
    if uri := os.environ.get("MONGODB_TEST_URI"):
        yield Served("the server of MONGODB_TEST_URI", uri)
        return
    command = find_server()
    if command is None:
        yield None
        return

    def line(port: int, directory: Path) -> list[str]:
        words = [*command.line(port, directory)]
        return words if command.name == "mongod" else changed(words)

    fitted = ServerCommand(command.name, line)
    with TemporaryDirectory() as directory, DatabaseServer(fitted, Path(directory)) as server:
        yield Served(command.name, server.uri)


def _mongod(port: int, directory: Path) -> Sequence[str]:
    where = ("--bind_ip", "127.0.0.1", "--port", str(port), "--dbpath", str(directory))
    return ("mongod", *where, "--nounixsocket", "--quiet")


def _java(port: int, directory: Path) -> Sequence[str]:
    # Quick to start rather than quick in the long run: two cores are shared with all that is tested.
    flags = ("-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", f"{_jars()}/*")
    return ("java", *flags, str(_HERE / "WireServer.java"), "127.0.0.1", str(port), str(directory / "purser.mv"))


def _jars() -> Path:
    """Where the jars of this pom.xml are, once they are fetched."""
    return _CACHE / hashlib.sha256((_HERE / "pom.xml").read_bytes()).hexdigest()[:16]


def _fetch(jars: Path) -> None:
    """Let Maven copy the jars; they appear under their name all at once or not at all."""
    coming = jars.with_name(f"{jars.name}.part")
    shutil.rmtree(coming, ignore_errors=True)
    command = ["mvn", "-q", "-B", "-C", "-f", str(_HERE / "pom.xml"), "dependency:copy-dependencies"]
    done = subprocess.run(
        [*command, f"-DoutputDirectory={coming}"], capture_output=True, text=True, timeout=FETCH_SECONDS
    )
    if done.returncode != 0:
        raise ServerMissing(f"Maven could not fetch mongo-java-server:\n{done.stdout[-2_000:]}")
    coming.rename(jars)


def _free_port() -> int:
    """One that was free a moment ago: MongoDB servers cannot be told to pick one and say which."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
