"""One table for what the service costs: figure, goal, whether it is met."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

__all__ = ["Figure", "lines"]


@dataclass(frozen=True, slots=True)
class Figure:
    """One row. `shown` is what was measured, for people; `value` is held against `goal` where there is one."""

    what: str
    shown: str
    value: float
    goal: float | None = None
    most: bool = False
    """More is better."""

    @property
    def met(self) -> str:
        """Whether the goal is reached; "" where there is none."""
        if self.goal is None:
            return ""
        return "yes" if (self.value >= self.goal if self.most else self.value <= self.goal) else "no"


def lines(figures: Sequence[Figure]) -> Iterator[str]:
    """The table as Markdown."""
    rows = [("what", "measured", "goal", "met"), *map(_cells, figures)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for number, cells in enumerate(rows):
        yield "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |"
        if number == 0:
            yield "|" + "|".join("-" * (width + 2) for width in widths) + "|"


def _cells(figure: Figure) -> tuple[str, str, str, str]:
    goal = "" if figure.goal is None else f"{'>=' if figure.most else '<='} {figure.goal:g}"
    return figure.what, figure.shown, goal, figure.met
