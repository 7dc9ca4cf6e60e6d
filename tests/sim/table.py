"""What many schedules met, as a table."""

from __future__ import annotations

from collections import Counter

__all__ = ["table"]

_BOTH_LATE = ("fails and arrives late", "dies and arrives late")
_WAITS = tuple(
    f"{kind} {stage}: waits"
    for kind in ("read", "write", "wire", "planner")
    for stage in ("before", "after", "adrift")
)
_ROWS = (
    ("steps", ("steps",)),
    ("processes killed", ("processes killed",)),
    ("store: failed before the effect", ("read before: fails", "write before: fails")),
    ("store: applied, answer lost", ("write after: loses its answer",)),
    ("store: failed, applied later", tuple(f"write before: {fate}" for fate in _BOTH_LATE)),
    ("network: failed before the effect", ("wire before: fails",)),
    ("network: done, answer lost or torn", ("wire after: loses its answer", "wire after: gets half an answer")),
    ("network: failed, arrived later", tuple(f"wire before: {fate}" for fate in _BOTH_LATE)),
    ("planner: failed", ("planner before: fails", "planner after: loses its answer")),
    ("delays", _WAITS),
    ("stale workers met", ("stale workers",)),
    ("settlements at vendors", ("settlements",)),
    ("runs completed", ("run completed",)),
    ("runs failed with a reason", ("run failed",)),
    ("runs cancelled", ("run cancelled",)),
)


def table(schedules: int, counts: Counter[str], seconds: float) -> str:
    """Rows of a name and a number."""
    rows = [("schedules", f"{schedules:,}")]
    rows += [(name, f"{sum(counts[key] for key in keys):,}") for name, keys in _ROWS]
    fired = sorted(key for key in counts if key.startswith("vendor fault "))
    rows += [(key, f"{counts[key]:,}") for key in fired]
    rows.append(("seconds", f"{seconds:.1f}"))
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:{width}}  {number:>12}" for name, number in rows) + "\n"
