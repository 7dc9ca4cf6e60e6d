"""The life of a run, a job and a payment, as tables. All changes of status go through `move`.

The tables have three readers: the code, the tests, and `diagram`, from which `docs/architecture.md` is made.
A pair that is absent is illegal: `move` raises and nothing changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, TypeVar

__all__ = [
    "ENDED_JOB",
    "JOB",
    "LIVE_JOB",
    "PAYMENT",
    "RUN",
    "IllegalMove",
    "JobStatus",
    "PaymentStatus",
    "RunPhase",
    "RunStatus",
    "diagram",
    "move",
]

RunStatus = Literal["running", "completed", "failed", "cancelled"]
RunPhase = Literal["idle", "planning", "executing", "waiting", "success", "failed"]
JobStatus = Literal["pending", "submitted", "running", "completed", "failed"]
PaymentStatus = Literal["pending", "completed", "failed", "unresolved"]

S = TypeVar("S", bound=str)
Table = Mapping[tuple[S, str], S]

RUN: Final[Table[RunStatus]] = {
    ("running", "complete"): "completed",
    ("running", "fail"): "failed",
    ("running", "cancel"): "cancelled",
}

JOB: Final[Table[JobStatus]] = {
    ("pending", "accept"): "submitted",
    ("pending", "fail"): "failed",
    ("submitted", "start"): "running",
    ("submitted", "complete"): "completed",
    ("submitted", "fail"): "failed",
    ("running", "complete"): "completed",
    ("running", "fail"): "failed",
}

PAYMENT: Final[Table[PaymentStatus]] = {
    ("pending", "settle"): "completed",
    ("pending", "expire"): "unresolved",
    ("pending", "lapse"): "failed",
}

LIVE_JOB: Final[frozenset[JobStatus]] = frozenset({"submitted", "running"})
"""A vendor is working on it."""

ENDED_JOB: Final[frozenset[JobStatus]] = frozenset({"completed", "failed"})
"""Nothing more will come of it."""


class IllegalMove(RuntimeError):
    """The code asked for a step that the table does not have: a fault of ours, never of a vendor."""


def move(table: Table[S], status: S, event: str) -> S:
    """The status after `event`.

    Raises:
        IllegalMove: the table has no such step.
    """
    try:
        return table[status, event]
    except KeyError:
        raise IllegalMove(f"no step {event!r} from {status!r}") from None


def diagram(table: Table[S]) -> str:
    """The table as a Mermaid state diagram."""
    starts = {source for source, _ in table} - set(table.values())
    ends = sorted(set(table.values()) - {source for source, _ in table})
    lines = ["stateDiagram-v2", *(f"    [*] --> {start}" for start in sorted(starts))]
    lines += [f"    {source} --> {target}: {event}" for (source, event), target in table.items()]
    return "\n".join([*lines, *(f"    {end} --> [*]" for end in ends)])
