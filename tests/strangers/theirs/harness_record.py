"""What agent-security-harness sends in its x402 checks, without sending it: each header's values, in order."""

import contextlib
import io
import json
import sys

from protocol_tests import x402_harness

told = json.loads(sys.stdin.readline())
sent = {}


def record(self, method, path="", body=None, headers=None, timeout=15.0):
    for name, value in (headers or {}).items():
        sent.setdefault(name.lower(), []).append(str(value))
    if body is not None:
        sent.setdefault("(body)", []).append(
            body.decode("utf-8", "replace") if isinstance(body, bytes) else str(body)
        )
    return {"status": 402, "headers": told["challenge"], "body": "{}"}


x402_harness.X402Transport.request = record
with contextlib.redirect_stdout(io.StringIO()):
    x402_harness.X402SecurityTests(
        x402_harness.X402Transport(
            "http://127.0.0.1:1", paid_path="/goods", default_method="POST", default_body="{}"
        )
    ).run_all()
print(json.dumps({"done": sent}))
