"""`purser worker`: ticks what is due by itself, rides out an absent database, and leaves when told to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from agent.book.errors import StoreUnavailable
from agent.dispatch import rounds
from agent.engine.restored import answer_for
from agent.kinds.rental.planner import Plan
from agent.kinds.rental.planner.context import PlanContext, Wait
from agent.process.settings import Settings
from agent.store.due import Due, DueStore
from scripts.cli.tree import command_line
from scripts.exits import Exit
from scripts.serve.worker import IDLE_SECONDS, Worker, run_worker
from tests.agent.backup import dump, moved_to, restore
from tests.agent.stage import Stage, a_stage


class Life:
    """A worker on a stage: its pauses pass at once on the stage's clock, and it is stopped when `over` says so."""

    def __init__(self, stage: Stage, over: Callable[[], bool]) -> None:
        """Nothing is done yet."""
        self.said: list[str] = []
        self.pauses: list[float] = []
        self._stage = stage
        self._over = over
        self.worker = Worker(stage.services, self.said.append, self._pause)

    async def _pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self._stage.clock.pass_(seconds)
        assert len(self.pauses) < 5_000
        if self._over():
            self.worker.stop(0)


async def test_a_run_goes_from_start_to_end_without_a_person() -> None:
    """Nobody but the worker ticks it, each tick when it is due."""
    stage = await a_stage(settings={"poll_seconds": 15})
    run = await stage.start()
    ticked: list[str] = []
    life = Life(stage, lambda: life.worker.ticks >= 2 and "completed" in ticked)

    async def look() -> None:
        ticked.append((await stage.stored(run)).status)

    pause = life.worker._pause

    async def pausing(seconds: float) -> None:
        await look()
        await pause(seconds)

    life.worker._pause = pausing
    await life.worker.work()

    ended = await stage.stored(run)
    assert (ended.status, ended.budget_spent) == ("completed", 1_400_000)
    assert life.worker.failures == life.worker.cut_off == 0
    assert max(life.pauses) <= IDLE_SECONDS
    assert len(life.pauses) < 100
    assert life.said == []


async def test_a_database_that_is_away_is_said_once_and_asked_more_and_more_rarely(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And said once more when it is back."""
    stage = await a_stage()
    page, left = DueStore.page, iter(range(8))

    async def away(self: DueStore, *rest: object) -> list[Due]:
        if next(left, None) is not None:
            raise StoreUnavailable("the database is away")
        return await page(self, *rest)  # type: ignore[arg-type]  # as it was called

    monkeypatch.setattr(DueStore, "page", away)
    life = Life(stage, lambda: len(life.said) == 2)
    await life.worker.work()

    assert life.said == ["the database is away; asking on", "the database answers again"]
    assert life.pauses[:8] == [2, 4, 8, 16, 30, 30, 30, 30]


async def test_a_worker_on_a_restored_backup_says_so_and_buys_nothing_until_it_was_answered_for() -> None:
    stage = await a_stage(settings={"max_per_wallet": "100"})
    run = await stage.start()
    await stage.services.restored.mark()
    stage = moved_to(stage, await restore(await dump(stage.database)))

    class Answered(Life):
        async def _pause(self, seconds: float) -> None:
            await super()._pause(seconds)
            if len(self.pauses) == 150:
                assert (len(self.said), stage.record.payments) == (1, [])
                assert (await stage.stored(run)).status == "running"
                await answer_for(stage.database, stage.services.world, 0, stage.services.wallet.address)

    life = Answered(stage, lambda: len(life.pauses) >= 300)
    await life.worker.work()

    why, over = life.said
    assert "restored backup" in why
    assert "purser init --restored --spent-usd USD" in why
    assert over == "the restored database was answered for: runs buy again"
    assert life.worker.failures == 0
    assert (await stage.stored(run)).status == "completed"


class Hanging:
    """A planner that never answers, and says when it is asked."""

    def __init__(self) -> None:
        """Nobody has asked yet."""
        self.asked = asyncio.Event()
        self.go_on = asyncio.Event()

    async def plan(self, context: PlanContext, timeout: float) -> Plan:  # noqa: ASYNC109 (Planner's face)
        self.asked.set()
        await self.go_on.wait()
        return Plan(Wait(seconds=600, reason="later"), "stub", None, None, None, None, 0, None, None)


async def test_a_worker_that_is_stopped_finishes_what_is_under_way() -> None:
    """Within the grace; it begins nothing more."""
    planner = Hanging()
    stage = await a_stage(planner=planner)
    run = await stage.start()
    worker = Worker(stage.services, print)
    work = asyncio.create_task(worker.work())
    await planner.asked.wait()

    worker.stop(30)
    await stage.start()
    planner.go_on.set()
    async with asyncio.timeout(10):
        await work

    assert (worker.ticks, worker.cut_off) == (1, 0)
    assert (await stage.stored(run)).lease is None


async def test_what_is_not_finished_within_the_grace_is_left_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is due again when its lease is over."""
    monkeypatch.setattr(rounds, "LOOK_SECONDS", 0.01)
    planner = Hanging()
    stage = await a_stage(planner=planner)
    run = await stage.start()
    worker = Worker(stage.services, print)
    work = asyncio.create_task(worker.work())
    await planner.asked.wait()

    worker.stop(5)
    stage.clock.pass_(5)
    async with asyncio.timeout(10):
        await work

    left = await stage.stored(run)
    assert (worker.ticks, worker.cut_off) == (0, 1)
    assert left.lease is not None
    assert left.next_tick_at == left.lease.until
    stage.clock.now = left.next_tick_at
    planner.go_on.set()
    assert (await stage.tick(run)).message == "Waiting"


def test_a_worker_needs_a_database_that_others_see_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """The embedded store is inside the API's process: there would never be anything to do."""
    monkeypatch.delenv("MONGODB_URI", raising=False)

    refused = CliRunner().invoke(command_line("worker"), ["worker", "--json"])

    assert refused.exit_code == Exit.SETUP
    assert json.loads(refused.stderr)["detail"].startswith("MONGODB_URI is not set")


def test_a_worker_without_a_wallet_says_what_it_pays_with(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The throw-away key of the API's process is another one: an operator should know."""

    async def stopped_at_once(*_: object) -> object:
        return None

    monkeypatch.setattr("scripts.serve.worker.configure", lambda **_: None)
    monkeypatch.setattr("scripts.serve.worker._work", stopped_at_once)
    database = SecretStr("mongodb://127.0.0.1:1/")
    key = SecretStr("11" * 32)

    run_worker(Settings(mongodb_uri=database, x402_private_key=key, api_token=key), 0, print)
    assert not caplog.records
    run_worker(Settings(mongodb_uri=database), 0, print)
    assert [record.getMessage().split(":")[0] for record in caplog.records] == ["X402_PRIVATE_KEY is not set"]
