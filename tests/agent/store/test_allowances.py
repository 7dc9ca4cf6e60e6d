"""What a limit over many runs relies on: a sum is never taken beyond it, whoever asks, however often."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest
from bson import ObjectId
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from agent.book.errors import StoreUnavailable
from agent.book.limits import Allowance
from agent.book.models import Closing
from agent.store.allowances import AllowanceStore
from agent.store.collections import Database
from agent.store.embedded import EmbeddedDatabase

DAY = "wallet:0x0:2026-11-21"
RUN = ObjectId("f" * 24)


@pytest.fixture
def store(database: Database) -> AllowanceStore:
    """The store under test."""
    return AllowanceStore(database)


def a_job(number: int) -> str:
    return f"{number:024x}"


def over(job_id: str, spent: int, amount: int = 400, *keys: str) -> Closing:
    return Closing(job_id=ObjectId(job_id), scopes=keys or (DAY,), amount=amount, spent=spent)


async def the_sum(store: AllowanceStore, key: str = DAY) -> Allowance:
    return (await store.read([key]))[key]


async def test_a_sum_that_nobody_took_from_is_not_there(store: AllowanceStore) -> None:
    """Reading makes nothing, and nothing asked is nothing read."""
    assert await store.read([DAY]) == {}
    assert await store.read([]) == {}


async def test_a_limit_can_be_taken_up_to_the_last_micro_dollar(store: AllowanceStore) -> None:
    """And not one beyond it; each sum is by itself."""
    assert await store.take(DAY, 1_000, a_job(1), RUN, 400)
    assert await store.take(DAY, 1_000, a_job(2), RUN, 600)

    assert not await store.take(DAY, 1_000, a_job(3), RUN, 1)
    assert await store.take("another", 1_000, a_job(3), RUN, 1)
    assert (await the_sum(store)).committed == 1_000
    assert set((await the_sum(store)).open) == {a_job(1), a_job(2)}


async def test_what_is_above_the_limit_is_refused_from_the_first(store: AllowanceStore) -> None:
    """An empty sum allows no more than a full one."""
    assert not await store.take(DAY, 399, a_job(1), RUN, 400)
    assert not await store.take(DAY, 0, a_job(1), RUN, 1)


async def test_a_job_counts_once(store: AllowanceStore) -> None:
    """However often it is asked for, with no room left, and whatever the limit is by then."""
    assert await store.take(DAY, 400, a_job(1), RUN, 400)

    assert await store.take(DAY, 400, a_job(1), RUN, 400)
    assert await store.take(DAY, 1, a_job(1), RUN, 400)
    assert (await the_sum(store)).committed == 400


@pytest.mark.parametrize(("spent", "left"), [(400, 400), (300, 300), (0, 0)])
async def test_what_a_purchase_did_not_spend_is_given_back(store: AllowanceStore, spent: int, left: int) -> None:
    """Once: the second time, and the third, nothing changes."""
    await store.take(DAY, 1_000, a_job(1), RUN, 400)
    await store.take(DAY, 1_000, a_job(2), RUN, 100)

    for _ in range(3):
        await store.close(over(a_job(1), spent))

    found = await the_sum(store)
    assert (found.committed, set(found.open)) == (100 + left, {a_job(2)})


async def test_closing_what_was_never_counted_changes_nothing(store: AllowanceStore) -> None:
    """A sum that is not there, and a job that is not in it."""
    await store.close(over(a_job(1), 0))
    await store.take(DAY, 1_000, a_job(2), RUN, 400)
    await store.close(over(a_job(1), 0))

    assert (await the_sum(store)).committed == 400
    assert list(await store.read([DAY, "another"])) == [DAY]


async def test_a_purchase_is_closed_in_all_its_sums(store: AllowanceStore) -> None:
    """Those in which it counts."""
    for key in ("a", "b"):
        await store.take(key, 1_000, a_job(1), RUN, 400)

    await store.close(over(a_job(1), 150, 400, "a", "b", "c"))

    found = await store.read(["a", "b", "c"])
    assert {key: (each.committed, each.open) for key, each in found.items()} == {"a": (150, {}), "b": (150, {})}


async def test_an_entry_says_whose_it_is(store: AllowanceStore) -> None:
    """So that one that was left behind can be told from one that is alive."""
    await store.take(DAY, 1_000, a_job(1), RUN, 400)

    entry = (await the_sum(store)).open[a_job(1)]
    assert (entry.run_id, entry.amount) == (RUN, 400)


async def test_whoever_takes_at_once_the_limit_holds(store: AllowanceStore) -> None:
    """24 at a time, each twice, on a sum that nobody has begun yet; there is room for seven."""
    jobs = [a_job(number) for number in range(24)]

    got = await asyncio.gather(*(store.take(DAY, 7 * 400 + 399, job, RUN, 400) for job in jobs * 2))

    found = await the_sum(store)
    assert found.committed == 7 * 400
    assert len(found.open) == 7
    assert {job for job, took in zip(jobs * 2, got, strict=True) if took} == set(found.open)


async def test_taking_and_giving_back_at_once_loses_nothing(store: AllowanceStore) -> None:
    """Afterwards the sum is what is open and what was spent."""

    async def buy(number: int) -> int:
        if not await store.take(DAY, 2_000, a_job(number), RUN, 400):
            return 0
        spent = 100 * (number % 5)
        await asyncio.gather(*(store.close(over(a_job(number), spent)) for _ in range(2)))
        return spent

    spent = sum(await asyncio.gather(*(buy(number) for number in range(24))))

    found = await the_sum(store)
    assert (found.committed, found.open) == (spent, {})


async def test_a_sum_that_is_never_still_counts_as_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is room at every look and none at any write: it is not tried for ever."""
    store = AllowanceStore(EmbeddedDatabase())
    await store.take(DAY, 1_000, a_job(1), RUN, 400)

    async def never(*_: object) -> None:
        return None

    monkeypatch.setattr("agent.store.embedded.EmbeddedCollection.update", never)
    with pytest.raises(StoreUnavailable, match="all the time"):
        await store.take(DAY, 1_000, a_job(2), RUN, 400)


@dataclass
class Reference:
    """A sum as it must be."""

    spent: int = 0
    open: dict[str, int] = field(default_factory=dict)
    over: dict[str, int] = field(default_factory=dict)


class Sums(RuleBasedStateMachine):
    """Jobs take, repeat, close and close again in any order, on one sum; a reference keeps the books."""

    def __init__(self) -> None:
        super().__init__()
        self.store = AllowanceStore(EmbeddedDatabase())
        self.real = Reference()
        self.loop = asyncio.new_event_loop()

    @rule(number=st.integers(0, 12), limit=st.sampled_from([900, 1_000, 2_500]), amount=st.integers(1, 700))
    def take(self, number: int, limit: int, amount: int) -> None:
        job, real = a_job(number), self.real
        if job in real.over:
            return
        committed = real.spent + sum(real.open.values())
        fits = job in real.open or committed + amount <= limit
        took = self.loop.run_until_complete(self.store.take(DAY, limit, job, RUN, real.open.get(job, amount)))
        assert took == fits
        if took:
            real.open.setdefault(job, amount)

    @rule(number=st.integers(0, 12), share=st.integers(0, 100))
    def close(self, number: int, share: int) -> None:
        job, real = a_job(number), self.real
        amount = real.open.pop(job, None)
        if amount is not None:
            real.over[job] = amount
            real.spent += amount * share // 100
        told = real.over.get(job, 400)
        self.loop.run_until_complete(self.store.close(over(job, told * share // 100, told)))

    @invariant()
    def the_sum_is_what_was_spent_and_what_is_open(self) -> None:
        found = self.loop.run_until_complete(self.store.read([DAY])).get(DAY, Allowance(key=DAY))
        assert {job: each.amount for job, each in found.open.items()} == self.real.open
        assert found.committed == self.real.spent + sum(self.real.open.values())
        assert found.committed <= 2_500

    def teardown(self) -> None:
        self.loop.close()


TestSums = Sums.TestCase
TestSums.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
