"""A restored backup buys nothing until its operator has said what was spent since, and nothing twice after it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from agent.book.errors import RestoreRefused, StoreUnavailable
from agent.book.limits import LOOK_AGAIN
from agent.dispatch.rounds import tick_due
from agent.engine.restored import LOOK_SECONDS, RestoreWatch, answer_for, notice_in_place
from agent.store.mark import MarkStore
from tests.agent.audited import audit_faults
from tests.agent.backup import BackupAfter, dump, live_on, moved_to, restore
from tests.agent.killing import Killed, Reaper, WatchedDatabase
from tests.agent.limited import PAYER, TODAY, codes, committed, paid, reserved_only, said, the_sums
from tests.agent.stage import START, Stage, a_stage

LIMITS: dict[str, object] = {"max_per_wallet": "100", "max_per_day": "50", "poll_seconds": 15}
TWO_PURCHASES = "gpu_vendor_1:fail_at_epoch=2"
WALLET = "0xF39fd6e51aad88F6F4ce6aB8827279cffFb92266"
EFFECTS = range(1, 93, 2)


async def answered(stage: Stage, spent: int) -> None:
    """The operator's word, and time for the processes to see it."""
    await answer_for(stage.database, stage.services.world, spent, WALLET)
    stage.clock.pass_(LOOK_SECONDS + 1)


async def a_copy_of_a_finished_life(after: int) -> tuple[Stage, BackupAfter]:
    """A run that bought twice; then its database as it was after that effect, in another place."""
    backup = BackupAfter(after)
    stage = await a_stage(TWO_PURCHASES, settings=LIMITS, watcher=backup)
    backup.stage = stage
    await stage.services.restored.mark()
    await stage.finish(await stage.start())
    assert paid(stage) == [1_400_000, 1_800_000]
    assert backup.backup is not None, "the life had fewer effects"
    return moved_to(stage, await restore(backup.backup)), backup


@pytest.mark.parametrize("after", EFFECTS)
async def test_a_copy_of_any_moment_buys_nothing_and_then_nothing_twice(after: int) -> None:
    """Whatever it has forgotten: nothing is sent that could pay, the limits count all of it, and the run ends."""
    stage, backup = await a_copy_of_a_finished_life(after)
    payments, calls = len(stage.record.payments), len(stage.chain.journal)
    page = (await stage.services.runs.page(10)).runs
    for run in page:
        run = await live_on(stage, run, 30)
        if run.status == "running":
            assert any("restored backup" in each.content for each in await stage.trail(run))
    assert (len(stage.record.payments), len(stage.chain.journal)) == (payments, calls)

    spent = sum(paid(stage)) - backup.paid
    await answered(stage, spent)
    for run in page:
        ended = await live_on(stage, run, 200)
        assert ended.status != "running"
        jobs, paid_for = await stage.services.runs.jobs(ended), await stage.payments(ended)
        assert audit_faults(ended, jobs, paid_for, await stage.trail(ended)) == ()
    assert paid(stage) == [1_400_000, 1_800_000]
    assert (len(stage.record.payments), len(stage.chain.journal)) == (payments, calls)
    sums = await the_sums(stage)
    if page:
        assert sums[PAYER].committed >= sum(paid(stage))
        assert sums[TODAY].committed >= sum(paid(stage))


async def test_a_run_that_waits_for_the_operator_says_why_once_and_is_not_counted_out() -> None:
    """Not even after the thirty waits in a row that a run may have otherwise."""
    stage = await a_stage(settings=LIMITS)
    run = await stage.start()
    await stage.services.restored.mark()
    stage = moved_to(stage, await restore(await dump(stage.database)))

    for _ in range(40):
        run = await live_on(stage, run, 1)

    errors = [each.content for each in await stage.trail(run) if each.type == "error"]
    assert (run.status, run.phase, len(errors)) == ("running", "waiting", 1)
    assert "purser init --restored --spent-usd" in errors[0]
    assert not await said(stage, run, "agent_reasoning")


