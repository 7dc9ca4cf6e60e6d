"""What an API key allows, as its runs meet it: limits bind them together, and revoked it buys nothing more."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from agent.book.api_key import Key
from agent.book.models import Constraints, Run
from agent.intake.runs import Order, start
from agent.kinds.rental.planner import Plan
from agent.kinds.rental.planner.context import PlanContext
from agent.kinds.rental.planner.stub import StubPlanner
from agent.store.keys import KeyStore
from tests.agent.builders import NOW
from tests.agent.keyring import a_key
from tests.agent.killing import Reaper
from tests.agent.limited import (
    FIRST,
    MIDNIGHT,
    SECOND,
    TODAY,
    codes,
    committed,
    dead_before_signing,
    paid,
    said,
    the_sums,
)
from tests.agent.stage import START, Stage, a_stage

FAILS_ONCE = "gpu_vendor_1:fail_at_epoch=2"


async def keyed(stage: Stage, **changes: object) -> Key:
    """A key that the store has."""
    key, _ = a_key(**changes)
    await KeyStore(stage.database).add(key)
    return key


async def started(stage: Stage, key: Key, **constraints: object) -> Run:
    """A run that was started with the key."""
    wanted = Constraints.model_validate(constraints)
    order = Order("u1", "Fine-tune tiny-llm", 5_000_000, wanted, key.id)
    return await start(stage.services.runs, stage.services.world, order, None)


async def change(stage: Stage, key: Key, **fields: Any) -> None:
    """What an operator does in the database."""
    await stage.database.collection("keys").update({"_id": key.id}, {"$set": fields})


async def revoke(stage: Stage, key: Key) -> None:
    await KeyStore(stage.database).revoke(key.id, stage.clock.now)


async def test_what_a_run_spends_counts_for_its_key() -> None:
    """To the micro-dollar, over the day and over its life; and in the wallet's sums as before."""
    stage = await a_stage(FAILS_ONCE, settings={"max_per_day": "9"})
    key = await keyed(stage, max_per_day=5_000_000, max_total=9_000_000)

    ended = await stage.finish(await started(stage, key))

    assert (ended.status, ended.key_id) == ("completed", key.id)
    spent = FIRST + SECOND
    assert await committed(stage) == {f"key:{key.id}:2026-11-21": spent, f"key:{key.id}": spent, TODAY: spent}


async def test_a_run_without_a_key_counts_for_none_and_reads_none() -> None:
    """Nor does one cost anything that was stored before there were keys."""
    reaper = Reaper()
    stage = await a_stage(watcher=reaper)
    await keyed(stage, max_total=1)
    run = await stage.start()
    await stage.database.collection("runs").update({"_id": run.id}, {"$unset": {"keyId": ""}})

    assert (await stage.finish(run)).status == "completed"
    assert not [each for each in reaper.log if "keys" in each]
    assert await the_sums(stage) == {}


async def test_a_tick_that_starts_a_job_reads_the_key_twice() -> None:
    """First, and right before it signs; one that waits does not."""
    reaper = Reaper()
    stage = await a_stage(watcher=reaper)
    run = await started(stage, await keyed(stage, max_per_day=5_000_000))
    reaper.log.clear()

    await stage.tick(run)
    assert reaper.log.count("find_one keys") == 2
    await stage.tick(run)
    assert reaper.log.count("find_one keys") == 2


@pytest.mark.parametrize(
    ("limits", "constraints", "named"),
    [
        ({"max_total": 2_500_000}, {}, "KEY_MAX_TOTAL is 2.5 USD, 1.1 of it are left and 1.8 are asked for"),
        (
            {"max_per_day": 2_500_000},
            {"deadline": START + timedelta(hours=6), "max_hours": 1.0},
            "KEY_MAX_PER_DAY is 2.5 USD, 1.1 of it are left and 1.8 are asked for",
        ),
    ],
)
async def test_a_run_ends_where_waiting_for_its_key_is_in_vain(
    limits: dict[str, object], constraints: dict[str, object], named: str
) -> None:
    """It names the limit, and what is left of it."""
    stage = await a_stage(FAILS_ONCE)
    run = await started(stage, await keyed(stage, **limits), **constraints)

    ended = await stage.finish(run)

    assert ended.failure is not None
    assert (ended.status, ended.failure.code, ended.budget_spent) == ("failed", "limit_reached", FIRST)
    assert named in ended.failure.message


