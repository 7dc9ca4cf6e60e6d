"""The table says what was measured. What the figures are is for an idle machine, not for tests."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest

from net.strict_json import load_json
from tests.bench import clockwork
from tests.bench.contest import OFFICIAL, OURS, WITH_COINCURVE, Figures
from tests.bench.notebook import Notebook
from tests.bench.table import ROWS, lines

LATER: Mapping[str, float] = {OURS: 1.0, OFFICIAL: 8.0, WITH_COINCURVE: 4.0}


def figures(scale: float) -> Figures:
    """Purser at `scale` times its goals, the others so many times slower."""
    made: Figures = {}
    for row in ROWS:
        at_goal = (row.goal or 1) / row.scale * scale
        made[row.key] = {
            name: [at_goal * factor if not row.most else at_goal / factor] * 3 for name, factor in LATER.items()
        }
    made["sign"]["limit"] = [made["sign"][OURS][0] / 2]
    return made


def cells(made: Figures) -> list[list[str]]:
    """The table without its head."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in list(lines(made))[2:]]


def test_ratios_say_how_many_times_better_purser_is() -> None:
    """Also where more is better; and how far from the limit it is."""
    table = cells(figures(1))
    assert {(row[3], row[5]) for row in table} == {("8.0", "4.0")}
    assert [row[7] for row in table] == ["2.0", *[""] * (len(ROWS) - 1)]


@pytest.mark.parametrize(("scale", "met"), [(0.5, ["yes"] * 3 + ["", "no"]), (1.5, ["no"] * 3 + ["", "yes"])])
def test_a_goal_is_met_or_it_is_not(scale: float, met: list[str]) -> None:
    """Half the time is good, half the requests are not. One row has no goal."""
    assert [row[-1] for row in cells(figures(scale))][:5] == met


def test_a_row_is_the_median_of_its_rounds_and_shows_the_best() -> None:
    """One slow round says nothing."""
    made = figures(1)
    made["sign"][OURS] = [0.00004, 0.00004, 0.00003, 0.9, 0.9]
    made["rush"][OURS] = [100.0, 200.0, 400.0]
    table = {row[0]: row for row in cells(made)}
    assert table["sign an authorization and encode the header"][1] == "0.0400 (0.0300) ms"
    assert table["paid requests per second, 32 in flight"][1] == "200 (400) /s"


async def test_what_is_stored_at_once_is_all_there(tmp_path: Path) -> None:
    """Whole lines, each of them before its `store` returns."""
    notes = Notebook(tmp_path / "notes.jsonl")
    await asyncio.gather(*(notes.store({"number": number}) for number in range(5)))
    written = [load_json(line) for line in (tmp_path / "notes.jsonl").read_text().splitlines()]
    assert written == [{"number": number} for number in range(5)]


def test_who_has_no_figure_has_failed() -> None:
    """The table is there all the same, and the other rows of it."""
    made = figures(1)
    made["rush"][OFFICIAL] = []
    table = {row[0]: row for row in cells(made)}
    assert table["paid requests per second, 32 in flight"][2:4] == ["failed", ""]
    made["sign"][OURS] = []
    assert {row[0]: row for row in cells(made)}["sign an authorization and encode the header"][-1] == "no"


async def test_a_try_that_fails_is_counted_and_the_others_go_on() -> None:
    """A closed connection ends no benchmark."""
    turns = iter([None, ConnectionError("closed"), None])

    async def once() -> None:
        if (failure := next(turns)) is not None:
            raise failure

    clockwork.FAILED.clear()
    assert len(await clockwork.timed(3, once)) == 2
    assert clockwork.FAILED == ["ConnectionError: closed"]
