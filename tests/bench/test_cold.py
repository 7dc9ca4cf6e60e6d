"""What is measured as the status function's cold import is all that a status request loads."""

from __future__ import annotations

import subprocess
import sys

from scripts.serve.servers import ROOT, clean
from tests.bench.service.cold import STATUS

HEAVY = ("httpx", "coincurve", "Crypto", "stamina", "fireworks", "agent.engine.services", "agent.engine.tick")

ASK = f"""{STATUS}
import asyncio

sent = []

async def ask():
    async def receive():
        return {{"type": "http.request", "body": b"", "more_body": False}}

    async def send(message):
        sent.append(message)

    path = "/api/agent-status"
    query = b"runId=" + b"0" * 24
    scope = {{
        "type": "http", "asgi": {{"version": "3.0"}}, "http_version": "1.1", "method": "GET", "scheme": "http",
        "path": path, "raw_path": path.encode(), "query_string": query, "root_path": "",
        "headers": [(b"host", b"127.0.0.1")], "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 3000),
    }}
    await api.index.app(scope, receive, send)

asyncio.run(ask())
print(sent[0]["status"], *(name for name in {HEAVY!r} if name in sys.modules))
"""


def test_a_status_request_loads_nothing_that_only_ticks_need() -> None:
    """No client, no curve, no core: whoever looks at a run does not wait for them."""
    done = subprocess.run(
        [sys.executable, "-c", ASK], cwd=ROOT, env=clean({}), capture_output=True, text=True, check=True
    )

    assert done.stdout.split() == ["404"]