async def test_a_copy_from_which_nothing_was_spent_goes_on_as_the_original_would() -> None:
    """A database that was moved: its runs are right, and buy."""
    stage = await a_stage(settings=LIMITS)
    run = await stage.start()
    await stage.services.restored.mark()
    stage = moved_to(stage, await restore(await dump(stage.database)))
    await live_on(stage, run, 2)

    await answered(stage, 0)

    assert (await stage.finish(run)).status == "completed"
    assert await committed(stage) == {PAYER: 1_400_000, TODAY: 1_400_000}


async def test_a_run_begun_before_fails_where_it_would_buy_and_one_begun_after_buys_within_what_is_left() -> None:
    stage = await a_stage(settings={**LIMITS, "max_per_wallet": "3"})
    old = await stage.start()
    await stage.services.restored.mark()
    stage = moved_to(stage, await restore(await dump(stage.database)))
    await live_on(stage, old, 1)
    stage.clock.pass_(1)
    new = await stage.start()
    assert "restored backup" in (await stage.tick(new)).message

    await answered(stage, 1_500_000)
    old, new = await live_on(stage, old, 5), await stage.finish(new)
    third = await live_on(stage, await stage.start(), 5)

    assert old.failure is not None
    assert (old.failure.code, old.budget_spent) == ("store_restored", 0)
    assert (new.status, new.budget_spent) == ("completed", 1_400_000)
    assert third.failure is not None
    assert third.failure.code == "limit_reached"
    assert (await the_sums(stage))[PAYER].committed == 2_900_000


async def test_a_job_under_way_is_watched_to_its_end_on_a_copy_that_waits_for_its_operator() -> None:
    """To look costs nothing, and a job that is done ends the run."""
    stage = await a_stage(settings=LIMITS)
    run = await stage.start()
    await stage.tick(run)
    stage = moved_to(stage, await restore(await dump(stage.database)))

    ended = await live_on(stage, run, 20)

    assert (ended.status, ended.budget_spent) == ("completed", 1_400_000)


async def test_a_run_on_a_copy_can_be_cancelled_and_its_deadline_holds() -> None:
    stage = await a_stage(settings=LIMITS)
    cancelled = await stage.start()
    late = await stage.start(constraints={"max_hours": 0.01, "deadline": START + LOOK_AGAIN})
    await stage.services.restored.mark()
    stage = moved_to(stage, await restore(await dump(stage.database)))
    await stage.tick(cancelled)
    await stage.services.runs.request_cancel(cancelled.id)

    assert (await live_on(stage, cancelled, 2)).status == "cancelled"
    ended = await live_on(stage, late, 40)
    assert ended.failure is not None
    assert ended.failure.code == "deadline_passed"


async def test_what_was_signed_is_not_sent_again_from_a_copy_and_counts_as_spent_in_the_end() -> None:
    """Nobody can tell what became of it without a chain."""
    stage = await a_stage("gpu_vendor_1:drop_before_payment*1", settings=LIMITS)
    run = await stage.start(constraints={"vendor_ids": ("gpu_vendor_1",)})
    await stage.tick(run)
    stage = moved_to(stage, await restore(await dump(stage.database)))
    assert len(stage.record.payments) == 1

    await live_on(stage, run, 100)

    assert len(stage.record.payments) == 1
    assert [each.status for each in await stage.payments(run)] == ["unresolved"]
    assert await committed(stage) == {PAYER: 1_400_000, TODAY: 1_400_000}


async def test_what_was_signed_goes_out_again_as_it_was_where_nothing_was_spent_since() -> None:
    """The same bytes, and the vendor that has them already is paid once."""
    stage = await a_stage("gpu_vendor_1:drop_before_payment*1", settings=LIMITS)
    run = await stage.start(constraints={"vendor_ids": ("gpu_vendor_1",)})
    await stage.tick(run)
    stage = moved_to(stage, await restore(await dump(stage.database)))
    await live_on(stage, run, 1)

    await answered(stage, 0)
    ended = await live_on(stage, run, 100)

    assert (ended.status, paid(stage)) == ("completed", [1_400_000])
    assert len({each.nonce for each in stage.record.payments}) == 1


