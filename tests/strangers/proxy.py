"""A proxy between agent-security-harness, which speaks headers of its own, and an x402 seller.

It knows `X-Payment-Amount`, `-Currency`, `-Recipient` and `-Network`, which no version of x402 has, and sends
`X-Payment-Authorization`. A 402 gets its terms in those too; what is sent goes on as `PAYMENT-SIGNATURE` and as
`X-PAYMENT` by turns.
"""

from __future__ import annotations

import http.client
import itertools
import threading
from collections import Counter
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler
from typing import Final
from urllib.parse import urlsplit

from tests.strangers.serving import Serving
from x402.codec import decode_header, text_field
from x402.wire import CHALLENGE_HEADER, PAYMENT_HEADERS

__all__ = ["TranslatingProxy"]

_SECONDS: Final = 20.0
_THEIRS: Final = "x-payment-authorization"
_HOP_BY_HOP: Final = {"host", "content-length", "connection", "transfer-encoding", "accept-encoding"}


class TranslatingProxy(Serving):
    """Serves for one `with` block. `answers` counts the seller's statuses; 0 is an answer that did not come."""

    def __init__(self, seller: str, extra: Mapping[str, str] | None = None) -> None:
        """`extra` headers go with each request."""
        self.answers: Counter[int] = Counter()
        self._seller = urlsplit(seller)
        self._extra = dict(extra or {})
        self._turn = itertools.cycle(PAYMENT_HEADERS.values())
        self._lock = threading.Lock()
        super().__init__(_handler(self))

    def pass_on(self, request: BaseHTTPRequestHandler) -> tuple[int, list[tuple[str, str]], bytes]:
        """Status, headers and body of the seller's answer."""
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP}
        with self._lock:
            if (sent := request.headers.get(_THEIRS)) is not None:
                headers[next(self._turn)] = sent
        connection = http.client.HTTPConnection(self._seller.hostname or "", self._seller.port, timeout=_SECONDS)
        try:
            connection.putrequest(request.command, request.path, skip_accept_encoding=True)
            for name, value in (headers | self._extra).items():
                connection.putheader(name, value.encode("latin-1", "replace"))
            connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            answer = connection.getresponse()
            status, told, content = answer.status, answer.getheaders(), answer.read()
        except (OSError, http.client.HTTPException) as exc:
            status, told, content = 0, [], repr(exc).encode()
        finally:
            connection.close()
        with self._lock:
            self.answers[status] += 1
        told = [(name, value) for name, value in told if name.lower() not in _HOP_BY_HOP]
        return status or 502, told + _translated(dict((k.lower(), v) for k, v in told)), content


def _translated(headers: Mapping[str, str]) -> list[tuple[str, str]]:
    """The terms of a version 2 challenge in the harness's headers."""
    challenge = headers.get(CHALLENGE_HEADER.lower())
    if challenge is None:
        return []
    accepts = decode_header(CHALLENGE_HEADER, challenge)["accepts"]
    assert isinstance(accepts, list)
    terms = accepts[0]
    said = {"Amount": "amount", "Recipient": "payTo", "Network": "network"}
    named = [(f"X-Payment-{theirs}", text_field(terms, ours)) for theirs, ours in said.items()]
    return [("X-Payment-Required", "true"), ("X-Payment-Currency", "USDC"), *named]


def _handler(proxy: TranslatingProxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _go(self) -> None:
            status, headers, body = proxy.pass_on(self)
            self.send_response(status)
            for name, value in headers:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_HEAD = do_OPTIONS = do_DELETE = do_PATCH = _go  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler
