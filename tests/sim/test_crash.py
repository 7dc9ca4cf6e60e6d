"""Whoever dies, at any effect, once or twice: the run ends as it must, and the books are what really happened."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import stamina

from agent.book.models import INDEXES
from agent.engine.tick import tick
from tests.agent.killing import Killed, Reaper
from tests.agent.stage import Stage, a_stage
from tests.sim.crash import Blow, Lived, crashes, failures, life_of, pairs, stragglers
from tests.sim.crash_blows import Breaker
from tests.sim.crash_scenarios import SCENARIOS, Scenario
from tests.sim.quick import quick_copies

USUAL = [pytest.param(each, id=each.name) for each in SCENARIOS if not each.long]
PAYMENTS = ("happy path", "payment rejected", "answer to payment lost", "cancel during payment")
TWICE = [pytest.param(each, id=each.name) for each in SCENARIOS if each.name in PAYMENTS]  # `make crashes`: all
BEFORE_AND_AFTER = pytest.mark.parametrize("after", [False, True], ids=["before", "after"])


@pytest.fixture(autouse=True)
def _in_haste() -> Iterator[None]:
    """Retries do not wait, and thousands of deaths are not logged."""
    logging.disable(logging.CRITICAL)
    with stamina.set_testing(True, attempts=3), quick_copies():
        yield
    logging.disable(logging.NOTSET)


async def all_ended_well(scenario: Scenario, lives: AsyncIterator[Lived]) -> int:
    """Every rule held in each of these lives, and they ended as they must. Returns how many there were."""
    count = 0
    async for lived in lives:
        count += 1
        assert lived.as_it_must(scenario.end), f"struck {[each.where for each in lived.wounds]}: {lived.end}"
    return count


@pytest.mark.parametrize("scenario", USUAL)
async def test_untouched_it_ends_as_it_must(scenario: Scenario) -> None:
    """With nobody dying: otherwise the other tests would compare with nothing."""
    life = await life_of(scenario, Reaper())

    assert await life.live() == scenario.end
    assert life.wounds == []


@BEFORE_AND_AFTER
@pytest.mark.parametrize("scenario", USUAL)
async def test_dying_at_any_effect_changes_nothing(scenario: Scenario, after: bool) -> None:
    """The first effect, the second, ... until the run gets through untouched."""
    assert await all_ended_well(scenario, crashes(scenario, after=after)) >= 8


@BEFORE_AND_AFTER
@pytest.mark.parametrize("scenario", USUAL)
async def test_failing_at_any_effect_costs_nothing(scenario: Scenario, after: bool) -> None:
    """The store, a vendor or the planner fails once, having done what was asked or not; the process lives on."""
    assert await all_ended_well(scenario, failures(scenario, after=after)) >= (4 if after else 8)


@pytest.mark.parametrize("scenario", TWICE)
async def test_dying_twice_in_a_purchase_changes_nothing(scenario: Scenario) -> None:
    """After any of its effects and, restarted, after any effect from there."""
    assert await all_ended_well(scenario, pairs(scenario, everywhere=False)) >= 30


async def test_what_a_dead_process_had_sent_may_come_late() -> None:
    """A write or a request of its own, after any effect of the process that took its place and was killed too."""
    assert await all_ended_well(SCENARIOS[0], stragglers(SCENARIOS[0])) >= 300


async def left_behind(number: int, *, after: bool) -> tuple[str | None, dict[str, Any]]:
    """Where the first tick was killed, and the world as it was then."""
    reaper = Reaper()
    stage = await a_stage(watcher=reaper)
    run = await stage.start()
    reaper.kill_at(number, after=after)
    with pytest.raises(Killed):
        await tick(stage.services, run.id)
    return reaper.struck, await everything(stage)


async def everything(stage: Stage) -> dict[str, Any]:
    """All that outlives a process, but for the database's mark: no effect of a tick, with a random name in it."""
    found: dict[str, Any] = {
        name: await stage.database.collection(name).find({}, [("_id", 1)], 1_000)
        for name in INDEXES
        if name != "marks"
    }
    return found | {
        "vendors' journal": await stage.journal(),
        "chain": stage.chain.journal,
        "now": stage.clock.now,
    }


async def test_killed_after_an_effect_is_killed_before_the_next() -> None:
    """So pairs need not be tried both ways."""
    reaper = Reaper()
    stage = await a_stage(watcher=reaper)
    run = await stage.start()
    reaper.kill_at(None, after=False)
    await tick(stage.services, run.id)

    for number in range(1, reaper.count):
        where, after = await left_behind(number, after=True)
        _, before = await left_behind(number + 1, after=False)
        assert after == before, where


@pytest.mark.parametrize(("kind", "deaths"), [(Reaper, 1), (Breaker, 0)])
async def test_only_who_is_killed_dies(kind: type[Reaper], deaths: int) -> None:
    """A kill while the payment is under way ends the tick and leaves the lease behind; a failure does not."""
    reaper = kind()
    stage = await a_stage(watcher=reaper)
    run = await stage.start()
    reaper.kill_at("POST /submit-job paid", after=True)

    died = 0
    try:
        await tick(stage.services, run.id)
    except Killed:
        died += 1

    stored = await stage.stored(run)
    assert (died, stored.lease is not None) == (deaths, deaths == 1)
    assert reaper.struck is not None
    assert len(stage.chain.journal) == 1


async def test_a_blow_falls_where_it_is_aimed() -> None:
    """Counted from the start, and for the second anew from the first."""
    life = await life_of(SCENARIOS[0], Reaper())

    await life.live((Blow(3, after=False), Blow(2, after=True)))

    assert [each.where for each in life.wounds] == [
        "before effect 3, insert_new observations",
        "after effect 2, find_one runs",
    ]