async def test_a_run_waits_for_the_next_day_of_its_key() -> None:
    """The planner is told the room, and code decides."""
    stage = await a_stage(FAILS_ONCE)
    key = await keyed(stage, max_per_day=2_500_000)
    run = await started(stage, key)

    ended = await stage.finish(run)

    assert ended.status == "completed"
    (waited,) = await said(stage, run, "limit_reached")
    assert (waited["limits"][0]["limit"], waited["freeAt"]) == ("KEY_MAX_PER_DAY", MIDNIGHT.isoformat())
    assert await committed(stage) == {f"key:{key.id}:2026-11-21": FIRST, f"key:{key.id}:2026-11-22": SECOND}


async def test_many_runs_of_a_key_at_once_spend_no_more_than_it_allows() -> None:
    """Eight begin together, there is room for three; another key's run is not in the way."""
    stage = await a_stage()
    key, other = await keyed(stage, max_total=4_500_000), await keyed(stage, max_total=1_400_000)
    runs = [await started(stage, key, vendor_ids=("gpu_vendor_1",)) for _ in range(8)]
    runs.append(await started(stage, other, vendor_ids=("gpu_vendor_1",)))

    await asyncio.gather(*(stage.tick(run) for run in runs))
    assert sum(paid(stage)) == 4 * FIRST

    ends = [await stage.finish(run) for run in runs]
    assert [end.failure.code if end.failure else None for end in ends].count("limit_reached") == 5
    assert await committed(stage) == {f"key:{key.id}": 3 * FIRST, f"key:{other.id}": FIRST}


async def test_the_trail_says_which_limits_of_the_key_were_held_against_an_offer() -> None:
    stage = await a_stage()
    run = await started(stage, await keyed(stage, max_per_day=5_000_000, max_total=9_000_000))
    await stage.tick(run)

    (authorized,) = [each for each in await said(stage, run, "payment_event") if each["event"] == "authorized"]

    assert authorized["policy"]["limitsUsd"] == {"KEY_MAX_PER_DAY": "5", "KEY_MAX_TOTAL": "9"}


async def test_a_limit_that_is_lowered_holds_for_the_next_purchase() -> None:
    """The key is read when something is bought."""
    stage = await a_stage(FAILS_ONCE)
    key = await keyed(stage, max_total=9_000_000)
    run = await started(stage, key)
    await stage.tick(run)

    await change(stage, key, maxTotal=2_500_000)
    ended = await stage.finish(run)

    assert ended.failure is not None
    assert (ended.failure.code, ended.budget_spent) == ("limit_reached", FIRST)


async def reserved_with(stage: Stage, key: Key) -> Run:
    """A run that has money set aside and nothing signed, with nobody at it."""
    return await dead_before_signing(stage, await started(stage, key, vendor_ids=("gpu_vendor_1",)))


async def test_a_limit_that_is_set_while_money_is_set_aside_counts_it() -> None:
    """The run names the sum first, then it is taken from; what is not spent goes back."""
    stage = await a_stage()
    key = await keyed(stage)
    run = await reserved_with(stage, key)
    await change(stage, key, maxPerDay=3_000_000)

    assert (await stage.finish(run)).status == "completed"
    assert await committed(stage) == {f"key:{key.id}:2026-11-21": FIRST}


async def test_a_revoked_key_starts_nothing() -> None:
    """Not a question to the planner, not a quote."""
    reaper = Reaper()
    stage = await a_stage(watcher=reaper)
    key = await keyed(stage)
    run = await started(stage, key)
    await revoke(stage, key)

    ended = (await stage.tick(run)).run

    assert ended.failure is not None
    assert (ended.status, ended.failure.code) == ("failed", "key_revoked")
    assert key.id in ended.failure.message
    assert not {"plan", "POST /quote"} & set(reaper.log)


