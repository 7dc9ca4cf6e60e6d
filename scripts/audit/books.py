"""The books of a run, added up again from its payments. Pure.

Amounts are micro-dollars.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agent.book.money import usd_text
from scripts.client.shapes import BookedRun, Payment

__all__ = ["BOOKED", "Books", "books_of"]

BOOKED = ("completed", "unresolved")
"""Payments in these states are spent: settled, or expired with no proof that they were not used."""


@dataclass(frozen=True, slots=True)
class Books:
    """What a run was given, what became of it, and what does not add up (one sentence each)."""

    total: int
    remaining: int
    reserved: int
    spent: int
    payments: tuple[Payment, ...]
    faults: tuple[str, ...]


def books_of(run: BookedRun, payments: Sequence[Payment]) -> Books:
    """The books, with every sum made anew."""
    paid = sum(each.amount for each in payments if each.status in BOOKED)
    set_aside = sum(each.amount for each in run.reservations.values())
    held = run.budget_remaining + run.budget_reserved + run.budget_spent
    faults = []
    if held != run.budget_total:
        faults.append(
            f"remaining, reserved and spent are {usd_text(held)}, the budget was {usd_text(run.budget_total)}"
        )
    if paid != run.budget_spent:
        faults.append(
            f"the payments add up to {usd_text(paid)}, the run says it spent {usd_text(run.budget_spent)}"
        )
    if set_aside != run.budget_reserved:
        faults.append(
            f"the reservations add up to {usd_text(set_aside)}, the run says {usd_text(run.budget_reserved)}"
        )
    return Books(
        total=run.budget_total,
        remaining=run.budget_remaining,
        reserved=run.budget_reserved,
        spent=run.budget_spent,
        payments=tuple(payments),
        faults=tuple(faults),
    )
