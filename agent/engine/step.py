"""What one step of a run came to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

__all__ = ["Step"]


@dataclass(frozen=True, slots=True)
class Step:
    """A sentence, the planner's action if there was one, and when the next tick is due (None: never)."""

    message: str
    action: dict[str, object] | None
    next_tick_at: datetime | None