async def test_an_order_for_which_the_backup_holds_no_authorization_is_dropped_in_those_words() -> None:
    """Something may have been signed for it since, so the trail does not say that nothing was."""
    stage = await a_stage(settings=LIMITS)
    run = await reserved_only(stage)
    stage = moved_to(stage, await restore(await dump(stage.database)))
    stage.clock.pass_(600)

    run = await live_on(stage, run, 1)

    (released,) = [each for each in await stage.trail(run) if each.data.get("event") == "released"]
    assert released.content == "released 1.8 USD: the backup holds no authorization of it"
    assert (run.reservations, run.budget_remaining) == ({}, run.budget_total)
    assert await codes(stage, run) == ["store_restored"]
    assert [each.record.failed for each in await stage.services.vendors.list()] == [0, 0]


async def test_a_database_that_goes_back_under_a_process_is_noticed_by_it() -> None:
    """Where it is is the same, but it has counted less than the process remembers."""
    stage = await a_stage(settings=LIMITS)
    await stage.services.restored.mark()
    backup = await dump(stage.database)
    sleeps = RestoreWatch(stage.database, stage.services.world)
    await sleeps.mark()
    for _ in range(3):
        stage.clock.pass_(LOOK_SECONDS + 1)
        assert await stage.services.restored.held() is None
    await restore(backup, stage.database)
    stage.clock.pass_(LOOK_SECONDS + 1)

    held = await stage.services.restored.held()

    assert held is not None
    assert held.why.startswith("the database is a restored backup (it knows less than a process that has used it)")
    assert await RestoreWatch(stage.database, stage.services.world).held() is not None, "for others too"
    await answered(stage, 0)
    for _ in range(5):
        assert await stage.services.restored.held() is None, "what was answered for is not noticed again"
        assert await sleeps.held() is None, "nor by a process that has seen nothing of it"
        stage.clock.pass_(LOOK_SECONDS + 1)


async def test_a_database_that_was_emptied_under_a_process_is_noticed_by_it() -> None:
    stage = await a_stage(settings=LIMITS)
    await stage.services.restored.mark()
    await restore({name: [] for name in await dump(stage.database)}, stage.database)
    stage.clock.pass_(LOOK_SECONDS + 1)

    assert await stage.services.restored.held() is not None


async def test_many_processes_on_one_database_never_take_it_for_a_copy() -> None:
    stage = await a_stage(settings=LIMITS)
    watches = [RestoreWatch(stage.database, stage.services.world) for _ in range(5)]
    for number in range(50):
        assert await watches[number * 7 % 5].held() is None
        stage.clock.pass_(13)


async def test_a_process_looks_once_a_minute_and_not_with_every_tick() -> None:
    """Two commands at its start, then one."""
    reaper = Reaper()
    stage = await a_stage(settings=LIMITS)
    watch = RestoreWatch(WatchedDatabase(stage.database, reaper), stage.services.world)
    await watch.mark()
    reaper.log.clear()

    for _ in range(100):
        await watch.held()
    assert reaper.log == []
    stage.clock.pass_(LOOK_SECONDS + 1)
    for _ in range(100):
        await watch.held()

    assert reaper.log == ["update marks"]


async def test_a_collection_that_came_later_is_looked_at_from_then_on() -> None:
    """A database may be marked before its first run, and is a copy of itself all the same."""
    world = (await a_stage()).services.world

    class Growing(WatchedDatabase):
        told: dict[str, str] = {}  # noqa: RUF012  # what the test says

        async def origins(self) -> dict[str, str]:
            return self.told

    database = Growing((await a_stage()).database, Reaper())
    await RestoreWatch(database, world).mark()
    database.told = {"runs": "a"}
    assert await RestoreWatch(database, world).held() is None
    database.told = {}
    assert await RestoreWatch(database, world).held() is None, "a server that does not tell is believed"
    database.told = {"runs": "b"}
    assert await RestoreWatch(database, world).held() is not None


async def test_a_server_that_names_another_place_each_time_tells_nothing() -> None:
    """A wallet is not stopped by an identity that is none. What else it tells is held against the mark."""
    stage = await a_stage()

    class Fickle(WatchedDatabase):
        name = "purser"
        asked = 0

        async def origins(self) -> dict[str, str]:
            self.asked += 1
            return {"database": self.name, "runs": str(self.asked)}

    database, world = Fickle(stage.database, Reaper()), stage.services.world
    for _ in range(5):
        assert await RestoreWatch(database, world).held() is None
    database.name = "copy"
    held = await RestoreWatch(database, world).held()
    assert held is not None
    assert "is another one: database)" in held.why


