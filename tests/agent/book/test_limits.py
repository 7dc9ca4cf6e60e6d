"""What limits allow, to the micro-dollar and to the second."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from bson import ObjectId
from hypothesis import given
from hypothesis import strategies as st

from agent.book.limits import (
    LOOK_AGAIN,
    Allowance,
    KeyLimits,
    Limits,
    Shortage,
    Taken,
    allowed,
    barred,
    free_at,
    in_words,
    next_day,
    room,
    scopes,
    shortages,
)
from gpu_vendor_mock.catalog import DEFAULT_CATALOG
from tests.agent.builders import NOW
from tests.agent.stage import registered
from vendors.models import Vendor

PAYER = "0xF39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
ALL = Limits(per_payment=2_000_000, per_vendor_per_day=4_000_000, per_day=5_000_000, per_wallet=9_000_000)
MIDNIGHT = datetime(2026, 11, 22, tzinfo=UTC)


def a_sum(key: str, spent: int = 0, pending: int = 0) -> dict[str, Allowance]:
    open_ = {"a" * 24: Taken(amount=pending, run_id=ObjectId())} if pending else {}
    return {key: Allowance(key=key, committed=spent + pending, open=open_)}


def a_vendor(**changes: object) -> Vendor:
    return registered(DEFAULT_CATALOG[0], pinned=changes.get("pinned", True) is True)


def test_a_purchase_counts_for_its_vendor_its_day_and_its_wallet() -> None:
    """The wallet by its address however it is spelled, the day by UTC."""
    evening = NOW.astimezone(timezone(timedelta(hours=-9)))

    found = scopes(ALL, PAYER, "gpu_vendor_1", evening)

    assert [(each.key, each.limit, each.ends) for each in found] == [
        ("vendor:gpu_vendor_1:2026-11-21", 4_000_000, MIDNIGHT),
        (f"wallet:{PAYER.lower()}:2026-11-21", 5_000_000, MIDNIGHT),
        (f"wallet:{PAYER.lower()}", 9_000_000, None),
    ]


def test_what_has_no_limit_is_not_counted() -> None:
    """And nothing is short of it."""
    assert scopes(Limits(), PAYER, "gpu_vendor_1", NOW) == ()
    assert shortages(Limits(), (), {}, 10**12) == []
    assert room(Limits(), (), {}) is None
    assert allowed(Limits(), 7) == 7


def test_a_day_ends_at_midnight_utc_and_not_before() -> None:
    """The last microsecond of a day belongs to it."""
    assert next_day(MIDNIGHT - timedelta(microseconds=1)) == MIDNIGHT
    assert next_day(MIDNIGHT) == MIDNIGHT + timedelta(days=1)


@pytest.mark.parametrize("place", range(3))
def test_a_limit_can_be_used_up_and_not_passed(place: int) -> None:
    """Each of the sums, to the micro-dollar; the others are empty."""
    wanted = scopes(ALL, PAYER, "gpu_vendor_1", NOW)
    taken = a_sum(wanted[place].key, spent=wanted[place].limit - 1_400_000)

    assert shortages(ALL, wanted, taken, 1_400_000) == []
    (short,) = shortages(ALL, wanted, taken, 1_400_001)
    assert (short.name, short.left, short.asked) == (wanted[place].name, 1_400_000, 1_400_001)
    assert room(ALL, wanted, taken) == 1_400_000


def test_one_payment_has_a_limit_of_its_own() -> None:
    """It bounds what is signed, whatever was set aside."""
    (short,) = shortages(ALL, (), {}, 2_000_001)

    assert (short.name, short.left) == ("MAX_PER_PAYMENT", 2_000_000)
    assert shortages(ALL, (), {}, 2_000_000) == []
    assert (allowed(ALL, 3_000_000), allowed(ALL, 1_000_000)) == (2_000_000, 1_000_000)
    assert room(ALL, (), {}) == 2_000_000


def test_a_shortage_says_which_limit_it_is_and_when_to_come_back() -> None:
    """Of a sum in which others' runs count no more than that; of a key's own, what is left of it too."""
    ours = Shortage("MAX_PER_DAY", 5_000_000, 1_800_000, 600_000, 0, MIDNIGHT)
    own = Shortage("KEY_MAX_TOTAL", 5_000_000, 1_800_000, 600_000, 0, None, shared=False)

    assert in_words([ours], MIDNIGHT) == (
        "MAX_PER_DAY leaves too little for the 1.8 USD that are asked for; "
        "worth another try at 2026-11-22T00:00:00+00:00"
    )
    assert in_words([own], None) == (
        "KEY_MAX_TOTAL is 5 USD, 0.6 of it are left and 1.8 are asked for; "
        "waiting does not help: ask for less, or ask who runs the server for a higher limit"
    )
    assert ours.data == {"limit": "MAX_PER_DAY", "askedUsd": "1.8"}
    assert own.data == {"limit": "KEY_MAX_TOTAL", "askedUsd": "1.8", "limitUsd": "5", "leftUsd": "0.6"}


def test_only_what_one_user_alone_spends_is_told_to_him() -> None:
    """A key's sums, unless it starts runs for others; never a wallet's or a vendor's."""
    for shared in (False, True):
        limits = replace(ALL, key=KeyLimits("k", 1, 1, shared=shared))
        found = {each.name: each.shared for each in scopes(limits, PAYER, "gpu_vendor_1", NOW)}

        assert found == {
            "MAX_PER_VENDOR_PER_DAY": True,
            "KEY_MAX_PER_DAY": shared,
            "KEY_MAX_TOTAL": shared,
            "MAX_PER_DAY": True,
            "MAX_PER_WALLET": True,
        }


