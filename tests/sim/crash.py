"""A run that dies, or meets a failure, at each of its effects, one after the other: every one, nothing is sampled.

Between two effects a process touches nothing but its own memory. So killed after the n-th effect leaves the same
world as killed before the next one; both are tried one at a time, pairs are of kills after.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache
from typing import Final

from bson import ObjectId

from agent.book.errors import RunBusy, StoreUnavailable
from agent.book.models import Constraints, Run
from agent.engine.tick import tick
from agent.intake.runs import Order, start
from agent.process.settings import Settings
from agent.store.runs import RunStore
from gpu_vendor_mock.catalog import DEFAULT_CATALOG
from tests.agent.chain import LedgerChain
from tests.agent.killing import Killed, Reaper, WatchedChain
from tests.agent.stage import START, Stage, a_stage
from tests.sim.crash_blows import Breaker, Cancelling, Straggler, changes
from tests.sim.crash_scenarios import DeadPlanner, End, Scenario
from tests.sim.notary import Notary
from tests.sim.oracle import Oracle, Wrong

__all__ = [
    "Blow",
    "Life",
    "Lived",
    "Never",
    "Wound",
    "crashes",
    "failures",
    "life_of",
    "pairs",
    "stragglers",
]

_STEPS: Final = 200
"""Ticks, deaths and waits after which a run counts as stuck. The longest life here takes about sixty."""

_PATIENCE: Final = timedelta(hours=2)
"""Virtual time by which each of these lives is over. Their longest wait is for an authorization to expire."""

_MOST: Final = 1_000
"""Effects that no run has."""


class Never(AssertionError):
    """A run did not end."""


@dataclass(frozen=True, slots=True)
class Blow:
    """What is done to the process at one effect, counted from the last blow or, for the first, from the start."""

    number: int
    after: bool


@dataclass(frozen=True, slots=True)
class Wound:
    """A blow that fell: where, whether a quote had been asked for by then, and whether the first purchase was over
    (settled, given up, or only waiting for its authorization to expire)."""

    where: str
    quoted: bool
    bought: bool

    @property
    def changes(self) -> bool:
        """What it struck would change something in the world."""
        return changes(self.where.partition(", ")[2])


@dataclass(frozen=True, slots=True)
class Lived:
    """A life that was lived: the effect of its last blow, what fell, how it ended, and if its process died."""

    number: int
    wounds: tuple[Wound, ...]
    end: End
    died: bool

    def as_it_must(self, end: End) -> bool:
        """It ended like this. Only where an order or its signing fails, with nothing paid, may the vendor be
        passed over: then another one is paid."""
        passed_over = any(each.where.endswith(("POST /submit-job", "sign")) for each in self.wounds)
        same = (self.end.status, self.end.code) == (end.status, end.code)
        return self.end == end or (same and passed_over and not self.died)


class Life:
    """One run of a scenario from its start to its end, whatever happens to its process; each step is judged."""

    def __init__(self, scenario: Scenario, stage: Stage, reaper: Reaper) -> None:
        """`stage` is watched by `reaper`."""
        payees = {each.vendor_id: each.pay_to for each in DEFAULT_CATALOG}
        self.scenario = scenario
        self.wounds: list[Wound] = []
        self._notary = Notary()
        stage.services = replace(stage.services, wallet=self._notary.beside(stage.services.wallet))
        self._stage = stage
        self._reaper = reaper
        self._oracle = Oracle(stage.database, stage.record, stage.chain, payees, chain_read=scenario.chain_read)
        self._run_id: ObjectId | None = None

    async def live(self, blows: Sequence[Blow] = ()) -> End:
        """To the end, through all that happens.

        Raises:
            Wrong: a rule is broken.
            Never: the run does not end.
        """
        coming = iter(blows)
        self._arm(next(coming, None))
        for _ in range(_STEPS):
            try:
                ended = await self._step()
            except (Killed, StoreUnavailable):
                ended = False
            if self._reaper.struck is not None:
                self.wounds.append(await self._wound(self._reaper.struck))
                self._arm(next(coming, None))
            self._notary.check()
            if self._run_id is not None:
                await self._oracle.check(self._run_id)
            if ended:
                return await self._end()
            if self._stage.clock.now - START > _PATIENCE:
                break
        raise Never(f"{self.scenario.name}: not ended at {self._stage.clock.now}")

    async def cancel(self) -> None:
        """The user does not want it any more."""
        if self._run_id is not None:
            await RunStore(self._stage.database).request_cancel(self._run_id)

    def _arm(self, blow: Blow | None) -> None:
        if blow is None:
            self._reaper.kill_at(None, after=False)
        else:
            self._reaper.kill_at(blow.number, after=blow.after)

    async def _step(self) -> bool:
        """One thing is done: the start, a tick, or a wait. True: there is nothing left to do."""
        services, clock = self._stage.services, self._stage.clock
        if self._run_id is None:
            constraints = Constraints.model_validate(self.scenario.constraints)
            order = Order("u1", "Fine-tune tiny-llm", self.scenario.budget, constraints)
            self._run_id = (await start(services.runs, services.world, order, "once")).id
            return False
        try:
            run = (await tick(services, self._run_id)).run
        except RunBusy:
            lease = (await self._stored(self._run_id)).lease
            assert lease is not None
            clock.now = lease.until  # whoever holds it is dead
            return False
        if run.next_tick_at is not None:
            clock.now = max(clock.now, run.next_tick_at)
        return run.status != "running" and not (await self._stored(self._run_id)).ended_untold

    async def _stored(self, run_id: ObjectId) -> Run:
        return await RunStore(self._stage.database).get(run_id)

    async def _wound(self, where: str) -> Wound:
        quoted = "POST /quote" in self._reaper.log
        if self._run_id is None:
            return Wound(where, quoted, bought=False)
        run = await self._stored(self._run_id)
        waits = all(each.held for each in run.reservations.values())
        return Wound(where, quoted, run.jobs_started > 1 or (run.jobs_started > 0 and waits))

    async def _end(self) -> End:
        assert self._run_id is not None
        await self._oracle.check_end(self._run_id)
        made = await self._stage.database.collection("runs").count({})
        if made != 1:
            raise Wrong("an order is one run", f"{made} runs of one order")
        run = await self._stored(self._run_id)
        code = run.failure.code if run.failure else None
        return End(run.status, code, run.budget_spent, len(self._stage.record.settlements))


async def life_of(scenario: Scenario, reaper: Reaper) -> Life:
    """A new world, and a run that is about to be started in it."""
    cancelling = Cancelling(reaper)
    stage = await a_stage(
        scenario.faults,
        watcher=cancelling,
        planner=DeadPlanner() if scenario.dead_planner else None,
        pinned=scenario.pinned,
        epoch_seconds=1,
    )
    stage.services = replace(stage.services, settings=_impatient())
    if scenario.chain_read:
        chain = WatchedChain(LedgerChain(stage.chain, stage.clock.unix), cancelling)
        stage.services = replace(stage.services, chains={"eip155:84532": chain})
    life = Life(scenario, stage, reaper)
    if scenario.cancelled:
        cancelling.cancel = life.cancel
    return life


@cache
def _impatient() -> Settings:
    return Settings(stall_seconds=30)


async def crashes(scenario: Scenario, *, after: bool) -> AsyncIterator[Lived]:
    """Killed at the first effect, the second, ... until a run gets through untouched."""
    async for lived in _each(scenario, Reaper, (), after=after):
        yield lived


async def failures(scenario: Scenario, *, after: bool) -> AsyncIterator[Lived]:
    """The same, with a process that lives on: store, vendor, planner, wallet or chain fails there, and once only.

    `after` it has happened only where it changes something: an answer that never came is one that was lost.
    """
    reaper = Reaper()
    await (await life_of(scenario, reaper)).live()
    for number, name in enumerate(reaper.log, start=1):
        if not after or changes(name):
            life = await life_of(scenario, Breaker())
            end = await life.live((Blow(number, after),))
            yield Lived(number, tuple(life.wounds), end, died=False)


async def pairs(scenario: Scenario, *, everywhere: bool) -> AsyncIterator[Lived]:
    """Killed after the n-th effect and, restarted, after the m-th from there.

    Only where both fall within the first purchase, from its quote until nothing more is sent for it; or
    `everywhere`.
    """
    async for first in crashes(scenario, after=True):
        if not everywhere and (first.wounds[0].bought or not first.wounds[0].quoted):
            continue
        async for lived in _each(scenario, Reaper, (Blow(first.number, after=True),), after=True):
            yield lived
            if not everywhere and lived.wounds[-1].bought:
                break


async def stragglers(scenario: Scenario) -> AsyncIterator[Lived]:
    """Killed before the n-th effect, which arrives after the m-th from there; killed again right then."""
    async for first in crashes(scenario, after=False):
        if not first.wounds[0].changes:
            continue
        async for lived in _each(scenario, Straggler, (Blow(first.number, after=False),), after=True):
            yield lived


async def _each(
    scenario: Scenario, kind: type[Reaper], before: tuple[Blow, ...], *, after: bool
) -> AsyncIterator[Lived]:
    """The lives with a last blow at the first effect after `before`, the second, and so on while it falls."""
    for number in range(1, _MOST):
        life = await life_of(scenario, kind())
        end = await life.live((*before, Blow(number, after)))
        if len(life.wounds) <= len(before):
            return
        yield Lived(number, tuple(life.wounds), end, died=True)
    raise Never(scenario.name)
