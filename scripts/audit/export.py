"""A run's evidence as JSON Lines, for whoever wants to check it without us (docs/audit.md).

A header, then the trail as it is hashed, then payments and jobs: one object a line, fields in a fixed order,
ASCII, no blanks, so that every line is the one way to write what it says. Of run, payments and jobs only the
fields named here are written.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Final

from pydantic import ConfigDict, Field, JsonValue

from scripts.client.shapes import AuditHead, Shape

__all__ = ["FORMAT", "Plain", "PlainRun", "export_lines"]

FORMAT: Final = "purser-audit/1"

_RUN: Final = (
    *("status", "goal", "budgetTotal", "budgetRemaining", "budgetReserved", "budgetSpent"),
    *("failure", "createdAt", "completedAt"),
)
_RESERVATION: Final = ("vendorId", "amount", "authorized", "validBefore")
_OBSERVATION: Final = ("runId", "seq", "type", "content", "data", "timestamp", "prevHash", "hash")
_PAYMENT: Final = (
    *("_id", "runId", "jobId", "vendorId", "amount", "currency", "status", "x402TxId"),
    *("network", "asset", "payer", "payTo", "nonce", "validBefore", "createdAt"),
)
_JOB: Final = (
    *("_id", "runId", "vendorId", "vendorJobId", "status", "expectedCost", "actualCost"),
    *("jobParams", "failure", "createdAt", "completedAt"),
)

Object = dict[str, JsonValue]


class PlainRun(Shape):
    """A run plainly as it was sent; what is not named here is in `model_extra`."""

    model_config = ConfigDict(extra="allow")

    id: str = Field(alias="_id")
    audit: AuditHead
    reservations: dict[str, dict[str, JsonValue]]


class Plain(Shape):
    """A run with its jobs and payments, plainly as they were sent: what is exported."""

    run: PlainRun
    jobs: tuple[dict[str, JsonValue], ...]
    payments: tuple[dict[str, JsonValue], ...]


def export_lines(seen: Plain, observations: Iterable[Object]) -> Iterator[str]:
    """The lines, without their ends. `observations` is the whole trail; it is read once and not kept."""
    reservations = {job_id: _pick(each, _RESERVATION) for job_id, each in seen.run.reservations.items()}
    yield _line(
        {
            "format": FORMAT,
            "runId": seen.run.id,
            "head": {"seq": seen.run.audit.seq, "hash": seen.run.audit.hash},
            "payments": len(seen.payments),
            "jobs": len(seen.jobs),
            "run": {**_pick(seen.run.model_extra or {}, _RUN), "reservations": {**reservations}},
        }
    )
    for entry in observations:
        # A field that is not ours stays: without it a forged entry might look sound.
        yield _line({"observation": {**_pick(entry, _OBSERVATION), **entry}})
    for payment in seen.payments:
        yield _line({"payment": _pick(payment, _PAYMENT)})
    for job in seen.jobs:
        yield _line({"job": _pick(job, _JOB)})


def _line(value: Object) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def _pick(found: Object, fields: tuple[str, ...]) -> Object:
    return {name: found.get(name) for name in fields}
