"""The one table: what, who, how many times as fast, the limit, the goal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from tests.bench.contest import OFFICIAL, OURS, WITH_COINCURVE, Figures

__all__ = ["ROWS", "Row", "lines"]


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that is measured. `scale` turns its figures into `unit`; `most` says that more is better."""

    key: str
    what: str
    unit: str
    scale: float
    goal: float | None
    most: bool = False

    @property
    def better(self) -> Callable[[Sequence[float]], float]:
        """The best of several figures."""
        return max if self.most else min

    def met(self, figure: float) -> str:
        """Whether a figure of Purser's reaches the goal; "" where there is none."""
        if self.goal is None:
            return ""
        reached = figure * self.scale >= self.goal if self.most else figure * self.scale <= self.goal
        return "yes" if reached else "no"

    def ratio(self, ours: float, theirs: float) -> float:
        """How many times as good ours is."""
        return ours / theirs if self.most else theirs / ours


ROWS: Final = (
    Row("sign", "sign an authorization and encode the header", "ms", 1e3, 0.05),
    Row("verify", "decode and verify a payment, chain left out", "ms", 1e3, 0.10),
    Row("pay", "paid GET on loopback, added to a plain one", "ms", 1e3, 1.5),
    Row("pay unstored", "the same, Purser storing nothing either", "ms", 1e3, None),
    Row("rush", "paid requests per second, 32 in flight", "/s", 1, 300, most=True),
    Row("start", "import until ready to pay", "ms", 1e3, 200),
    Row("memory", "memory of that process", "MB", 1e-6, 45),
)

_HEAD: Final = (
    "median (best round)",
    OURS,
    OFFICIAL,
    "ratio",
    WITH_COINCURVE,
    "ratio",
    "limit",
    "of limit",
    "goal",
    "met",
)


def lines(figures: Figures) -> Iterator[str]:
    """The table as Markdown, which people can read too."""
    rows = [_HEAD, *(_cells(row, figures[row.key]) for row in ROWS)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for number, cells in enumerate(rows):
        yield "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |"
        if number == 0:
            yield "|" + "|".join("-" * (width + 2) for width in widths) + "|"


def _cells(row: Row, measured: Mapping[str, Sequence[float]]) -> tuple[str, ...]:
    ours, official = _median(measured[OURS]), _median(measured[OFFICIAL])
    coincurve, limit = _median(measured[WITH_COINCURVE]), _median(measured.get("limit", ()))
    return (
        row.what,
        _shown(row, measured[OURS]),
        _shown(row, measured[OFFICIAL]),
        _ratio(row, ours, official),
        _shown(row, measured[WITH_COINCURVE]),
        _ratio(row, ours, coincurve),
        "" if limit is None else _figure(limit * row.scale) + f" {row.unit}",
        "" if limit is None or ours is None else f"{ours / limit:.1f}",
        "" if row.goal is None else f"{'>=' if row.most else '<='} {row.goal:g} {row.unit}",
        "no" if ours is None else row.met(ours),
    )


def _median(figures: Sequence[float]) -> float | None:
    return median(figures) if figures else None


def _ratio(row: Row, ours: float | None, theirs: float | None) -> str:
    return "" if ours is None or theirs is None else f"{row.ratio(ours, theirs):.1f}"


def _shown(row: Row, figures: Sequence[float]) -> str:
    if not figures:
        return "failed"
    middle, best = (_figure(figure * row.scale) for figure in (median(figures), row.better(figures)))
    return f"{middle} ({best}) {row.unit}"


def _figure(number: float) -> str:
    """Three digits that count."""
    return f"{number:.0f}" if number >= 100 else f"{number:#.3g}"
