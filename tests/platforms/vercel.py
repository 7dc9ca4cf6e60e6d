"""What stands around a Python function at Vercel, played: its own runtime is started on what is shipped.

It tells over a socket where it serves; requests go there as the platform's proxy passes them on.
"""

from __future__ import annotations

import json
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import httpx

from scripts.serve.servers import end
from tests.platforms.shipped import PYTHON, environment, ship

__all__ = ["VercelFunction"]

HOST: Final = "purser-example.vercel.app"

PACKAGES: Final = ("agent", "api", "net", "vendors", "x402")
"""What is left of ours after `.vercelignore` and `excludeFiles`."""

START_SECONDS: Final = 30.0

_ENTRY: Final = {
    "__VC_HANDLER_MODULE_NAME": "api.index",
    "__VC_HANDLER_ENTRYPOINT": "api/index.py",
    "__VC_HANDLER_VENDOR_DIR": "_vendor",
    "__VC_HANDLER_VARIABLE_NAME": "app",
}
"""What the builder writes into the file that starts a function."""


class VercelFunction:
    """One instance of the function, with these variables. To be used in a `with` block."""

    def __init__(self, directory: Path, variables: dict[str, str]) -> None:
        """Nothing is started yet; `directory` is given the files that are shipped."""
        self._directory = directory
        self._variables = variables
        self._unread = b""

    def __enter__(self) -> Self:
        ship(PACKAGES, self._directory)
        with ExitStack() as undo:
            path = f"{undo.enter_context(tempfile.TemporaryDirectory())}/ipc"  # a socket's path must be short
            listening = undo.enter_context(socket.socket(socket.AF_UNIX))
            listening.bind(path)
            listening.listen()
            listening.settimeout(START_SECONDS)
            log = undo.enter_context((self._directory / "log").open("w"))
            process = subprocess.Popen(
                [PYTHON, "-c", "import vercel_runtime.vc_init"],
                cwd=self._directory,
                env={**self._environment(), "VERCEL_IPC_PATH": path},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
            )
            undo.callback(end, process)
            try:
                self._ipc = undo.enter_context(listening.accept()[0])
                self._ipc.settimeout(START_SECONDS)
                started = next(each for each in self.messages() if each["type"] == "server-started")
            except (TimeoutError, AssertionError) as exc:
                exc.add_note((self._directory / "log").read_text())
                raise
            address = f"http://127.0.0.1:{started['payload']['httpPort']}"
            headers = _forwarded()
            self.http = undo.enter_context(
                httpx.Client(base_url=address, headers=headers, trust_env=False, timeout=60)
            )
            self._undo = undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._undo.close()

    def messages(self) -> Iterator[dict[str, Any]]:
        """What the runtime tells the platform, as it comes."""
        while True:
            while b"\0" not in self._unread:
                more = self._ipc.recv(65_536)
                if not more:
                    raise AssertionError("the function ended by itself")
                self._unread += more
            message, _, self._unread = self._unread.partition(b"\0")
            yield json.loads(message)

    def _environment(self) -> dict[str, str]:
        entry = {**_ENTRY, "__VC_HANDLER_ENTRYPOINT_ABS": str(self._directory / "api/index.py")}
        return {**environment(self._variables), **entry}


def _forwarded() -> dict[str, str]:
    """What the proxy adds to each request."""
    return {
        "Host": HOST,
        "X-Forwarded-For": "203.0.113.7",
        "X-Forwarded-Host": HOST,
        "X-Forwarded-Proto": "https",
        "X-Vercel-Internal-Invocation-Id": "invocation-1",
        "X-Vercel-Internal-Request-Id": "1",
    }
