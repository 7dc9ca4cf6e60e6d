"""Two runs whose wallet, or key, allows one of them a day, interleaved; somebody dies at each effect in turn."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from typing import Final, TypeVar

import pytest
import stamina
from bson import ObjectId

from agent.book.errors import LeaseLost, RunBusy, StoreUnavailable
from agent.book.limits import KeyLimits
from agent.book.models import Constraints, Run
from agent.engine.tick import tick
from agent.intake.runs import Order, start
from agent.store.keys import KeyStore
from agent.store.runs import RunStore
from gpu_vendor_mock.catalog import DEFAULT_CATALOG
from tests.agent.killing import Killed, Reaper
from tests.agent.stage import START, Stage, a_stage
from tests.sim.crash_blows import Breaker
from tests.sim.oracle import Oracle, Wrong
from tests.sim.purse import Purse
from tests.sim.quick import quick_copies
from tests.sim.world import the_key

T = TypeVar("T")

PRICE: Final = 1_400_000
ROUNDS: Final = 400
MOST: Final = 2_000
KEY: Final = KeyLimits("sharedbyboth", 2_000_000, 3_000_000)
WHOSE = pytest.mark.parametrize("key", [None, KEY], ids=["the wallet's", "the key's"])
KINDS = pytest.mark.parametrize(
    ("kind", "after"),
    [(Reaper, True), (Breaker, False), (Breaker, True)],
    ids=["dies after", "fails before", "fails after"],
)


@pytest.fixture(autouse=True)
def _in_haste() -> Iterator[None]:
    """Retries do not wait, and thousands of deaths are not logged."""
    logging.disable(logging.CRITICAL)
    with stamina.set_testing(True, attempts=3), quick_copies():
        yield
    logging.disable(logging.NOTSET)


class Watching:
    """Holds the journal against the limits after every effect, whoever had it."""

    def __init__(self, inner: Reaper) -> None:
        """Effects happen, or not, as `inner` has it."""
        self._inner = inner
        self.purse: Purse | None = None
        self.wrong: Wrong | None = None

    async def watch(self, name: str, effect: Callable[[], Awaitable[T]]) -> T:
        """Let the effect happen, or not, and look."""

        async def seen() -> T:
            result = await effect()
            try:
                if self.purse is not None:
                    if name == "update runs" and isinstance(result, dict):
                        self.purse.written(result)
                    self.purse.look()
            except Wrong as wrong:  # raised here it would be taken for a fault of the run
                self.wrong = self.wrong or wrong
            return result

        return await self._inner.watch(name, seen)


class Rivals:
    """Two runs over one wallet, or also one key."""

    def __init__(
        self, stage: Stage, watching: Watching, deadline: timedelta | None, key: KeyLimits | None
    ) -> None:
        """`deadline`: from the start; None waits for as long as it takes."""
        self._stage = stage
        self._key_id = None if key is None else key.key_id
        self._watching = watching
        limits, wallet = stage.services.settings.limits, stage.services.wallet.address
        keys = {} if key is None else {"u": key}
        self._purse = Purse(stage.record, limits, wallet, stage.clock.unix, keys=keys)
        watching.purse = self._purse
        payees = {each.vendor_id: each.pay_to for each in DEFAULT_CATALOG}
        self._oracle = Oracle(stage.database, stage.record, stage.chain, payees)
        self._until = None if deadline is None else START + deadline

    async def live(self) -> list[Run]:
        """Both to their ends."""
        wanted = Constraints(vendor_ids=("gpu_vendor_1",), max_hours=1.0, deadline=self._until)
        order = Order("u", "Fine-tune tiny-llm", 5_000_000, wanted, self._key_id)
        ids = [(await self._insist(order, key)).id for key in ("a", "b")]
        for _ in range(ROUNDS):
            found = await asyncio.gather(*(self._tick(each) for each in ids))
            await self._look()
            if all(found):
                await self._end(ids)
                return [await self._run(each) for each in ids]
            due = [run.next_tick_at for run in [await self._run(each) for each in ids] if run.next_tick_at]
            self._stage.clock.now = max(self._stage.clock.now + timedelta(seconds=1), min(due, default=START))
        raise AssertionError("they did not end")

    async def _insist(self, order: Order, key: str) -> Run:
        services = self._stage.services
        while True:
            try:
                return await start(services.runs, services.world, order, key)
            except (Killed, StoreUnavailable):
                continue

    async def _tick(self, run_id: ObjectId) -> bool:
        """One tick; whether there is nothing left to do."""
        try:
            run = (await tick(self._stage.services, run_id)).run
        except RunBusy as busy:
            self._stage.clock.pass_(busy.retry_after)
            return False
        except (Killed, StoreUnavailable, LeaseLost):
            return False
        return run.status != "running" and not (await self._run(run_id)).ended_untold

    async def _look(self) -> None:
        for document in await self._stage.database.collection("runs").find({}, [("_id", 1)], 10):
            await self._oracle.check(document["_id"])
        if self._watching.wrong is not None:
            raise self._watching.wrong

    async def _end(self, ids: list[ObjectId]) -> None:
        for each in ids:
            await self._oracle.check_end(each)
        await self._purse.check_end(self._stage.database)

    async def _run(self, run_id: ObjectId) -> Run:
        return await RunStore(self._stage.database).get(run_id)


async def rivals(
    reaper: Reaper, key: KeyLimits | None, deadline: timedelta | None = None
) -> tuple[list[Run], Counter[str]]:
    """How both end, and what was paid on each day. Limits are those of the key, or without one of the wallet."""
    watching = Watching(reaper)
    limits: dict[str, object] = {"max_per_day": "2", "max_per_wallet": "3"} if key is None else {}
    stage = await a_stage(watcher=watching, epoch_seconds=1, settings=limits)
    if key is not None:
        await KeyStore(stage.database).add(the_key(key))
    ended = await Rivals(stage, watching, deadline, key).live()
    days: Counter[str] = Counter()
    for moved in stage.record.settlements:
        days["first" if moved.at < START.timestamp() + 12 * 3_600 else "later"] += moved.amount
    return ended, days


@WHOSE
async def test_the_second_waits_for_the_next_day(key: KeyLimits | None) -> None:
    """Untouched: one is paid for today, one tomorrow."""
    ended, days = await rivals(Reaper(), key)

    assert [run.status for run in ended] == ["completed", "completed"]
    assert days == {"first": PRICE, "later": PRICE}


@WHOSE
async def test_whoever_dies_after_any_effect_one_is_paid_for_a_day(key: KeyLimits | None) -> None:
    """The first effect of the two, the second, ... until both get through untouched."""
    lives = 0
    for number in range(1, MOST):
        reaper = Reaper()
        reaper.kill_at(number, after=True)
        ended, days = await rivals(reaper, key)
        if reaper.struck is None:
            break
        lives += 1
        assert [run.status for run in ended] == ["completed", "completed"], reaper.struck
        assert days == {"first": PRICE, "later": PRICE}, reaper.struck
    assert lives > 60


@WHOSE
@KINDS
async def test_whoever_dies_at_any_effect_the_other_is_told_which_limit_it_was(
    kind: type[Reaper], after: bool, key: KeyLimits | None
) -> None:
    """With deadlines before midnight: one of the two completes, the other ends with `limit_reached`."""
    lives = 0
    for number in range(1, MOST):
        reaper = kind()
        reaper.kill_at(number, after=after)
        ended, days = await rivals(reaper, key, timedelta(hours=6))
        if reaper.struck is None:
            break
        lives += 1
        assert sorted(run.status for run in ended) == ["completed", "failed"], reaper.struck
        (failed,) = [run.failure for run in ended if run.failure]
        assert failed.code == "limit_reached", reaper.struck
        assert failed.message.count("KEY_MAX_PER_DAY" if key else "MAX_PER_DAY") == 1, reaper.struck
        assert days == {"first": PRICE}, reaper.struck
    assert lives > 60
