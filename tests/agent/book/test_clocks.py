"""A clock that is wrong signs nothing, blames nobody, and locks nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, timedelta
from email.utils import format_datetime

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.book.clocks import FURTHEST, ClockWatch, untimely
from agent.dispatch.rounds import tick_due
from agent.intake.runs import cancel
from gpu_vendor_mock.catalog import DEFAULT_CATALOG
from tests.agent.chain import LedgerChain
from tests.agent.killing import Killed, Reaper
from tests.agent.stage import START, Stage, a_stage

FIRST, SECOND = DEFAULT_CATALOG
YEARS = timedelta(days=3_650)


def dated(stage: Stage, **skews: float) -> None:
    """Vendors whose answers bear a Date, so many seconds ahead of our clock, which is the stage's."""
    inner = stage.transport.handle_async_request

    async def with_date(request: httpx.Request) -> httpx.Response:
        response = await inner(request)
        skew = skews.get(request.headers["x-vendor-id"])
        if skew is not None:
            response.headers["Date"] = format_datetime(
                stage.clock.now.astimezone(UTC) + timedelta(seconds=skew), usegmt=True
            )
        return response

    stage.transport.handle_async_request = with_date  # type: ignore[method-assign]  # vendors with clocks


async def failures(stage: Stage) -> list[int]:
    return [each.record.failed for each in await stage.services.vendors.list()]


@pytest.mark.parametrize("skew", [-1_200.0, 1_200.0])
async def test_by_one_vendors_date_nothing_is_signed_for_it_and_nobody_is_blamed(skew: float) -> None:
    """Whose clock is wrong is not known: the other vendor is rented from."""
    stage = await a_stage()
    dated(stage, gpu_vendor_1=skew, gpu_vendor_2=1)

    run = await stage.finish(await stage.start())

    assert run.status == "completed"
    assert {each.vendor_id for each in stage.record.payments} == {"gpu_vendor_2"}
    assert await failures(stage) == [0, 0]
    assert "nothing is signed for gpu_vendor_1: our clock is 1200 s" in str(
        [e.content for e in await stage.trail(run)]
    )


async def test_by_several_vendors_dates_nothing_is_signed_at_all() -> None:
    """The clock is named in the trail, in the end, and to monitors; also a vendor without a Date gets nothing."""
    stage = await a_stage()
    await stage.services.vendors.change(
        "gpu_vendor_2", lambda vendor: replace(vendor, endpoint="http://localhost:4001")
    )
    dated(stage, gpu_vendor_1=-1_200, gpu_vendor_2=-1_200)
    run = await stage.start()
    await stage.tick(run)
    await stage.tick(run)

    said = stage.services.world.clocks.wrong(stage.clock.now)
    assert said == (
        "our clock is 1200 s ahead, by the clocks of 2 of 2 vendors: set it right; nothing is signed until then"
    )
    dated(stage)
    run = await stage.finish(run)

    assert run.failure is not None
    assert said in run.failure.message
    assert await failures(stage) == [0, 0]


async def test_by_the_chains_time_nothing_is_signed_at_all() -> None:
    """It is no vendor's word, and authorizations are held against it."""
    stage = await a_stage()
    chain = LedgerChain(stage.chain, stage.clock.unix, behind=1_200)
    object.__setattr__(stage.services, "chains", {"eip155:84532": chain})

    run = await stage.finish(await stage.start())

    assert (run.status, stage.record.payments) == ("failed", [])
    assert run.failure is not None
    assert "our clock is 1200 s ahead, by the time of eip155:84532" in run.failure.message


def test_old_words_are_forgotten_and_small_differences_are_none() -> None:
    watch = ClockWatch()
    watch.vendor_says("a", 300, START)
    watch.vendor_says("b", 300, START)
    assert watch.wrong(START) is not None
    assert watch.wrong(START + timedelta(minutes=11)) is None
    for vendor_id in "ab":
        watch.vendor_says(vendor_id, -500, START)
    assert watch.wrong(START) is None