async def test_a_key_that_is_gone_is_as_good_as_revoked() -> None:
    """Fail closed: nobody knows its limits any more."""
    stage = await a_stage()
    run = await started(stage, a_key()[0])

    ended = (await stage.tick(run)).run

    assert ended.failure is not None
    assert ended.failure.code == "key_revoked"


async def test_what_is_paid_for_goes_on_when_its_key_is_revoked() -> None:
    """A job under way completes; one that fails is not replaced."""
    for faults, status, spent in (("", "completed", FIRST), (FAILS_ONCE, "failed", FIRST)):
        stage = await a_stage(faults)
        key = await keyed(stage)
        run = await started(stage, key)
        await stage.tick(run)
        await revoke(stage, key)

        ended = await stage.finish(run)

        assert (ended.status, ended.budget_spent) == (status, spent)
        assert (ended.failure.code if ended.failure else None) in (None, "key_revoked")


async def test_what_was_set_aside_with_a_key_that_is_revoked_is_free_again() -> None:
    """Nothing is signed any more, and the vendor is not blamed."""
    stage = await a_stage()
    key = await keyed(stage, max_total=9_000_000)
    run = await reserved_with(stage, key)
    await revoke(stage, key)

    ended = await stage.finish(run)

    assert ended.failure is not None
    assert (ended.failure.code, ended.budget_spent) == ("key_revoked", 0)
    assert await codes(stage, run) == ["key_revoked"]
    assert stage.record.payments == []
    assert await committed(stage) in ({}, {f"key:{key.id}": 0})
    vendor = await stage.services.vendors.find("gpu_vendor_1")
    assert vendor is not None
    assert vendor.record.failed == 0


async def test_what_was_signed_with_a_key_that_is_revoked_is_not_sent_again() -> None:
    """It waits until it can no longer be cashed, counts as spent, and is nobody's fault."""
    stage = await a_stage()
    key = await keyed(stage, max_total=9_000_000)
    run = await started(stage, key, vendor_ids=("gpu_vendor_1",))
    stage.transport.lost = lambda request: request.url.path == "/submit-job" and bool(stage.record.payments)
    await stage.tick(run)
    stage.transport.lost = lambda request: False
    await revoke(stage, key)

    ended = await stage.finish(run)

    assert ended.failure is not None
    assert (ended.failure.code, ended.budget_spent) == ("key_revoked", FIRST)
    assert len(stage.record.payments) == 1
    assert await committed(stage) == {f"key:{key.id}": FIRST}
    assert [each.record.failed for each in await stage.services.vendors.list()] == [0, 0]


class Slow(StubPlanner):
    """A planner that takes its time, in which somebody revokes the key."""

    def __init__(self) -> None:
        """Nobody does yet."""
        self.stage: Stage | None = None
        self.key: Key | None = None

    async def plan(self, context: PlanContext, timeout: float) -> Plan:  # noqa: ASYNC109 (the Planner's face)
        """The stub's plan, late."""
        if self.stage is not None and self.key is not None:
            await revoke(self.stage, self.key)
            self.stage.clock.pass_(8)
        return await super().plan(context, timeout)


async def test_a_key_that_is_revoked_while_the_planner_thinks_buys_nothing() -> None:
    """What a tick has read of the key it believes for 5 s and no longer."""
    planner = Slow()
    stage = await a_stage(planner=planner)
    key = await keyed(stage)
    planner.stage, planner.key = stage, key
    run = await started(stage, key)

    ended = await stage.finish(run)

    assert ended.failure is not None
    assert (ended.failure.code, stage.record.payments) == ("key_revoked", [])


