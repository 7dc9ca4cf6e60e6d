"""The books added up again."""

from __future__ import annotations

import pytest
from pydantic import JsonValue

from scripts.audit.books import books_of
from scripts.audit.vendor_journal import Settlement, against_vendors
from tests.scripts.samples import payment, run


def settlement(**changes: object) -> Settlement:
    """The vendor's side of `payment()`."""
    entry: dict[str, object] = {
        "vendorId": "gpu_vendor_1",
        "amount": 1_400_000,
        "network": "eip155:84532",
        "asset": "0xa55e7",
        "payer": "0xpayer",
        "payTo": "0xpayee",
        "nonce": "0x01",
        "transaction": "0xaa",
    }
    return Settlement.model_validate(entry | changes)


def test_books_that_balance_have_no_fault() -> None:
    """Total is remaining plus spent, and the payments are what was spent."""
    sums = books_of(run(), [payment()])

    assert sums.faults == ()
    assert (sums.total, sums.remaining, sums.reserved, sums.spent) == (5_000_000, 3_600_000, 0, 1_400_000)


def test_an_unresolved_payment_is_spent_and_a_pending_one_is_not() -> None:
    """Booked is what was settled or can no longer be shown unused; what is pending is reserved."""
    set_aside: dict[str, JsonValue] = {"j2": {"vendorId": "v", "amount": 1, "authorized": True}}
    told = run(budgetRemaining=2.6, budgetReserved=1, reservations=set_aside)

    assert books_of(told, [payment(status="unresolved"), payment(amount=1, status="pending")]).faults == ()


@pytest.mark.parametrize(
    ("changes", "amount", "says"),
    [
        ({"budgetRemaining": 3.599999}, 1.4, "the budget was 5"),
        ({}, 1.399999, "the payments add up to 1.399999"),
        ({"budgetReserved": 1, "budgetRemaining": 2.6}, 1.4, "the reservations add up to 0"),
    ],
)
def test_a_micro_dollar_that_is_missing_is_found(changes: dict[str, JsonValue], amount: float, says: str) -> None:
    """Every sum is made anew, to the last digit."""
    (fault,) = books_of(run(**changes), [payment(amount=amount)]).faults

    assert says in fault


def test_vendors_that_wrote_down_the_same_agree() -> None:
    """Addresses are compared without their checksum's capitals."""
    assert against_vendors([payment(), payment(status="pending", nonce="0x02")], [settlement()]) == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"vendorId": "other"},
        {"amount": 1_400_001},
        {"network": "eip155:1"},
        {"asset": "0x0"},
        {"payer": "0x0"},
        {"payTo": "0x0"},
        {"nonce": "0x02"},
        {"transaction": "0xbb"},
    ],
)
def test_any_difference_to_a_vendors_journal_is_found(changes: dict[str, object]) -> None:
    """Party, amount, asset, nonce, transaction: both sides must say the same."""
    missing, extra = against_vendors([payment()], [settlement(**changes)])

    assert "knows nothing of a payment of 1.4" in missing
    assert "not in our books" in extra


def test_a_payment_cashed_twice_is_found() -> None:
    """The same settlement twice in a journal is not the same as once."""
    assert against_vendors([payment()], [settlement(), settlement()]) == ("gpu_vendor_1 was paid twice with 0xaa",)


def test_a_payment_that_no_vendor_knows_is_found() -> None:
    """An unresolved payment is one, until a vendor shows its settlement."""
    (fault,) = against_vendors([payment(status="unresolved", x402TxId=None)], [])

    assert fault == "gpu_vendor_1 knows nothing of a payment of 1.4 (no transaction)"