@pytest.mark.parametrize("skew", [timedelta(days=-3), timedelta(days=3)])
async def test_which_runs_are_old_is_told_by_their_own_times_and_not_by_the_clock_that_notices(
    skew: timedelta,
) -> None:
    """`purser init` is typed on a machine of its own, whose clock may be anything."""
    stage = await a_stage(settings=LIMITS)
    old = await stage.start()
    await stage.services.restored.mark()
    stage = moved_to(stage, await restore(await dump(stage.database)))
    there = replace(stage.services.world, now=lambda: stage.clock.now + skew)
    await RestoreWatch(stage.database, there).mark()
    await answer_for(stage.database, there, 1_500_000, WALLET)
    stage.clock.pass_(LOOK_SECONDS + 1)

    old, new = await live_on(stage, old, 5), await stage.finish(await stage.start())

    assert old.failure is not None
    assert (old.failure.code, new.status) == ("store_restored", "completed")


async def test_a_clock_that_jumps_changes_nothing_for_a_database_that_is_none() -> None:
    stage = await a_stage(settings=LIMITS)
    for jump in (timedelta(days=400), timedelta(days=-800), timedelta(seconds=1)):
        stage.clock.now += jump
        stage.clock.pass_(LOOK_SECONDS + 1)
        assert await stage.services.restored.held() is None
        assert await RestoreWatch(stage.database, stage.services.world).held() is None


async def test_a_database_from_before_there_were_marks_is_marked_and_buys() -> None:
    """An upgrade is no restore, however many processes of both versions meet there."""
    stage = await a_stage(settings=LIMITS)
    await stage.finish(await stage.start())
    await stage.database.collection("marks").delete({"_id": "store"})

    watches = [RestoreWatch(stage.database, stage.services.world) for _ in range(5)]

    assert [await each.held() for each in watches] == [None] * 5
    assert (await stage.finish(await stage.start())).status == "completed"


async def test_a_store_that_is_away_at_the_look_stops_the_tick_and_is_no_restore() -> None:
    """Whether anything may be bought is not known then. The next look that is answered counts."""
    stage = await a_stage(settings=LIMITS)

    class Away(WatchedDatabase):
        away = False

        def collection(self, name: str) -> Any:
            if self.away:
                raise StoreUnavailable("away")
            return super().collection(name)

    database = Away(stage.database, Reaper())
    stage = replace(stage, services=replace(stage.services, restored=RestoreWatch(database, stage.services.world)))
    run = await stage.start()
    for _ in range(3):
        database.away = True
        stage.clock.pass_(LOOK_SECONDS + 1)
        with pytest.raises(StoreUnavailable):
            await stage.services.restored.held()
        database.away = False
        assert await stage.services.restored.held() is None
    assert (await stage.finish(run)).status == "completed"


async def test_processes_that_notice_a_restore_at_once_notice_one() -> None:
    """So that what the operator says is said of all of them."""
    stage = await a_stage(settings=LIMITS)
    watches = [RestoreWatch(stage.database, stage.services.world) for _ in range(4)]
    backup = await dump(stage.database)
    for _ in range(3):
        [await each.held() for each in watches]
        stage.clock.pass_(LOOK_SECONDS + 1)
    await restore(backup, stage.database)

    marks = [await each.mark() for each in watches]

    assert len({each.restored.id for each in marks if each.restored}) == 1
    assert all(each.restored for each in marks)


async def test_a_copy_of_a_copy_that_nobody_had_answered_for_is_one_of_its_own() -> None:
    """What was bought after the first answer is forgotten by the second copy: its runs buy nothing again."""
    stage = await on_a_copy()
    assert await stage.services.restored.held() is not None
    stage.clock.pass_(1)
    between = await stage.start()
    backup = await dump(stage.database)
    await answered(stage, 1_000_000)
    assert (await stage.finish(between)).status == "completed"

    again = moved_to(stage, await restore(backup))
    assert await again.services.restored.held() is not None
    await answered(again, 2_400_000)
    ended = await live_on(again, between, 5)

    assert ended.failure is not None
    assert (ended.failure.code, (await committed(again))[PAYER]) == ("store_restored", 3_800_000)


