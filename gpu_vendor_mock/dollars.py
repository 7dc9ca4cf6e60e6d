"""Amounts: `int` micro-dollars inside (1 USD = 1,000,000, USDC's atomic unit), decimal dollars in JSON."""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal
from typing import Annotated, Final

from pydantic import BeforeValidator, Field

from x402.codec import decimal_text

__all__ = ["MICRO", "TypedDollars", "dollars_json", "from_dollars", "price_of", "raised"]

MICRO: Final = 1_000_000
"""Micro-dollars in a dollar."""

TypedDollars = Annotated[
    Decimal,
    BeforeValidator(lambda typed: decimal_text(typed) if isinstance(typed, str) else typed),
    Field(gt=0, le=10_000, decimal_places=6, allow_inf_nan=False),
]
"""Dollars per hour as the operator gives them: text is plain digits with at most one point."""


def from_dollars(dollars: Decimal) -> int:
    """Dollars with at most 6 decimals as micro-dollars.

    Raises:
        ValueError: when a fraction of a micro-dollar would be lost.
    """
    micro = dollars * MICRO
    if micro != micro.to_integral_value():
        raise ValueError("must have at most 6 decimals")
    return int(micro)


def dollars_json(micro: int) -> int | float:
    """The JSON number of dollars: 1_400_000 -> 1.4. Exact as text below 2**53 micro-dollars."""
    return micro // MICRO if micro % MICRO == 0 else float(Decimal(micro) / MICRO)


def price_of(per_hour: int, hours: Decimal) -> int:
    """What `hours` cost at `per_hour` micro-dollars, rounded up to a micro-dollar."""
    return int((per_hour * hours).to_integral_value(rounding=ROUND_CEILING))


def raised(price: int, percent: int) -> int:
    """`price` plus `percent` percent, rounded up, so that it always differs from the quote."""
    return price + -(-price * percent // 100)
