"""How much of vendors' answers a process holds at a time: in all, and of one vendor.

Each answer may have megabytes, and hundreds may be under way: without a bound over all of them one vendor fills
the memory of a function that others need, too.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

__all__ = ["FREE", "Room"]

FREE: Final = 64 * 1024
"""Bytes that any answer may have, whoever else is answering."""

_OF_ALL: Final = 64 * 1024 * 1024
_OF_ONE: Final = 16 * 1024 * 1024


class Room:
    """The bytes beyond `FREE` of all answers that are being read."""

    def __init__(self, of_all: int = _OF_ALL, of_one: int = _OF_ONE) -> None:
        """Nobody answers yet."""
        self._of_all: Final = of_all
        self._of_one: Final = of_one
        self._all = 0
        self._by_vendor: Counter[str] = Counter()

    def take(self, vendor_id: str, amount: int) -> bool:
        """Whether there is room for so many bytes more of this vendor; they are counted then."""
        if self._all + amount > self._of_all or self._by_vendor[vendor_id] + amount > self._of_one:
            return False
        self._all += amount
        self._by_vendor[vendor_id] += amount
        return True

    def give(self, vendor_id: str, amount: int) -> None:
        """These bytes are read."""
        self._all -= amount
        self._by_vendor[vendor_id] -= amount
        if self._by_vendor[vendor_id] <= 0:
            del self._by_vendor[vendor_id]
