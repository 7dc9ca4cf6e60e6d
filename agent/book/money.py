"""Money is an `int` of micro-dollars: 1 USD = 1,000,000, which is also USDC's atomic unit.

No float ever holds money. JSON shows decimal dollars (`5`, `3.6`), so the edges are here: `parse_usd` on the
way in, `usd_json` (a JSON number) and `usd_text` (a string, for prose and the audit trail) on the way out.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal
from typing import Final

from x402.codec import decimal_text

__all__ = [
    "MAX_USD",
    "MICRO",
    "InvalidAmount",
    "at_rate",
    "parse_usd",
    "usd_json",
    "usd_text",
    "with_tolerance",
]

MICRO: Final = 1_000_000
"""Micro-dollars in a dollar."""

MAX_USD: Final = 1_000_000
"""Largest amount taken from outside, in dollars. Far below 2**53 micro-dollars, so JSON numbers are exact."""


_MICRO_DOLLAR: Final = Decimal("0.000001")


class InvalidAmount(ValueError):
    """The text or number is no amount of dollars that we take. The message says why."""


def parse_usd(value: Decimal | int | str, *, zero: bool = False) -> int:
    """Dollars to micro-dollars. Text is plain digits with at most one point.

    Refuses NaN, infinities, more than 6 decimals, negative amounts, amounts above `MAX_USD` and, unless
    `zero` is true, nothing at all.

    Raises:
        InvalidAmount: with a message fit for the sender.
    """
    try:
        dollars = decimal_text(value) if isinstance(value, str) else Decimal(value)
    except ValueError as exc:
        raise InvalidAmount(str(exc)) from None
    if not dollars.is_finite():
        raise InvalidAmount("must be a finite number of dollars")
    if dollars < 0 or (dollars == 0 and not zero):
        raise InvalidAmount("must be greater than 0")
    if dollars > MAX_USD:
        raise InvalidAmount(f"must be at most {MAX_USD} dollars")
    micro = dollars.quantize(_MICRO_DOLLAR)
    if micro != dollars:
        raise InvalidAmount("must have at most 6 decimals: a micro-dollar is the smallest amount")
    return int(micro * MICRO)


def usd_json(micro: int) -> int | float:
    """Micro-dollars as the JSON number of dollars: 5_000_000 -> 5, 3_600_000 -> 3.6.

    The float lives only until it is printed: below 2**53 micro-dollars its shortest text is the exact amount.
    """
    return micro // MICRO if micro % MICRO == 0 else float(Decimal(micro) / MICRO)


def usd_text(micro: int) -> str:
    """Micro-dollars as plain decimal dollars: 3_600_000 -> "3.6", 1 -> "0.000001"."""
    whole, rest = divmod(abs(micro), MICRO)
    fraction = f"{rest:06d}".rstrip("0")
    return f"{'-' if micro < 0 else ''}{whole}{'.' + fraction if fraction else ''}"


def with_tolerance(micro: int, tolerance: Decimal) -> int:
    """The most to pay for a quote: `micro` plus its `tolerance` share (0.1 = 10 %), rounded down."""
    return micro + int(micro * tolerance)


def at_rate(per_hour: int, hours: float) -> int:
    """Cost in micro-dollars of `hours` at `per_hour` micro-dollars, rounded up."""
    return int((per_hour * Decimal(str(hours))).to_integral_value(rounding=ROUND_CEILING))
