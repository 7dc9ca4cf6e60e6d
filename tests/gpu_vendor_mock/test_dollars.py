"""Amounts of the mock vendor: micro-dollars inside, decimal dollars in JSON."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_vendor_mock.dollars import MICRO, dollars_json, from_dollars, price_of, raised

prices = st.integers(min_value=1, max_value=10_000 * MICRO)


@given(prices)
def test_an_amount_survives_the_trip_through_json(micro: int) -> None:
    """What a client reads from the JSON number is the micro-dollar amount, exactly."""
    read = json.loads(json.dumps(dollars_json(micro)), parse_float=Decimal)
    assert from_dollars(Decimal(read)) == micro


def test_whole_dollars_are_whole_numbers() -> None:
    """The contract shows 5, not 5.0."""
    assert json.dumps(dollars_json(5 * MICRO)) == "5"
    assert json.dumps(dollars_json(1_400_000)) == "1.4"


def test_a_fraction_of_a_micro_dollar_is_refused() -> None:
    """Nothing is rounded on the way in."""
    with pytest.raises(ValueError, match="at most 6 decimals"):
        from_dollars(Decimal("0.0000001"))


def test_a_price_is_rounded_up() -> None:
    """A vendor never loses a fraction of a micro-dollar."""
    assert price_of(1_400_000, Decimal(1)) == 1_400_000
    assert price_of(1_400_000, Decimal("0.5")) == 700_000
    assert price_of(1, Decimal("0.1")) == 1


@given(prices, st.integers(min_value=1, max_value=1_000))
def test_a_raised_price_is_above_by_the_percentage_rounded_up(price: int, percent: int) -> None:
    """`price_above_quote` always shows, however small the price."""
    above = raised(price, percent)
    assert above > price
    assert 0 <= above * 100 - price * (100 + percent) < 100
