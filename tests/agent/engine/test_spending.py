"""Limits that span runs, as runs meet them: what is counted, what is given back, what waits and what ends."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from bson import ObjectId

from agent.book.errors import LimitReached
from agent.book.limits import Limits, Scope, scopes
from agent.book.models import Run
from agent.engine.spending import short, survey, take
from agent.kinds.rental.planner import Asked, Plan, Planner
from agent.kinds.rental.planner.context import PlanContext, StartJob, beyond
from agent.kinds.rental.planner.prompt import question
from agent.process.settings import Settings
from agent.store.allowances import AllowanceStore
from tests.agent.killing import Reaper
from tests.agent.limited import (
    FIRST,
    MIDNIGHT,
    PAYER,
    SECOND,
    TODAY,
    codes,
    committed,
    paid,
    reserved_only,
    reserved_only_unlimited,
    said,
    the_sums,
)
from tests.agent.stage import START, Stage, a_stage


async def test_what_a_run_spends_counts_in_every_sum_that_has_a_limit() -> None:
    """To the micro-dollar, once it has ended; the wallet's life, its day, the vendor's day."""
    limits: dict[str, object] = {"max_per_day": "5", "max_per_wallet": "9", "max_per_vendor_per_day": "3"}
    stage = await a_stage("gpu_vendor_1:fail_at_epoch=2", settings=limits)

    ended = await stage.finish(await stage.start())

    assert ended.status == "completed"
    assert await committed(stage) == {
        "vendor:gpu_vendor_1:2026-11-21": FIRST,
        "vendor:gpu_vendor_2:2026-11-21": SECOND,
        PAYER: FIRST + SECOND,
        TODAY: FIRST + SECOND,
    }


async def test_without_limits_nothing_is_counted() -> None:
    """And no sum is read."""
    reaper = Reaper()
    stage = await a_stage(watcher=reaper)

    await stage.finish(await stage.start())

    assert await the_sums(stage) == {}
    assert not [each for each in reaper.log if "allowances" in each]


async def test_what_was_held_against_an_offer_is_in_the_trail() -> None:
    """Once, with the authorization: the policy's version, the most it would have signed, the limits."""
    stage = await a_stage(settings={"max_per_day": "5", "max_per_payment": "2"})
    run = await stage.start()
    await stage.finish(run)

    (authorized,) = [each for each in await said(stage, run, "payment_event") if each["event"] == "authorized"]

    assert authorized["policy"] == {
        "version": "4",
        "mostUsd": "1.4",
        "limitsUsd": {"MAX_PER_DAY": "5", "MAX_PER_PAYMENT": "2"},
    }


async def test_a_run_waits_for_the_next_day_when_today_is_used_up() -> None:
    """It says so once, and goes on at midnight UTC."""
    stage = await a_stage("gpu_vendor_1:fail_at_epoch=2", settings={"max_per_day": "2.5"})
    run = await stage.start()

    ended = await stage.finish(run)

    assert (ended.status, ended.budget_spent) == ("completed", FIRST + SECOND)
    (waited,) = await said(stage, run, "limit_reached")
    assert waited == {
        "vendorId": "gpu_vendor_2",
        "limits": [{"limit": "MAX_PER_DAY", "askedUsd": "1.8"}],
        "freeAt": MIDNIGHT.isoformat(),
    }
    assert await committed(stage) == {TODAY: FIRST, f"{PAYER}:2026-11-22": SECOND}


@pytest.mark.parametrize(
    ("limits", "constraints", "spent", "named"),
    [
        ({"max_per_day": "2.5"}, {"deadline": START + timedelta(hours=6), "max_hours": 1.0}, FIRST, "MAX_PER_DAY"),
        ({"max_per_day": "1.7"}, {}, FIRST, "MAX_PER_DAY"),
        ({"max_per_wallet": "2.5"}, {}, FIRST, "MAX_PER_WALLET"),
        ({"max_per_payment": "1.3"}, {}, 0, "MAX_PER_PAYMENT"),
    ],
)
async def test_a_run_ends_where_waiting_is_in_vain(
    limits: dict[str, object], constraints: dict[str, object], spent: int, named: str
) -> None:
    """Its deadline comes first, the job is above the limit itself, or nothing becomes free; it names which."""
    stage = await a_stage("gpu_vendor_1:fail_at_epoch=2", settings=limits)
    run = await stage.start(constraints=constraints | {"vendor_ids": ("gpu_vendor_1", "gpu_vendor_2")})

    ended = await stage.finish(run)

    assert ended.failure is not None
    assert (ended.status, ended.failure.code, ended.budget_spent) == ("failed", "limit_reached", spent)
    asked = "1.8" if spent else "1.4"
    text = (
        f"{named} is 1.3 USD" if named == "MAX_PER_PAYMENT" else f"{named} leaves too little for the {asked} USD"
    )
    assert text in ended.failure.message
    assert ("worth another try at 2026-11-22T00:00:00+00:00" in ended.failure.message) == (
        "deadline" in constraints
    )
    assert len(await said(stage, run, "limit_reached")) == 1


async def test_a_vendor_whose_day_is_used_up_is_passed_over_for_another() -> None:
    """The second run of the day goes to the next vendor, without a try at the first."""
    stage = await a_stage(settings={"max_per_vendor_per_day": "2"})
    await stage.finish(await stage.start())

    run = await stage.start()
    ended = await stage.finish(run)

    assert ended.status == "completed"
    assert [job.vendor_id for job in await stage.jobs(run)] == ["gpu_vendor_2"]
    assert paid(stage) == [FIRST, SECOND]


async def test_a_tolerance_takes_no_more_than_limits_leave() -> None:
    """A higher price is within the run's tolerance and not within the limit: the vendor's price is refused."""
    stage = await a_stage("gpu_vendor_1:price_above_quote=10", settings={"max_per_payment": "1.5"})
    run = await stage.start(constraints={"price_tolerance": "0.2", "vendor_ids": ("gpu_vendor_1",)})

    await stage.tick(run)

    assert await codes(stage, run) == ["offer_refused"]
    assert paid(stage) == []


async def test_what_a_tolerance_set_aside_is_given_back() -> None:
    """While it is open the most counts, afterwards what was paid."""
    stage = await a_stage(settings={"max_per_day": "5"})
    run = await stage.start(constraints={"price_tolerance": "0.2"})

    await stage.finish(run)

    assert await committed(stage) == {TODAY: FIRST}


async def test_what_was_not_spent_is_given_back() -> None:
    """A refused offer, a payment that was never cashed on: nothing of the first, all of the second counts."""
    stage = await a_stage("gpu_vendor_1:wrong_payee,gpu_vendor_2:reject_payment*1", settings={"max_per_day": "50"})
    run = await stage.start(budget=20_000_000)

    ended = await stage.finish(run)

    assert await committed(stage) == {TODAY: ended.budget_spent}
    assert "offer_refused" in await codes(stage, run)


async def test_many_runs_at_once_spend_no_more_than_a_day_allows() -> None:
    """Eight begin together, there is room for three; the others go on the next days, three a day."""
    stage = await a_stage(settings={"max_per_day": "4.5"})
    runs = [await stage.start(constraints={"vendor_ids": ("gpu_vendor_1",)}) for _ in range(8)]

    await asyncio.gather(*(stage.tick(run) for run in runs))
    assert sum(paid(stage)) == 3 * FIRST

    for run in runs:
        assert (await stage.finish(run)).status == "completed"
    assert set((await committed(stage)).values()) <= {3 * FIRST, 2 * FIRST}
    assert len(paid(stage)) == 8


async def before_it_is_paid(stage: Stage, run: Run, happens: Callable[[], Awaitable[object]]) -> None:
    """A tick in which something happens between the money being set aside and its share being asked for."""
    real = stage.transport.handle_async_request

    async def first_another(request: Any) -> Any:
        if request.url.path == "/submit-job":
            await happens()
        return await real(request)

    stage.transport.handle_async_request = first_another  # type: ignore[method-assign]
    await stage.tick(run)
    stage.transport.handle_async_request = real  # type: ignore[method-assign]


async def used_up_meanwhile(stage: Stage) -> Run:
    """A run that has reserved, and a limit that somebody else uses up before it asks for its share."""
    run = await stage.start(constraints={"vendor_ids": ("gpu_vendor_1",)})
    sums = AllowanceStore(stage.database)
    await before_it_is_paid(stage, run, lambda: sums.take(TODAY, 2_000_000, "e" * 24, ObjectId(), 1_000_000))
    return run


