"""A run's evidence as JSON Lines, for whoever wants to check it without us (docs/audit.md).

A header, then the trail as it is hashed, then payments and jobs by their ids, then the hash of all lines before:
one object a line, fields in a fixed order, ASCII, no blanks. Of run, payments and jobs only the fields named here
are written, and the trail tells all of them as well (`scripts.audit.retelling`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from pydantic import ConfigDict, Field, JsonValue

from scripts.client.shapes import AuditHead, Booked, Records, Shape, read_exactly, read_plainly

__all__ = [
    "END",
    "FORMAT",
    "JOB_PARAMS",
    "OBSERVATION",
    "Evidence",
    "Object",
    "Plain",
    "PlainRun",
    "evidence_of",
    "export_lines",
    "line_of",
]

FORMAT: Final = "purser-audit/2"

END: Final = "end"
"""The kind of the last line, which holds the hash of the others."""

OBSERVATION: Final = ("runId", "seq", "type", "content", "data", "timestamp", "prevHash", "hash")
"""The fields of one, in their order."""

_RUN: Final = (
    *("status", "goal", "budgetTotal", "budgetRemaining", "budgetReserved", "budgetSpent"),
    *("failure", "createdAt", "completedAt"),
)
_RESERVATION: Final = ("vendorId", "amount", "authorized", "validBefore")
_PAYMENT: Final = (
    *("_id", "runId", "jobId", "vendorId", "amount", "currency", "status", "x402TxId"),
    *("network", "asset", "payer", "payTo", "nonce", "validBefore", "createdAt"),
)
_JOB: Final = (
    *("_id", "runId", "vendorId", "vendorJobId", "status", "expectedCost", "actualCost"),
    *("jobParams", "failure", "createdAt", "completedAt"),
)
JOB_PARAMS: Final = ("jobType", "gpuType", "maxHours", "goal")
_INSIDE: Final = {"jobParams": JOB_PARAMS, "failure": ("code", "message")}

Object: TypeAlias = dict[str, JsonValue]


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


@dataclass(frozen=True, slots=True)
class Evidence:
    """A run with its payments and jobs: to reckon with, and as the lines of its export say it."""

    records: Booked
    header: Object
    payments: tuple[Object, ...]
    jobs: tuple[Object, ...]


def evidence_of(answer: str) -> Evidence:
    """The evidence in an answer of agent-status.

    Raises:
        ValueError: it is no such answer.
    """
    seen = read_plainly(Plain, answer)
    return Evidence(read_exactly(Records, answer), _header(seen), _sorted(seen.payments, _PAYMENT), _jobs(seen))


def export_lines(seen: Plain, observations: Iterable[Object]) -> Iterator[str]:
    """The lines, without their ends. `observations` is the whole trail; it is read once and not kept."""
    seal = hashlib.sha256()
    for each in _objects(seen, observations):
        line = line_of(each)
        seal.update(f"{line}\n".encode("ascii"))
        yield line
    yield line_of({END: {"sha256": seal.hexdigest()}})


def line_of(value: JsonValue) -> str:
    """The one way to write it."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def _objects(seen: Plain, observations: Iterable[Object]) -> Iterator[Object]:
    yield _header(seen)
    for entry in observations:
        # A field that is not ours stays: without it a forged entry might look sound.
        yield {"observation": {**_pick(entry, OBSERVATION), **entry}}
    for payment in _sorted(seen.payments, _PAYMENT):
        yield {"payment": payment}
    for job in _jobs(seen):
        yield {"job": job}


def _header(seen: Plain) -> Object:
    reservations = {key: _pick(each, _RESERVATION) for key, each in sorted(seen.run.reservations.items())}
    return {
        "format": FORMAT,
        "runId": seen.run.id,
        "head": {"seq": seen.run.audit.seq, "hash": seen.run.audit.hash},
        "payments": len(seen.payments),
        "jobs": len(seen.jobs),
        "run": {**_pick(seen.run.model_extra or {}, _RUN), "reservations": {**reservations}},
    }


def _jobs(seen: Plain) -> tuple[Object, ...]:
    return _sorted(seen.jobs, _JOB)


def _sorted(found: Sequence[Object], fields: tuple[str, ...]) -> tuple[Object, ...]:
    return tuple(sorted((_pick(each, fields) for each in found), key=lambda each: str(each["_id"])))


def _pick(found: Object, fields: tuple[str, ...]) -> Object:
    return {name: _inside(name, found.get(name)) for name in fields}


def _inside(name: str, value: JsonValue) -> JsonValue:
    return _pick(value, _INSIDE[name]) if name in _INSIDE and isinstance(value, dict) else value