async def test_a_key_that_is_revoked_while_the_vendor_thinks_buys_nothing() -> None:
    """Its sums were taken from by then: they get it back."""
    stage = await a_stage()
    key = await keyed(stage, max_total=9_000_000)
    run = await started(stage, key, vendor_ids=("gpu_vendor_1",))
    real = stage.transport.handle_async_request

    async def slowly(request: Any) -> Any:
        answer = await real(request)
        if request.url.path == "/submit-job":
            await revoke(stage, key)
            stage.clock.pass_(8)
        return answer

    stage.transport.handle_async_request = slowly  # type: ignore[method-assign]
    ended = await stage.finish(run)

    assert ended.failure is not None
    assert (ended.failure.code, stage.record.payments) == ("key_revoked", [])
    assert set((await committed(stage)).values()) <= {0}


class Dawdling(Reaper):
    """Revokes the key, and lets time pass, at the first effect of a name."""

    def __init__(self, name: str) -> None:
        """Nothing is revoked yet."""
        super().__init__()
        self.name: str | None = name
        self.stage: Stage | None = None
        self.key: Key | None = None

    async def watch(self, name: str, effect: Any) -> Any:
        """Let it happen, late."""
        if name == self.name and self.stage is not None and self.key is not None:
            self.name = None
            await revoke(self.stage, self.key)
            self.stage.clock.pass_(8)
        return await super().watch(name, effect)


@pytest.mark.parametrize("name", ["update allowances", "find allowances", "POST /quote", "find_one vendors"])
async def test_a_key_that_is_revoked_while_anybody_dawdles_buys_nothing(name: str) -> None:
    """The last look at the key is the last thing before the signature; what its sums gave goes back."""
    reaper = Dawdling(name)
    stage = await a_stage(watcher=reaper)
    key = await keyed(stage, max_total=9_000_000)
    reaper.stage, reaper.key = stage, key

    ended = await stage.finish(await started(stage, key))

    assert reaper.name is None
    assert ended.failure is not None
    assert (ended.failure.code, stage.record.payments) == ("key_revoked", [])
    assert set((await committed(stage)).values()) <= {0}


async def test_runs_of_an_expired_key_go_on() -> None:
    """It lets nobody in any more; what was begun with it may be finished, within its limits."""
    stage = await a_stage(FAILS_ONCE)
    run = await started(stage, await keyed(stage, expires_at=NOW - timedelta(days=1), max_total=9_000_000))

    assert (await stage.finish(run)).status == "completed"


async def ended_with(which: int) -> tuple[Run, Stage, int]:
    """A run whose key is revoked after that effect of its life, how it ended and what had been read by then."""
    reaper = Revoking(which)
    stage = await a_stage(FAILS_ONCE, watcher=reaper)
    key = await keyed(stage, max_total=9_000_000)
    reaper.stage, reaper.key = stage, key
    ended = await stage.finish(await started(stage, key))
    return ended, stage, reaper.read


class Revoking(Reaper):
    """Revokes the key after one of the effects."""

    def __init__(self, which: int) -> None:
        """`which`: its number."""
        super().__init__()
        self.which, self.read = which, 0
        self.stage: Stage | None = None
        self.key: Key | None = None

    async def watch(self, name: str, effect: Any) -> Any:
        """Let it happen."""
        result = await super().watch(name, effect)
        if self.stage is not None and self.key is not None and self.count <= self.which:
            self.read += name == "find_one keys"
            if self.count == self.which:
                await revoke(self.stage, self.key)
        return result


async def test_whenever_a_key_is_revoked_what_is_looked_up_after_it_is_not_bought() -> None:
    """After each effect in turn: as many purchases as the key was read for before they were signed, and then the
    run ends."""
    ends: list[str] = []
    for which in range(1, 200):
        ended, stage, read = await ended_with(which)
        assert len(paid(stage)) == min(read // 2, 2), which
        assert ended.status == ("completed" if read == 4 else "failed"), which
        assert ended.failure is None or ended.failure.code == "key_revoked", which
        ends.append(ended.status)
        if read == 4:
            break
    assert len(ends) > 20