@pytest.mark.parametrize(
    ("short", "when"),
    [
        (Shortage("MAX_PER_DAY", 5, 2, 1, 0, MIDNIGHT), MIDNIGHT),
        (Shortage("MAX_PER_DAY", 5, 2, 1, 1, MIDNIGHT), NOW + LOOK_AGAIN),
        (Shortage("MAX_PER_DAY", 5, 6, 5, 0, MIDNIGHT), None),
        (Shortage("MAX_PER_WALLET", 5, 2, 1, 0, None), None),
        (Shortage("MAX_PER_WALLET", 5, 2, 1, 1, None), NOW + LOOK_AGAIN),
        (Shortage("MAX_PER_PAYMENT", 1, 2, 1, 0, None), None),
    ],
)
def test_waiting_helps_where_something_can_become_free(short: Shortage, when: datetime | None) -> None:
    """At the end of the day, or when what others have set aside comes back; never above the limit itself."""
    assert free_at([short], NOW) == when


def test_waiting_is_for_the_last_of_all_that_is_short() -> None:
    """And in vain if one of them never becomes free."""
    today = Shortage("MAX_PER_DAY", 5, 2, 1, 0, MIDNIGHT)
    soon = Shortage("MAX_PER_WALLET", 5, 2, 1, 1, None)
    never = Shortage("MAX_PER_WALLET", 5, 2, 1, 0, None)

    assert free_at([today, soon], NOW) == MIDNIGHT
    assert free_at([today, never], NOW) is None
    assert free_at([], NOW) is None


def test_shortly_before_midnight_nobody_waits_past_it() -> None:
    """A new day frees more than what others may give back."""
    late = MIDNIGHT - timedelta(minutes=1)

    assert free_at([Shortage("MAX_PER_DAY", 5, 2, 1, 1, MIDNIGHT)], late) == MIDNIGHT


@pytest.mark.parametrize(
    ("hosts", "in_"),
    [
        ({"127.0.0.1"}, True),
        ({"127.0.0.1:4001"}, True),
        ({"127.0.0.1:443"}, False),
        ({"gpu.example"}, False),
        (set(), False),
    ],
)
def test_only_hosts_on_the_list_are_dealt_with(hosts: set[str], in_: bool) -> None:
    """With any port, or with one."""
    why = barred(Limits(hosts=frozenset(hosts)), a_vendor())

    assert (why is None) == in_
    assert in_ or "ALLOWED_HOSTS" in str(why)


def test_only_payees_on_the_list_are_dealt_with() -> None:
    """However their address is spelled; one that nobody knows yet is held against the list when it is named."""
    payee = a_vendor().pay_to
    assert payee is not None

    assert barred(Limits(payees=frozenset({payee.lower()})), a_vendor()) is None
    assert "ALLOWED_PAYEES" in str(barred(Limits(payees=frozenset({PAYER.lower()})), a_vendor()))
    assert barred(Limits(payees=frozenset()), a_vendor(pinned=False)) is None


def test_a_payee_seen_for_the_first_time_is_pinned_or_refused() -> None:
    """As FIRST_SEEN_PAYEE says; a registered one is nobody's first."""
    assert barred(Limits(first_seen="pin"), a_vendor(pinned=False)) is None
    assert "FIRST_SEEN_PAYEE" in str(barred(Limits(first_seen="refuse"), a_vendor(pinned=False)))
    assert barred(Limits(first_seen="refuse"), a_vendor()) is None


@given(
    st.integers(1, 10**7),
    st.lists(st.integers(0, 10**7), min_size=3, max_size=3),
    st.builds(Limits, *[st.none() | st.integers(0, 10**7)] * 4),
)
def test_room_and_shortages_say_the_same(amount: int, spent: list[int], limits: Limits) -> None:
    """What there is room for is never short, and one micro-dollar more always is."""
    wanted = scopes(limits, PAYER, "gpu_vendor_1", NOW)
    taken = {
        scope.key: Allowance(key=scope.key, committed=each) for scope, each in zip(wanted, spent, strict=False)
    }

    most = room(limits, wanted, taken)

    assert bool(shortages(limits, wanted, taken, amount)) == (most is not None and amount > most)