async def on_a_copy() -> Stage:
    """A stage whose database is a restored one, with sums."""
    stage = await a_stage(settings=LIMITS)
    await stage.finish(await stage.start())
    return moved_to(stage, await restore(await dump(stage.database)))


@pytest.mark.parametrize("after", [False, True])
async def test_the_word_counts_once_wherever_it_was_cut_off(after: bool) -> None:
    """Each effect of it may be the last of its process; said again it goes on."""
    for effect in range(1, 12):
        stage, reaper = await on_a_copy(), Reaper()
        watched, world = WatchedDatabase(stage.database, reaper), stage.services.world
        reaper.kill_at(effect, after=after)
        try:
            await answer_for(watched, world, 7_000_000, WALLET)
        except Killed:
            if await RestoreWatch(stage.database, world).held() is not None:
                await answer_for(stage.database, world, 7_000_000, WALLET)
        assert await committed(stage) == {PAYER: 8_400_000, TODAY: 8_400_000}
        assert await RestoreWatch(stage.database, world).held() is None
        with pytest.raises(RestoreRefused, match="7 USD were stated"):
            await answer_for(stage.database, world, 7_000_000, WALLET)
        assert await committed(stage) == {PAYER: 8_400_000, TODAY: 8_400_000}


async def test_another_amount_than_was_begun_with_is_refused() -> None:
    """What was counted once is counted; the message says how to end it."""
    stage, reaper = await on_a_copy(), Reaper()
    reaper.kill_at("update allowances", after=False)
    with pytest.raises(Killed):
        await answer_for(WatchedDatabase(stage.database, reaper), stage.services.world, 7_000_000, WALLET)

    with pytest.raises(RestoreRefused, match="--spent-usd 7"):
        await answer_for(stage.database, stage.services.world, 0, WALLET)

    assert await committed(stage) == {PAYER: 1_400_000, TODAY: 1_400_000}


async def test_a_database_that_is_no_copy_is_not_answered_for() -> None:
    stage = await a_stage(settings=LIMITS)
    with pytest.raises(RestoreRefused, match="no restored backup"):
        await answer_for(stage.database, stage.services.world, 1, WALLET)
    assert await the_sums(stage) == {}


async def test_one_restored_where_it_was_is_a_copy_by_its_operators_word() -> None:
    """Nothing in it can tell. Sums that there were not are made."""
    stage = await a_stage(settings=LIMITS)
    run = await stage.start()
    await notice_in_place(stage.database, stage.services.world)
    await answered(stage, 2_000_000)

    ended = await live_on(stage, run, 5)

    assert (await committed(stage), ended.failure and ended.failure.code) == (
        {PAYER: 2_000_000, TODAY: 2_000_000},
        "store_restored",
    )


async def test_each_restore_is_answered_for_by_itself() -> None:
    """Also one from a backup of before the last one's answer."""
    stage = await on_a_copy()
    backup = await dump(stage.database)
    await answered(stage, 1_000_000)
    assert (await committed(stage))[PAYER] == 2_400_000

    again = moved_to(stage, await restore(backup))
    assert await again.services.restored.held() is not None
    await answered(again, 3_000_000)
    assert (await committed(again))[PAYER] == 4_400_000
    assert await again.services.restored.held() is None


async def test_the_newest_payment_says_which_wallet_pays() -> None:
    stage = await on_a_copy()
    assert await MarkStore(stage.database).last_payer() == "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
    assert await MarkStore((await a_stage()).database).last_payer() is None


async def test_a_round_on_a_copy_fails_nothing() -> None:
    """The runs wait, and are due again in a minute."""
    stage = await a_stage(settings=LIMITS)
    for _ in range(3):
        await stage.start()
    await stage.services.restored.mark()
    stage = moved_to(stage, await restore(await dump(stage.database)))

    done = await tick_due(stage.services, 55)

    assert (done.ticks, done.failures, done.left) == (3, 0, False)
    assert all("purser init --restored" in message for _, message in done.ticked)