async def test_a_limit_that_somebody_else_used_up_meanwhile_refuses() -> None:
    """Nothing is signed, what was taken elsewhere goes back, the vendor is not blamed, and the run waits."""
    stage = await a_stage(settings={"max_per_vendor_per_day": "9", "max_per_day": "2", "max_per_wallet": "9"})
    run = await used_up_meanwhile(stage)

    assert await codes(stage, run) == ["limit_reached"]
    assert stage.record.payments == []
    found = await the_sums(stage)
    assert {key: each.committed for key, each in found.items()} == {
        "vendor:gpu_vendor_1:2026-11-21": 0,
        TODAY: 1_000_000,
    }
    vendor = await stage.services.vendors.find("gpu_vendor_1")
    assert vendor is not None
    assert vendor.record.failed == 0
    waiting = (await stage.tick(run)).run
    assert waiting.wait_until == START + timedelta(minutes=15)  # the other purchase may come to nothing


async def left_behind(stage: Stage) -> None:
    """A worker that had slept took for a purchase that was over by then."""
    run = await stage.start(constraints={"vendor_ids": ("gpu_vendor_1",)})
    await stage.finish(run)
    (job,) = await stage.jobs(run)
    assert await AllowanceStore(stage.database).take(TODAY, 3_000_000, str(job.id), run.id, FIRST)


async def test_what_a_late_worker_counted_is_swept_away_when_it_is_in_the_way() -> None:
    """The next run finds room, and the sum is what was spent."""
    stage = await a_stage(settings={"max_per_day": "3"})
    await left_behind(stage)

    ended = await stage.finish(await stage.start(constraints={"vendor_ids": ("gpu_vendor_1",)}))

    assert ended.status == "completed"
    assert ended.completed_at is not None
    assert ended.completed_at < MIDNIGHT
    assert await committed(stage) == {TODAY: 2 * FIRST}


async def test_taking_sweeps_too_before_it_refuses() -> None:
    """A limit is not short for the sake of an entry that is nobody's."""
    stage = await a_stage()
    reserved = await reserved_only(stage)
    job_id = next(iter(reserved.reservations))
    await left_behind(stage)

    await take(stage.services, reserved, job_id, [Scope(TODAY, "MAX_PER_DAY", 3_000_000, None)])

    assert set((await the_sums(stage))[TODAY].open) == {job_id}


async def test_a_run_that_cannot_be_read_stops_no_others_sweep() -> None:
    """Its entry stays counted, for nobody knows; the next one, which is nobody's, is swept away all the same."""
    stage = await a_stage(settings={"max_per_day": "4"})
    poisoned = await reserved_only(stage)
    await AllowanceStore(stage.database).take(
        TODAY, 4_000_000, next(iter(poisoned.reservations)), poisoned.id, SECOND
    )
    await stage.database.collection("runs").update({"_id": poisoned.id}, {"$set": {"budgetTotal": "much"}})
    run = await stage.start(constraints={"vendor_ids": ("gpu_vendor_1",)})
    await AllowanceStore(stage.database).take(TODAY, 4_000_000, "e" * 24, run.id, FIRST)

    await stage.tick(run)

    assert paid(stage) == [FIRST]
    assert (await the_sums(stage))[TODAY].committed == SECOND + FIRST


async def test_what_is_alive_is_not_swept() -> None:
    """Neither a reservation that is open, nor one whose closing is not told yet, nor one of an unknown run."""
    stage = await a_stage(settings={"max_per_day": "3"})
    run = await reserved_only(stage)
    allowances = AllowanceStore(stage.database)
    job_id = next(iter(run.reservations))
    await allowances.take(TODAY, 3_000_000, job_id, run.id, SECOND)
    await allowances.take(TODAY, 3_000_000, "e" * 24, ObjectId(), 1_000_000)

    (shortage,) = await short(stage.services, Limits(per_day=3_000_000), "gpu_vendor_1", FIRST)
    assert (shortage.left, shortage.pending) == (200_000, 2_800_000)

    closing = {"jobId": ObjectId(job_id), "scopes": [TODAY], "amount": SECOND, "spent": SECOND}
    await stage.database.collection("runs").update(
        {"_id": run.id}, {"$set": {"reservations": {}, "outbox.closings": [closing]}}
    )
    (shortage,) = await short(stage.services, Limits(per_day=3_000_000), "gpu_vendor_1", FIRST)
    assert shortage.left == 200_000


async def test_a_limit_that_is_set_while_money_is_set_aside_counts_it() -> None:
    """The run names the new sum first, then it is taken from, then it is signed."""
    stage = await a_stage()
    run = await reserved_only(stage)
    limited = replace(stage.services, settings=Settings.model_validate({"max_per_day": "3"}))
    stage.services = limited

    ended = await stage.finish(run)

    assert (ended.status, await committed(stage)) == ("completed", {TODAY: SECOND})


