"""A chain's node that asks a hostile facilitator's `/reconcile` whether an authorization was used.

A clear answer becomes the chain's; a hostile one goes on byte for byte, as the node's own: an error page,
megabytes, half of a body.
"""

from __future__ import annotations

import http.client
import json
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import Final
from urllib.parse import urlsplit

import httpx

from tests.strangers.serving import Serving
from tests.x402.chain.standin import BLOCK_SECONDS, StandIn, Tip
from tests.x402.samples import PAYER, USDC
from x402.chain.logs import AUTHORIZATION_USED, TRANSFER, Log
from x402.keccak import keccak256

__all__ = ["ReconcilingNode"]

_ASKS_STATE: Final = "0xe94a0102"
"""`authorizationState(address,bytes32)` of an EIP-3009 token."""
_HOLDS: Final = 10**12
_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class _Told:
    """The facilitator's answer as it came; `found` None where it is not clear."""

    status: int
    kind: str
    length: str
    body: bytes
    found: bool | None


class ReconcilingNode(Serving):
    """Serves for one `with` block. `unclear` counts the questions that had no clear answer.

    What the facilitator has found is on the chain as a transfer of `value` to `payee`.
    """

    def __init__(self, facilitator: str, payee: str, value: int) -> None:
        self.unclear = 0
        self._facilitator = urlsplit(facilitator)
        self._payee, self._value = payee[2:].lower().rjust(64, "0"), value
        now = int(time.time())
        self._chain = StandIn(Tip([now - BLOCK_SECONDS, now], {PAYER[2:].lower().rjust(64, "0"): _HOLDS}))
        self._lock = threading.Lock()
        super().__init__(self._handler())

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        answer = self._answer

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                told = answer(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(told.status)
                self.send_header("Content-Type", told.kind)
                self.send_header("Content-Length", told.length)
                self.end_headers()
                with suppress(ConnectionError):  # who is told too much hangs up
                    self.wfile.write(told.body)
                self.close_connection = True

            def log_message(self, format: str, *args: object) -> None:
                pass

        return Handler

    def _answer(self, body: bytes) -> _Told:
        call = json.loads(body)
        with self._lock:
            while self._chain.tip.times[-1] + BLOCK_SECONDS <= time.time():
                self._chain.mine()
            if call["method"] == "eth_call" and call["params"][0]["data"].startswith(_ASKS_STATE):
                data = call["params"][0]["data"]
                told = self._reconciled("0x" + data[74:])
                if told.found is None:
                    self.unclear += 1
                    return told
                if told.found:
                    self._settle("0x" + data[10:74], "0x" + data[74:])
            response = self._chain.handle(httpx.Request("POST", self.url, content=body))
        return _Told(200, "application/json", str(len(response.content)), response.content, None)

    def _reconciled(self, nonce: str) -> _Told:
        """What the facilitator says of a nonce; half of a body is an answer too."""
        host = self._facilitator.hostname or ""
        connection = http.client.HTTPConnection(host, self._facilitator.port, timeout=_SECONDS)
        try:
            connection.request("GET", f"/reconcile?nonce={nonce}")
            answer = connection.getresponse()
            try:
                body = answer.read()
            except http.client.IncompleteRead as exc:
                body = exc.partial
        finally:
            connection.close()
        kind, length = (answer.getheader(name) or "" for name in ("Content-Type", "Content-Length"))
        return _Told(answer.status, kind, length, body, _found(answer.status, length, body))

    def _settle(self, payer: str, nonce: str) -> None:
        """The transfer is in the newest block, once."""
        tip = self._chain.tip
        transaction = "0x" + keccak256(nonce.encode()).hex()
        if transaction in tip.mined:
            return
        block = len(tip.times) - 1
        tip.mined[transaction] = block, True
        moved = hex(self._value)
        used = Log(USDC, (AUTHORIZATION_USED, payer, nonce), "0x", len(tip.logs), block, transaction)
        sent = (TRANSFER, payer, "0x" + self._payee)
        tip.logs += [used, Log(USDC, sent, moved, len(tip.logs) + 1, block, transaction)]


def _found(status: int, length: str, body: bytes) -> bool | None:
    """Whether a whole and plain answer says that the nonce was settled."""
    if status != 200 or length != str(len(body)):
        return None
    try:
        return bool(json.loads(body)["found"])
    except (ValueError, KeyError, TypeError):
        return None
