"""agent-security-harness 4.28.1: its 54 x402 checks at our sellers, through a proxy that translates headers."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from tests.strangers.environments import HARNESS, StrangerFailed, surroundings
from tests.strangers.hostile_clients import job_order
from tests.strangers.payments import sellers
from tests.strangers.proxy import TranslatingProxy
from tests.strangers.table import PASS, Result

__all__ = ["at_sellers"]

_SECONDS: Final = 120.0


def at_sellers(suite: str) -> list[Result]:
    """The interop tests' seller and the mock vendor."""
    with sellers() as at:
        body, headers = job_order(at.vendor)
        return [
            *_checked(suite, "seller", TranslatingProxy(at.goods), "/goods", b"{}"),
            *_checked(suite, "vendor", TranslatingProxy(at.vendor, headers), "/submit-job", body),
        ]


def _checked(suite: str, who: str, through: TranslatingProxy, path: str, body: bytes) -> list[Result]:
    with through as proxy, tempfile.TemporaryDirectory() as empty:
        report = Path(empty, "report.json")
        command = [
            str(HARNESS),
            "-I",
            "-m",
            "protocol_tests.x402_harness",
            "--url",
            proxy.url,
            "--paid-path",
            path,
        ]
        done = subprocess.run(
            [*command, "--method", "POST", "--body", body.decode(), "--report", str(report)],
            cwd=empty,
            env=surroundings(),
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
        if not report.exists():
            raise StrangerFailed(f"{suite}: no report: {done.stdout[-1000:]}{done.stderr[-1000:]}")
        rows = json.loads(report.read_text())["results"]
    odd = {status: count for status, count in proxy.answers.items() if not 400 <= status < 500}
    results = [
        Result(suite, f"{who} {row['test_id']}", _outcome(row), f"{row['name']}: {row['details']}") for row in rows
    ]
    return [*results, Result(suite, f"{who}: nothing served, no fault", PASS if not odd else f"answers: {odd}")]


def _outcome(row: dict[str, object]) -> str:
    if row["not_evaluated"]:
        return "not evaluated"
    return PASS if row["passed"] else "fail"
