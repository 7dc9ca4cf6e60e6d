"""What stands around a Python function at AWS, played: its own runtime client is started on what is shipped.

It asks the Runtime API for one event after another and posts what became of each (docs: Lambda runtime API,
2018-06-01).
"""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from types import TracebackType
from typing import Any, Final, Self

from pydantic import JsonValue

from scripts.build.shipped_size import OURS
from scripts.serve.servers import end
from tests.platforms.shipped import PYTHON, environment, ship

__all__ = ["Invocation", "LambdaFunction"]

HANDLER: Final = "scripts.serve.lambda_handler.handler"
TIMEOUT: Final = 60.0
"""Seconds that an invocation may take: the template's Timeout."""

_API: Final = "/2018-06-01/runtime"
_ARN: Final = "arn:aws:lambda:eu-central-1:123456789012:function:purser"
_OF_LAMBDA: Final = {
    "AWS_LAMBDA_FUNCTION_NAME": "purser",
    "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024",
    "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/purser",
    "AWS_LAMBDA_LOG_STREAM_NAME": "a-stream",
    "AWS_REGION": "eu-central-1",
}


class Invocation:
    """What became of an event: `failed` is what Lambda counts and tries again, `body` what the function said."""

    def __init__(self, kind: str, text: bytes) -> None:
        """`kind` is the last part of the path it was posted to: response or error."""
        self.failed = kind == "error"
        self.body: Any = json.loads(text)


class _RuntimeApi(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    events: Queue[str | None]
    done: Queue[Invocation]

    def do_GET(self) -> None:
        """Hand out the next event, when there is one."""
        event = self.events.get()
        if event is None:
            self.close_connection = True
            return
        content = event.encode()
        self.send_response(200)
        self.send_header("Lambda-Runtime-Aws-Request-Id", "8476a536-e9f4-11e8-9739-2dfe598c3fcd")
        self.send_header("Lambda-Runtime-Deadline-Ms", str(int((time.time() + TIMEOUT) * 1_000)))
        self.send_header("Lambda-Runtime-Invoked-Function-Arn", _ARN)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_POST(self) -> None:
        """Take what became of it."""
        text = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(202)
        self.send_header("Content-Length", "0")
        self.end_headers()
        self.done.put(Invocation(self.path.rpartition("/")[2], text))

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class LambdaFunction:
    """One instance of the function, with these variables. To be used in a `with` block."""

    def __init__(self, directory: Path, variables: Mapping[str, str]) -> None:
        """Nothing is started yet; `directory` is given the files that are shipped."""
        self._directory = directory
        self._variables = {**_OF_LAMBDA, **variables}
        self._events: Queue[str | None] = Queue()
        self._done: Queue[Invocation] = Queue()

    def __enter__(self) -> Self:
        ship(OURS, self._directory)
        api = type("Api", (_RuntimeApi,), {"events": self._events, "done": self._done})
        with ExitStack() as undo:
            server = undo.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), api))
            server.daemon_threads = True
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            undo.callback(thread.join)
            undo.callback(server.shutdown)
            log = undo.enter_context((self._directory / "log").open("w"))
            process = subprocess.Popen(
                [PYTHON, "-m", "awslambdaric", HANDLER],
                cwd=self._directory,
                env={**environment(self._variables), "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{server.server_port}"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
            )
            undo.callback(self._events.put, None)
            undo.callback(end, process)
            self._undo = undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._undo.close()

    def invoke(self, event: JsonValue) -> Invocation:
        """What became of this event."""
        self._events.put(json.dumps(event))
        return self._done.get(timeout=TIMEOUT)

    def logged(self) -> str:
        """What it printed so far."""
        return (self._directory / "log").read_text()
