"""What the mock vendors wrote down, held against our books. Amounts are micro-dollars, there and here."""

from __future__ import annotations

from collections.abc import Sequence

from agent.book.money import usd_text
from scripts.audit.books import BOOKED
from scripts.client.shapes import Payment, Shape

__all__ = ["Journal", "Settlement", "against_vendors"]


class Settlement(Shape):
    """Money that moved, as the journal has it."""

    vendor_id: str
    amount: int
    network: str
    asset: str
    payer: str
    pay_to: str
    nonce: str
    transaction: str


class Journal(Shape):
    """What the demo needs of the mock vendors' journal."""

    settlements: tuple[Settlement, ...]


def against_vendors(payments: Sequence[Payment], settlements: Sequence[Settlement]) -> tuple[str, ...]:
    """What our payments and the vendors' settlements disagree on, one sentence each.

    Every payment that is booked as spent must be a settlement with the same parties, asset, nonce and transaction.
    """
    ours = sorted(_line(each) for each in payments if each.status in BOOKED)
    theirs = sorted(_line(each) for each in settlements)
    missing = [
        f"{line[0]} knows nothing of a payment of {usd_text(line[1])} ({line[2]})"
        for line in ours
        if line not in theirs
    ]
    extra = [
        f"{line[0]} took {usd_text(line[1])} ({line[2]}) that is not in our books"
        for line in theirs
        if line not in ours
    ]
    twice = [f"{line[0]} was paid twice with {line[2]}" for line in sorted(set(theirs)) if theirs.count(line) > 1]
    return (*missing, *extra, *twice)


def _line(entry: Payment | Settlement) -> tuple[str, int, str, str, str, str, str]:
    return (
        entry.vendor_id,
        entry.amount,
        entry.transaction or "no transaction",
        entry.nonce,
        entry.payer.lower(),
        entry.pay_to.lower(),
        f"{entry.network}/{entry.asset.lower()}",
    )
