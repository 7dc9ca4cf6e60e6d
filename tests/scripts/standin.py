"""A server on a real socket that answers as told and notes what it was asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from pydantic import JsonValue

__all__ = ["Answer", "Asked", "StandIn", "standing_in"]


@dataclass(frozen=True)
class Answer:
    """What to answer. `cut` closes the connection in the middle of the body."""

    status: int = 200
    body: JsonValue | bytes = None
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False

    def content(self) -> bytes:
        """The body's bytes."""
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


@dataclass(frozen=True)
class Asked:
    """A request that came in."""

    method: str
    target: str
    headers: dict[str, str]
    body: str


@dataclass
class StandIn:
    """The answers still to be given, and what was asked so far."""

    url: str = ""
    answers: list[Answer] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)


@contextmanager
def standing_in(*answers: Answer) -> Iterator[StandIn]:
    """Serve these answers, one after another, on a free port."""
    play = StandIn(answers=[*answers])

    class Handler(BaseHTTPRequestHandler):
        def handle_one(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
            headers = {name.lower(): value for name, value in self.headers.items()}
            play.asked.append(Asked(self.command, self.path, headers, body))
            answer = play.answers.pop(0)
            content = answer.content()
            self.send_response_only(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(content) + answer.cut))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = do_DELETE = handle_one  # noqa: N815  the names that http.server calls

        def log_message(self, format: str, *args: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    play.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield play
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