def test_two_clocks_that_are_wrong_do_not_outvote_three_that_are_right() -> None:
    """Nor does another chain's time, nor one host under many names."""
    watch = ClockWatch()
    for host, skew in {"a": -1_200, "b": -1_200, "c": 0, "d": 1, "e": -2}.items():
        watch.vendor_says(host, skew, START)
    assert watch.wrong(START) is None
    watch.chain_says("eip155:84532", -700, START)
    assert watch.wrong(START, "eip155:8453") is None
    assert watch.wrong(START, "eip155:84532") is not None
    one = ClockWatch()
    for _ in range(5):
        one.vendor_says("one.example", -1_200, START)
    assert one.wrong(START) is None


async def test_a_clock_that_is_behind_mends_nothing() -> None:
    """What it takes for the future is the present: a job that is well is not called stalled, nor bought twice."""
    stage = await a_stage(epoch_seconds=600)
    run = await stage.start()
    await stage.tick(run)
    stage.clock.pass_(120)
    stage.clock.now -= timedelta(minutes=20)
    await stage.tick(run)
    stage.clock.now += timedelta(minutes=20)

    await stage.finish(run)

    assert len(stage.record.settlements) == 1


async def test_money_that_is_out_for_years_makes_no_hot_loop() -> None:
    """An authorization signed by a clock ten years ahead can be cashed in ten years: it is looked at once a
    day."""
    stage = await a_stage("gpu_vendor_1:drop_before_payment*9")
    run = await stage.start()
    stage.clock.now += YEARS
    await stage.tick(run)
    stage.clock.now -= YEARS
    await cancel(stage.services, run.id)

    ended = await stage.stored(run)
    assert ended.next_tick_at is not None
    assert ended.next_tick_at <= stage.clock.now + timedelta(hours=24)
    assert await stage.services.due.called(stage.clock.now) == []


@given(st.floats(-1e6, 1e6))
def test_what_is_signed_in_time_is_valid_by_their_clock(skew: float) -> None:
    now, after, before = 1_790_000_000, 1_790_000_000 - 600, 1_790_000_000 + 300
    assert (untimely(skew, now, after, before) is None) == (after < now + skew < before - 6)


async def test_a_lease_of_a_clock_years_ahead_is_over() -> None:
    """It belongs to a process that has died; nobody waits ten years for it."""
    reaper = Reaper()
    stage = await a_stage(watcher=reaper)
    run = await stage.start()
    stage.clock.now += YEARS
    reaper.kill_at("POST /submit-job", after=False)
    with pytest.raises(Killed):
        await stage.tick(run)
    reaper.kill_at(None, after=False)
    stage.clock.now -= YEARS
    stage.clock.pass_(3_600)

    assert (await stage.finish(run)).status == "completed"
    assert len(stage.record.settlements) == 1


async def test_a_run_that_is_due_in_years_is_due() -> None:
    """So are its job's times read as now, and the trail says so."""
    stage = await a_stage()
    run = await stage.start()
    stage.clock.now += YEARS
    await stage.tick(run)
    stage.clock.now -= YEARS
    stage.clock.pass_(30)

    assert (await tick_due(stage.services, 100)).ticks >= 1

    trail = [each.content for each in await stage.trail(run)]
    assert "times of this run lay in the future: a clock was wrong; they are read as now" in trail
    assert (await stage.finish(run)).status == "completed"


async def test_what_is_due_the_next_day_is_left_alone() -> None:
    """A limit may be free again only then."""
    stage = await a_stage()
    run = await stage.start()
    where = {"_id": run.id}
    at = stage.clock.now + FURTHEST - timedelta(minutes=1)
    await stage.database.collection("runs").update(where, {"$set": {"nextTickAt": at}})

    assert await stage.services.due.called(stage.clock.now) == []


async def test_an_authorization_lives_for_fifteen_minutes_at_the_most_by_the_clock_that_signs_it() -> None:
    """The purchase was begun by a process whose clock is an hour ahead: nothing is signed in its name."""
    reaper = Reaper()
    stage = await a_stage(watcher=reaper)
    run = await stage.start()
    stage.clock.now += timedelta(hours=1)
    reaper.kill_at("POST /submit-job", after=False)
    with pytest.raises(Killed):
        await stage.tick(run)
    reaper.kill_at(None, after=False)
    stage.clock.now -= timedelta(hours=1)
    await stage.database.collection("runs").update({"_id": run.id}, {"$set": {"lease": None}})

    await stage.finish(run)

    left = [each.valid_before - stage.clock.now for each in await stage.payments(run)]
    assert left
    assert max(left) <= timedelta(minutes=15)
    assert await failures(stage) == [0, 0]
