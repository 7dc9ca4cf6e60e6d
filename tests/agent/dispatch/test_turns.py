"""Fair turns: whoever has one due run gets it into the page, however many others have."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta

from bson import ObjectId
from hypothesis import given
from hypothesis import strategies as st

from agent.book.errors import StoreUnavailable
from agent.dispatch.turns import USERS, Page, fair_page, in_turn
from agent.store.due import Due
from tests.agent.builders import NOW


class Waiting:
    """Due runs, as the database would give them."""

    def __init__(self, users: Sequence[str]) -> None:
        """One run of each user named, in the order of their waiting."""
        self.runs = [
            Due(ObjectId(f"{place:024x}"), user, NOW + timedelta(seconds=place))
            for place, user in enumerate(users)
        ]
        self.asked = 0
        self.away_from = 1_000

    async def page(self, now: datetime, limit: int, without: Sequence[str] = ()) -> list[Due]:
        """A page."""
        self.asked += 1
        if self.asked >= self.away_from:
            raise StoreUnavailable("away")
        return [each for each in self.runs if each.user_id not in without][:limit]


def first(_: int) -> int:
    """No chance: begin at the beginning."""
    return 0


def page(waiting: Waiting, size: int, seen: frozenset[str] = frozenset()) -> Page:
    return asyncio.run(fair_page(waiting, NOW, size, first, seen))


users = st.lists(st.sampled_from("abcdefgh"), max_size=60)
chance = st.randoms(use_true_random=False).map(lambda random: random.randrange)


@given(users, chance)
def test_dealing_out_loses_and_repeats_nothing(names: list[str], below: object) -> None:
    """Each run once, and in turns: nobody has his n+1st before everybody who has one had his nth."""
    runs = Waiting(names).runs
    dealt = in_turn(runs, below)  # type: ignore[arg-type]  # hypothesis' random has no better type

    assert sorted(each.run_id for each in dealt) == sorted(each.run_id for each in runs)
    had: Counter[str] = Counter()
    turns = []
    for each in dealt:
        had[each.user_id] += 1
        turns.append(had[each.user_id])
    assert turns == sorted(turns)


@given(users)
def test_a_users_own_come_by_how_long_they_wait(names: list[str]) -> None:
    """Where nothing is left to chance; and the longest waiting of all comes first."""
    runs = Waiting(names).runs
    dealt = in_turn(reversed(runs), first)

    for user in set(names):
        assert [each for each in dealt if each.user_id == user] == [each for each in runs if each.user_id == user]
    assert dealt[:1] == runs[:1]


@given(users, st.integers(0, 1_000))
def test_where_one_begins_by_chance_the_order_goes_round(names: list[str], where: int) -> None:
    """From there to the end, and then from the start: so nothing is skipped for good."""
    runs = Waiting(names).runs
    dealt = in_turn(runs, lambda limit: where % limit)

    for user in set(names):
        own = [each for each in runs if each.user_id == user]
        begin = where % len(own)
        assert [each for each in dealt if each.user_id == user] == own[begin:] + own[:begin]


@given(users, st.integers(1, 12))
def test_within_one_lap_everybody_has_a_turn(names: list[str], size: int) -> None:
    """Page after page, though nothing is taken out meanwhile: who had a turn is left out until the lap ends."""
    waiting = Waiting(names)
    seen: frozenset[str] = frozenset()
    met: set[str] = set()
    pages = 0
    while True:
        found = page(waiting, size, seen)
        met |= {each.user_id for each in found.entries} | found.seen
        seen, pages = found.seen, pages + 1
        if not seen:
            break

    assert met == set(names)
    assert pages <= 1 + len(set(names))


def test_one_run_is_in_the_first_page_behind_a_hundred_thousand() -> None:
    """Of another user, all of which have waited longer."""
    waiting = Waiting(["many"] * 100_000 + ["one"])

    found = page(waiting, 1_000)

    assert [each.user_id for each in found.entries[:3]] == ["many", "one", "many"]
    assert (len(found.entries), found.more, found.seen) == (1_000, True, frozenset())
    assert waiting.asked == 2


def test_a_page_full_of_one_users_runs_says_that_there_are_more() -> None:
    """Though nobody else has any: whoever makes the round is told that it was not enough."""
    assert page(Waiting(["many"] * 5), 3).more
    assert not page(Waiting(["many"] * 5), 6).more


def test_a_page_that_holds_all_is_asked_for_once() -> None:
    """What nobody crowds out costs one query."""
    waiting = Waiting(["a", "b", "a"])

    found = page(waiting, 10)

    assert ([each.user_id for each in found.entries], found.more, waiting.asked) == (["a", "b", "a"], False, 1)
    assert page(Waiting([]), 10) == Page([])


def test_a_lap_that_has_only_those_left_who_were_met_begins_anew() -> None:
    """Else their runs would not be found while there is nobody else."""
    waiting = Waiting(["a"] * 5)

    assert len(page(waiting, 3, frozenset("a")).entries) == 3


def test_more_users_than_can_be_told_apart_are_dealt_with_as_they_come() -> None:
    """The list of those to leave out stays bounded."""
    waiting = Waiting([f"u{number}" for number in range(USERS * 3)])

    found = page(waiting, USERS * 2)

    assert (len(found.entries), found.seen, waiting.asked) == (USERS * 2, frozenset(), 1)


def test_where_looking_for_others_takes_too_long_the_page_has_whom_it_has() -> None:
    """A user with a million due runs must not stop everybody."""
    waiting = Waiting(["many"] * 50 + ["one"])
    waiting.away_from = 2

    assert {each.user_id for each in page(waiting, 10).entries} == {"many"}