async def test_the_day_is_that_of_the_reservation() -> None:
    """Whoever finishes it after midnight counts it where it was counted before."""
    stage = await a_stage(settings={"max_per_day": "3"})
    stage.clock.now = MIDNIGHT - timedelta(seconds=20)
    run = await reserved_only(stage)
    assert stage.clock.now > MIDNIGHT

    await stage.finish(run)

    assert await committed(stage) == {TODAY: SECOND}


async def test_a_survey_reads_all_sums_at_once() -> None:
    """One read for however many vendors: a tick is bounded."""
    reaper = Reaper()
    stage = await a_stage(watcher=reaper, settings={"max_per_day": "5", "max_per_vendor_per_day": "2"})
    reaper.kill_at(None, after=False)
    before = len(reaper.log)

    found = await survey(stage.services, stage.services.settings.limits, await stage.services.vendors.list())

    assert reaper.log[before:] == ["find vendors", "find allowances"]
    assert {each.room for each in found.values()} == {2_000_000}


async def test_a_refused_share_says_which_limit_it_was(caplog: pytest.LogCaptureFixture) -> None:
    """With what was asked for; what is left is for the log."""
    caplog.set_level(logging.INFO, "agent")
    stage = await a_stage(settings={"max_per_day": "1"})
    run = await reserved_only_unlimited(stage)
    job_id = next(iter(run.reservations))

    with pytest.raises(
        LimitReached, match=r"^MAX_PER_DAY leaves too little for the 1\.8 USD that are asked for; wait"
    ):
        await take(stage.services, run, job_id, [Scope(TODAY, "MAX_PER_DAY", 1_000_000, MIDNIGHT)])
    (line,) = [vars(each) for each in caplog.records if each.message == "MAX_PER_DAY is reached"]
    assert (line["limitUsd"], line["leftUsd"], line["askedUsd"]) == ("1", "1", "1.8")


async def all_said(stage: Stage, run: Run) -> str:
    """All that the run's user can read of it, but for ids and hashes."""
    run = await stage.stored(run)
    trail = [(each.type, each.content, each.data) for each in await stage.trail(run)]
    jobs = [(job.status, job.failure, job.expected_cost, job.job_params) for job in await stage.jobs(run)]
    return re.sub(r"[0-9a-f]{24,}", "ID", repr((trail, jobs, run.failure, run.wait_until, run.status)))


class Nosy:
    """A model that repeats all that it is told, and then orders at the first vendor."""

    async def plan(self, context: PlanContext, timeout: float) -> Plan:  # noqa: ASYNC109 (the Planner's face)
        """The question, and the refusal of the answer, as the trail keeps them."""
        start = StartJob(vendorId="gpu_vendor_1")
        asked = Asked("0" * 64, question(context, None), tuple(beyond(start, context)))
        return Plan(start, "fireworks", "nosy", None, 0, 0, 0, 0, None, (asked,))


@pytest.mark.parametrize("planner", [None, Nosy()], ids=["stub", "model"])
@pytest.mark.parametrize("limit", ["max_per_day", "max_per_wallet", "max_per_vendor_per_day"])
@pytest.mark.parametrize("meanwhile", [False, True], ids=["before", "meanwhile"])
async def test_a_user_learns_nothing_of_what_others_spent(
    limit: str, planner: Planner | None, meanwhile: bool
) -> None:
    """Whatever that is, a run that finds too little left says the same: name and time, no sum."""
    said_of = []
    for others in (2_000_000, 2_345_678, 2_999_999):
        stage = await a_stage(settings={limit: "3"}, planner=planner)
        run = await stage.start(
            constraints={"vendor_ids": ("gpu_vendor_1",), "deadline": START + timedelta(hours=9)}
        )
        wanted = scopes(stage.services.settings.limits, PAYER.removeprefix("wallet:"), "gpu_vendor_1", START)

        async def spent(stage: Stage = stage, key: str = wanted[0].key, amount: int = others) -> None:
            await stage.services.allowances.spend(key, amount)

        if meanwhile:
            await before_it_is_paid(stage, run, spent)
        else:
            await spent()
        await stage.finish(run)
        said_of.append(await all_said(stage, run))

    assert {limit.upper() in each for each in said_of} == {True}
    assert len({*said_of}) == 1
