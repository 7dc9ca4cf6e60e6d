"""Dollars in, micro-dollars inside, dollars out: exact, or refused."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.book.money import MAX_USD, MICRO, InvalidAmount, at_rate, parse_usd, usd_json, usd_text, with_tolerance

AMOUNTS = st.integers(min_value=1, max_value=MAX_USD * MICRO)


@given(AMOUNTS)
def test_every_amount_survives_json_and_text(micro: int) -> None:
    """What is shown as a JSON number or as text reads back as the same amount."""
    shown = json.dumps(usd_json(micro))

    assert micro == parse_usd(json.loads(shown, parse_float=Decimal))
    assert micro == parse_usd(usd_text(micro))


@pytest.mark.parametrize(("given_", "micro"), [(5, 5_000_000), ("3.6", 3_600_000), (Decimal("0.000001"), 1)])
def test_dollars_become_micro_dollars(given_: Decimal | int | str, micro: int) -> None:
    """One dollar is a million."""
    assert micro == parse_usd(given_)


@pytest.mark.parametrize(
    "given_",
    [
        "NaN",
        "Infinity",
        "-Infinity",
        "1e400",
        "-1",
        "-0.000001",
        "0",
        "0.0000001",
        "1000000.000001",
        "five",
        "",
        "1e-999999999",
        "1." + "0" * 40 + "1",
    ],
)
def test_what_is_no_amount_is_refused(given_: str) -> None:
    """NaN, infinities, too many decimals, too much, negative, nothing, prose."""
    with pytest.raises(InvalidAmount):
        parse_usd(given_)


def test_zero_is_taken_only_where_it_is_meant() -> None:
    """A budget of 0 is refused; a cost of 0 is a fact."""
    assert parse_usd(0, zero=True) == 0


@pytest.mark.parametrize(
    ("micro", "text"), [(5_000_000, "5"), (3_600_000, "3.6"), (1, "0.000001"), (0, "0"), (-1_500_000, "-1.5")]
)
def test_text_is_plain_decimal(micro: int, text: str) -> None:
    """No exponent, no trailing zeros."""
    assert text == usd_text(micro)


@given(AMOUNTS, st.decimals(min_value=0, max_value=Decimal("0.5"), places=4))
def test_tolerance_never_rounds_up(micro: int, share: Decimal) -> None:
    """The most to pay never exceeds the quote plus the user's share of it."""
    assert micro <= with_tolerance(micro, share) <= micro * (1 + share)


def test_a_rate_rounds_up() -> None:
    """A third of an hour at 1 micro-dollar an hour costs one, not none."""
    assert at_rate(1, 0.33) == 1
    assert at_rate(1_400_000, 2.5) == 3_500_000
