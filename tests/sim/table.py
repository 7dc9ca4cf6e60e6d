"""What many schedules met, as a table."""

from __future__ import annotations

from collections import Counter

from tests.sim.scheduler import Fate, Kind

__all__ = ["table"]

_BOTH_LATE = (Fate.FAIL_LATE, Fate.DIE_LATE)
_WAITS = tuple(f"{kind}: {fate}" for kind in Kind for fate in (Fate.WAIT, Fate.WAIT_AFTER))
_ROWS = (
    ("steps", ("steps",)),
    ("processes killed", ("processes killed",)),
    ("store: failed before the effect", ("read: fails", "write: fails")),
    ("store: applied, answer lost", ("write: loses its answer",)),
    ("store: failed, applied later", tuple(f"write: {fate}" for fate in _BOTH_LATE)),
    ("network: failed before the effect", ("wire: fails",)),
    ("network: done, answer lost or torn", ("wire: loses its answer", "wire: gets half an answer")),
    ("network: failed, arrived later", tuple(f"wire: {fate}" for fate in _BOTH_LATE)),
    ("planner: failed", ("planner: fails", "planner: loses its answer")),
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
