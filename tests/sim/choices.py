"""One seeded source of all that happens by chance, which can be silenced after its first k decisions."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

__all__ = ["Choices"]

T = TypeVar("T")


class Choices:
    """Decisions in the order they are asked for. The same seed gives the same ones.

    With a `limit` only the first so many are made by chance; every later one is the harmless first option. So a
    failure can be replayed with a prefix of what led to it. `departures` are the places, counted from 1, at which
    chance chose anything else than that.
    """

    def __init__(self, seed: int, limit: int | None = None) -> None:
        """`limit`: None makes every decision by chance."""
        self._random = random.Random(f"{seed}/decisions")
        self._limit = limit
        self.count = 0
        self.departures: list[int] = []

    @property
    def silent(self) -> bool:
        """Nothing is left to chance any more."""
        return self._limit is not None and self.count >= self._limit

    def stop(self) -> None:
        """Leave nothing to chance from here on."""
        self._limit = self.count if self._limit is None else min(self._limit, self.count)

    def pick(self, options: Sequence[T], weights: Sequence[float] | None = None) -> T:
        """One of the options; the first where chance is silent."""
        if self.silent:
            return options[0]
        self.count += 1
        place = int(self._random.random() * len(options)) if weights is None else self._weighed(weights)
        if place:
            self.departures.append(self.count)
        return options[place]

    def below(self, limit: int) -> int:
        """A number below the limit; where there is but one, nothing is left to decide."""
        return 0 if limit == 1 else self.pick(range(limit))

    def happens(self, chance: float) -> bool:
        """True with this chance; never where chance is silent."""
        return self.pick((False, True), (1 - chance, chance))

    def _weighed(self, weights: Sequence[float]) -> int:
        point = self._random.random() * sum(weights)
        for place, weight in enumerate(weights):
            point -= weight
            if point < 0:
                return place
        return max(place for place, weight in enumerate(weights) if weight)
