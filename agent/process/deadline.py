"""How much of a tick's time is left."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Deadline"]


class Deadline:
    """Ends `seconds` after it was made, on a monotonic clock."""

    def __init__(self, monotonic: Callable[[], float], seconds: float) -> None:
        """Starts to run now."""
        self._monotonic = monotonic
        self._end = monotonic() + seconds

    def remaining(self) -> float:
        """Seconds left; 0 when it is over."""
        return max(0.0, self._end - self._monotonic())

    def allow(self, most: float) -> float:
        """Seconds that one outside call may take: `most`, or what is left if that is less."""
        return min(most, self.remaining())
