"""Answers of the API as the command gets them, built by hand."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from pydantic import JsonValue
from rich.console import Console, RenderableType

from scripts.client.registry import Vendors
from scripts.client.shapes import Job, Observation, Payment, Run, Runs, Status

__all__ = [
    "HOSTILE",
    "RUN_ID",
    "drawn",
    "job",
    "job_json",
    "observation",
    "observation_json",
    "payment",
    "payment_json",
    "run",
    "run_json",
    "runs",
    "status",
    "status_json",
    "vendor_json",
    "vendors",
]

RUN_ID: Final = "66a1f0c2e4b0a1b2c3d4e5f6"
JOB_ID: Final = "66a1f0c2e4b0a1b2c3d4e5f7"
AT: Final = "2026-11-21T08:00:00.000Z"

HOSTILE: Final = (
    "[bold red]markup[/bold red] [link=https://evil.example]x[/link] [/] :boom: <script>alert(1)</script> &amp; "
    "\x1b[31mred\x1b[0m \x1b]0;title\x07 \x1b]8;;https://evil.example\x1b\\link\x9b31m bell\x07 back\x08 "
    "line\nbreak\rreturn \u202ereversed\u202c \u2066isolated\u2069 zero\u200bwidth \u2028separator \ud800"
)
"""What a vendor or a user may try: Rich markup, HTML, escape sequences, tricks with direction and width."""


def run_json(**changes: JsonValue) -> dict[str, JsonValue]:
    """A run of 5 dollars that has spent 1.4."""
    return {
        "_id": RUN_ID,
        "userId": "u1",
        "goal": "Fine-tune tiny-llm",
        "status": "running",
        "phase": "executing",
        "budgetTotal": 5,
        "budgetRemaining": 3.6,
        "budgetReserved": 0,
        "budgetSpent": 1.4,
        "reservations": {},
        "constraints": {},
        "tick": 2,
        "nextTickAt": AT,
        "ending": None,
        "failure": None,
        "audit": {"seq": 1, "hash": "00"},
        "createdAt": AT,
        "updatedAt": AT,
        "completedAt": None,
        **changes,
    }


def job_json(**changes: JsonValue) -> dict[str, JsonValue]:
    """A job at gpu_vendor_1, half done."""
    return {
        "_id": JOB_ID,
        "runId": RUN_ID,
        "vendorId": "gpu_vendor_1",
        "vendorJobId": "job_1",
        "status": "running",
        "expectedCost": 1.4,
        "actualCost": 1.4,
        "jobParams": {"jobType": "fine_tune", "gpuType": "A100", "maxHours": 1.0, "goal": "Fine-tune tiny-llm"},
        "progress": 50.0,
        "artifactUrl": None,
        "finalMetrics": None,
        "failure": None,
        "createdAt": AT,
        "completedAt": None,
        **changes,
    }


def payment_json(**changes: JsonValue) -> dict[str, JsonValue]:
    """1.4 dollars to gpu_vendor_1, settled."""
    return {
        "_id": JOB_ID,
        "runId": RUN_ID,
        "jobId": JOB_ID,
        "vendorId": "gpu_vendor_1",
        "amount": 1.4,
        "currency": "USDC",
        "status": "completed",
        "x402TxId": "0xaa",
        "network": "eip155:84532",
        "asset": "0xA55E7",
        "payer": "0xPayer",
        "payTo": "0xPayee",
        "nonce": "0x01",
        "validBefore": AT,
        "createdAt": AT,
        **changes,
    }


def observation_json(
    seq: int, kind: str, content: str = "something happened", **data: JsonValue
) -> dict[str, JsonValue]:
    """An entry of the trail; its hashes are not real."""
    return {
        "runId": RUN_ID,
        "seq": seq,
        "type": kind,
        "content": content,
        "data": data,
        "timestamp": AT,
        "prevHash": "00",
        "hash": "00",
    }


def vendor_json(**changes: JsonValue) -> dict[str, JsonValue]:
    """gpu_vendor_1 as registered."""
    return {
        "vendorId": "gpu_vendor_1",
        "name": "Alpha GPU",
        "endpoint": "http://127.0.0.1:4001",
        "basePricePerHour": 1.4,
        "reliabilityScore": 0.9,
        "record": {"completed": 3, "failed": 1, "evidence": []},
        "supportedGpuTypes": ["A100", "RTX4090"],
        "payTo": None,
        "secretRef": "GPU_VENDOR_SECRET",
        "sealed": False,
        "createdAt": AT,
        **changes,
    }


def status_json(
    *entries: dict[str, JsonValue],
    run: dict[str, JsonValue] | None = None,
    jobs: tuple[dict[str, JsonValue], ...] = (),
    payments: tuple[dict[str, JsonValue], ...] = (),
    total: int | None = None,
) -> dict[str, JsonValue]:
    """The answer of agent-status that holds these entries."""
    seqs = [entry["seq"] for entry in entries]
    return {
        "run": run or run_json(),
        "jobs": [*jobs],
        "payments": [*payments],
        "observations": [*entries],
        "page": {
            "firstSeq": seqs[0] if seqs else None,
            "lastSeq": seqs[-1] if seqs else None,
            "total": len(seqs) if total is None else total,
        },
    }


def _exact(value: JsonValue) -> object:
    return json.loads(json.dumps(value), parse_float=Decimal)


def run(**changes: JsonValue) -> Run:
    """`run_json`, read."""
    return Run.model_validate(_exact(run_json(**changes)))


def job(**changes: JsonValue) -> Job:
    """`job_json`, read."""
    return Job.model_validate(_exact(job_json(**changes)))


def payment(**changes: JsonValue) -> Payment:
    """`payment_json`, read."""
    return Payment.model_validate(_exact(payment_json(**changes)))


def observation(seq: int, kind: str, content: str = "something happened", **data: JsonValue) -> Observation:
    """`observation_json`, read."""
    return Observation.model_validate(_exact(observation_json(seq, kind, content, **data)))


def status(
    *entries: dict[str, JsonValue],
    run: dict[str, JsonValue] | None = None,
    jobs: tuple[dict[str, JsonValue], ...] = (),
    payments: tuple[dict[str, JsonValue], ...] = (),
    total: int | None = None,
) -> Status:
    """`status_json`, read."""
    return Status.model_validate(_exact(status_json(*entries, run=run, jobs=jobs, payments=payments, total=total)))


def runs(*found: dict[str, JsonValue], cursor: str | None = None, unreadable: Sequence[str] = ()) -> Runs:
    """A page of runs, read."""
    return Runs.model_validate(_exact({"runs": [*found], "unreadable": [*unreadable], "nextCursor": cursor}))


def vendors(*found: dict[str, JsonValue]) -> Vendors:
    """A registry, read."""
    return Vendors.model_validate(_exact({"vendors": [*found]}))


def drawn(*shown: RenderableType, terminal: bool = False) -> str:
    """What reaches the terminal (or the file) when these are printed the way the command prints."""
    stream = io.StringIO()
    console = Console(
        file=stream,
        width=120,
        force_terminal=terminal,
        color_system="truecolor" if terminal else None,
        markup=False,
        emoji=False,
        highlight=False,
        legacy_windows=False,
    )
    for each in shown:
        console.print(each, soft_wrap=True)
    return stream.getvalue()
