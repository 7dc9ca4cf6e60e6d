"""What planning costs is money too: it counts where limits over many runs look, and buys nothing in vain."""

from __future__ import annotations

from dataclasses import dataclass

from agent.book.models import Constraints, Run
from agent.intake.runs import Order, start
from agent.kinds.rental.planner import Plan
from agent.kinds.rental.planner.context import PlanContext, Wait
from tests.agent.keyring import a_key
from tests.agent.stage import Stage, a_stage

CENT = 10_000


@dataclass
class Dear:
    """A planner that thinks for a cent each time, and cannot make up its mind."""

    asked: int = 0
    cost: int = CENT

    async def plan(self, context: PlanContext, timeout: float) -> Plan:  # noqa: ASYNC109 (the Planner's face)
        self.asked += 1
        return Plan(Wait(seconds=1), "fireworks", "m", "1", 1, 1, 0, self.cost, None)


async def ordered(stage: Stage, key_id: str | None, budget: int = 5_000_000) -> Run:
    order = Order("u1", "g", budget, Constraints(), key_id)
    return await start(stage.services.runs, stage.services.world, order, None)


async def ticked(stage: Stage, run: Run, times: int) -> Run:
    for _ in range(times):
        run = (await stage.tick(run)).run
        stage.clock.pass_(2)
    return run


async def test_a_model_is_not_asked_for_what_no_budget_can_pay() -> None:
    """The stub knows why not, and costs nothing."""
    planner = Dear()
    stage = await a_stage(planner=planner)

    run = await ticked(stage, await ordered(stage, None, budget=1), 1)

    assert (planner.asked, run.status) == (0, "failed")
    assert run.failure is not None
    assert "0.000001 USD remain" in run.failure.message


async def test_what_planning_costs_counts_in_the_keys_sums() -> None:
    """Over all of its runs; when they are used up no model is asked any more."""
    planner = Dear()
    stage = await a_stage(planner=planner)
    key, _ = a_key(max_total=3 * CENT, max_per_day=9_000_000)
    await stage.services.keys.add(key)

    for _ in range(3):
        await ticked(stage, await ordered(stage, key.id), 4)

    assert planner.asked == 3
    sums = await stage.services.allowances.read([f"key:{key.id}"])
    assert sums[f"key:{key.id}"].committed == 3 * CENT


async def test_what_planning_costs_counts_in_the_operators_day() -> None:
    """And the next day it is free again."""
    planner = Dear(cost=1_000_000)
    stage = await a_stage(planner=planner, settings={"max_per_day": "2"})
    run = await ordered(stage, None)

    await ticked(stage, run, 5)
    assert planner.asked == 2
    stage.clock.pass_(86_400)
    await ticked(stage, run, 5)

    assert planner.asked == 4


async def test_without_limits_nothing_is_counted() -> None:
    planner = Dear()
    stage = await a_stage(planner=planner)

    await ticked(stage, await ordered(stage, None), 5)

    assert planner.asked == 5
