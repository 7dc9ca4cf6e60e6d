"""The service's table says what is met and what is not."""

from __future__ import annotations

import pytest

from tests.bench.service.table import Figure, lines


@pytest.mark.parametrize(
    ("figure", "met"),
    [
        (Figure("ratio", "1.20", 1.2, 1.2), "yes"),
        (Figure("ratio", "1.21", 1.21, 1.2), "no"),
        (Figure("rate", "300", 300, 300, most=True), "yes"),
        (Figure("rate", "299", 299, 300, most=True), "no"),
        (Figure("no goal", "7", 7), ""),
    ],
)
def test_a_goal_is_met_or_it_is_not(figure: Figure, met: str) -> None:
    """Also where more is better."""
    head, rule, row = lines([figure])

    assert [cell.strip() for cell in head.strip("|").split("|")] == ["what", "measured", "goal", "met"]
    assert set(rule) == {"|", "-"}
    assert row.strip("|").split("|")[-1].strip() == met
