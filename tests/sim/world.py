"""One simulated world: several processes that tick, users who start and cancel, vendors, one store, one clock.

All that Purser is made of is the real thing but for the clock, the wire and the planner's whims; each process has
clients of its own on the one embedded store. `World.live` lets it live until every run has ended.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache
from itertools import count
from typing import Final, TypeVar
from unittest import mock

import httpx
from bson import ObjectId

from agent.book.api_key import Key
from agent.book.errors import LeaseLost, RunBusy, StoreUnavailable
from agent.book.limits import KeyLimits
from agent.book.models import Run
from agent.dispatch.rounds import tick_due
from agent.engine.services import Services
from agent.engine.tick import tick
from agent.intake import runs
from agent.intake.runs import Order
from agent.process.settings import MOCK_SECRET
from agent.process.world import World as Seam
from agent.store.collections import Database
from agent.store.embedded import EmbeddedDatabase
from agent.store.keys import KeyStore
from agent.store.runs import RunStore
from agent.store.vendors import VendorStore
from agent.wallet.wallet import Wallet
from agent.wiring import wire
from gpu_vendor_mock.app import create_app
from gpu_vendor_mock.faults import FAULT_HEADER, FaultName, parse_faults
from gpu_vendor_mock.journal import Journal
from gpu_vendor_mock.settings import Settings as VendorSettings
from tests.agent.killing import Killed, WatchedDatabase, WatchedPlanner, Watcher, watched_wallet
from tests.agent.stage import KEY, START, InProcess, registered
from tests.sim.choices import Choices
from tests.sim.ledger_chain import LateChain
from tests.sim.loop import VirtualClock, VirtualLoop
from tests.sim.notary import Notary
from tests.sim.oracle import Oracle, Wrong
from tests.sim.purse import Purse
from tests.sim.scenario import FAULTS, KEY_ID, Buyer, Scenario
from tests.sim.scheduler import Kind, Process, Scheduler, kind_of
from tests.sim.whims import WhimsicalPlanner
from tests.sim.witness import Witness
from x402.chain.ports import ChainReader
from x402.client import BoundedTransport
from x402.selling.offline import MemoryLedger, OfflineFacilitator
from x402.wire import PAYMENT_HEADERS

__all__ = ["Met", "World", "the_key"]

T = TypeVar("T")

_PATIENCE: Final = 16 * 3_600 * 1_000
"""Virtual milliseconds by which every run must have ended. Thirty waits of ten minutes are five hours."""

_DEAD_FOR: Final = (1.0, 0.0, 12.0, 60.0, 300.0)
"""Seconds until a process that died is replaced."""

_CHANGES_HIS_MIND: Final = (20.0, 0.0, 0.5, 5.0, 90.0, 400.0)
"""Seconds from a run's start to its cancelling."""


def the_key(limits: KeyLimits) -> Key:
    """An API key with these limits, as the store has it."""
    return Key(
        id=limits.key_id,
        hash="",
        user_id="u",
        name="simulated",
        scopes=("run",),
        max_per_day=limits.per_day,
        max_total=limits.total,
        requests_per_minute=600,
        created_at=START,
    )


@dataclass
class Met:
    """What a world came to, for the table."""

    counts: Counter[str]
    statuses: Counter[str]


class World:
    """The world of one scenario."""

    def __init__(self, scenario: Scenario, choices: Choices) -> None:
        """Nothing happens yet."""
        self.scenario = scenario
        self._choices = choices
        self._clock = VirtualClock(START)
        self._journal, self._chain = Journal(), MemoryLedger()
        self._database = EmbeddedDatabase()
        payees = {each.vendor_id: each.pay_to if scenario.pinned else None for each in scenario.vendors}
        self._witness = Witness(
            self._journal,
            self._chain,
            payees,
            self._clock.unix,
            skew=2 * scenario.skew + timedelta(seconds=1),
            lapses=scenario.chain_late is not None,
        )
        self._purse = Purse(
            self._journal,
            scenario.settings.limits,
            _wallet().address,
            self._clock.unix,
            lapses=scenario.chain_late is not None,
            keys={f"u{number}": scenario.key for number, each in enumerate(scenario.buyers) if each.keyed}
            if scenario.key
            else {},
            skew=scenario.skew,
        )
        self.scheduler = Scheduler(self._clock, choices, scenario.temper, scenario.steps, self._look)
        self._transport = InProcess(self._vendors())
        self._names, self._ids = count(1), count(1)
        self._notary = Notary()
        self._met: Counter[str] = Counter()
        self._wrong: Wrong | None = None
        self._promised: dict[ObjectId, bool] = {}

    def live(self) -> Met:
        """From the first order until every run has ended and nothing is under way.

        Raises:
            Wrong, Stuck: what must not be.
        """
        loop = VirtualLoop(self._clock, self.scheduler.step)
        try:
            loop.run_until_complete(self._live())
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            _abandon(loop)
        statuses = Counter(known.status for known in self._witness.runs.values())
        for fired in self._journal.faults:
            self._met[f"vendor fault {fired.fault.partition('=')[0]}"] += 1
        self._met["settlements"] = len(self._journal.settlements)
        return Met(self._met, statuses)

    def audit(self) -> str:
        """The heads of all trails."""
        return " ".join(f"{known.seq}:{known.head}" for _, known in sorted(self._witness.runs.items()))

    async def _live(self) -> None:
        registry = VendorStore(self._database)
        for persona in self.scenario.vendors:
            await registry.add(registered(persona, pinned=self.scenario.pinned))
        tasks = [asyncio.ensure_future(self._ticker(number)) for number in range(self.scenario.tickers)]
        if self.scenario.key is not None:
            await KeyStore(self._database).add(the_key(self.scenario.key))
            tasks.append(asyncio.ensure_future(self._revoker()))
        tasks += [
            asyncio.ensure_future(self._user(buyer, number)) for number, buyer in enumerate(self.scenario.buyers)
        ]
        await asyncio.gather(*tasks)
        while not self.scheduler.empty:  # noqa: ASYNC110  it is empty at a moment of virtual time
            await asyncio.sleep(1)
        await self._last_look()

    async def _last_look(self) -> None:
        """Once all is done: what vendors cash late is cashed, and the books are held against the journal."""
        await self._cash_what_is_due()
        self._witness.look()
        payees = {each.vendor_id: self._witness.payee(each.vendor_id) for each in self.scenario.vendors}
        chain_read = self.scenario.chain_late is not None
        oracle = Oracle(self._database, self._journal, self._chain, payees, chain_read=chain_read)
        books = RunStore(self._database)
        await self._purse.check_end(self._database)
        if len(self._witness.runs) != len(self.scenario.buyers):
            raise Wrong("an order is one run", f"{len(self._witness.runs)} runs")
        for run_id, cancelled in self._promised.items():
            await oracle.check_end(run_id)
            run = await books.get(run_id)
            self._witness.same_trail(run, await books.observations(run, 10_000))
            if cancelled and not run.cancel_requested:
                raise Wrong("what was answered is never lost", f"run {run_id} was to be cancelled")
            if run.status == "failed" and not (run.failure and run.failure.code and run.failure.message):
                raise Wrong("a run that failed says why", str(run.failure))
            if self.scenario.calm and run.status != "completed":
                raise Wrong("with nothing in its way a run completes", str(run.failure))

    # ---------------------------------------------------------------- who lives in it

    async def _ticker(self, number: int) -> None:
        """A process that ticks; when it dies, another takes its place.

        Once nothing is left to chance the first one does what is left to do, and the others go home.
        """
        while not self._over() and (number == 0 or not self._choices.silent):
            process = self._process()
            try:
                await self._cron(process, self._services(process), number)
            except Killed:
                self._met["processes killed"] += 1
                await asyncio.sleep(self._choices.pick(_DEAD_FOR))

    async def _cron(self, process: Process, services: Services, number: int) -> None:
        while not self._over() and (number == 0 or not self._choices.silent):
            if process.dead:
                raise Killed
            pause = self.scenario.period
            known = list(self._promised)
            if known and self._choices.happens(0.5):
                pause = self._choices.pick((pause, 0.0, 1.0, 10.0))
                await self._tick_by_hand(services, self._choices.pick(known))
            else:
                pause = await self._round(services, pause)
            await asyncio.sleep(pause)

    async def _round(self, services: Services, pause: float) -> float:
        """As the cron does it: whatever is due."""
        try:
            await tick_due(services, 55)
        except StoreUnavailable:
            self._met["rounds without a store"] += 1
        return pause * self._choices.pick((1.0, 0.1, 0.5))

    async def _tick_by_hand(self, services: Services, run_id: ObjectId) -> None:
        """As a user does it, due or not."""
        try:
            await tick(services, run_id)
        except RunBusy:
            self._met["ticks of a busy run"] += 1
        except StoreUnavailable:
            self._met["ticks without a store"] += 1
        except LeaseLost:
            pass

    async def _user(self, buyer: Buyer, number: int) -> None:
        """Starts a run until it is told that it has; may cancel it until it is told that it is."""
        key_id = KEY_ID if buyer.keyed else None
        order = Order(f"u{number}", "Fine-tune tiny-llm", buyer.budget, buyer.constraints, key_id)
        run = await self._insist(lambda services: runs.start(services.runs, services.world, order, "once"))
        self._promised[run.id] = False
        if not buyer.fickle:
            return
        await asyncio.sleep(self._choices.pick(_CHANGES_HIS_MIND))
        answer = await self._insist(lambda services: runs.cancel(services, run.id))
        self._promised[run.id] = answer.run.cancel_requested

    async def _revoker(self) -> None:
        """Revokes the key at some time, in some schedules."""
        if self.scenario.revoked_after is not None:
            await asyncio.sleep(self.scenario.revoked_after)
            await self._insist(lambda services: services.keys.revoke(KEY_ID, services.world.now()))
            self._met["keys revoked"] += 1

    async def _insist(self, ask: Callable[[Services], Awaitable[T]]) -> T:
        """Ask until there is an answer, as often as the process that is asked dies or has no store."""
        while True:
            process = self._process()
            try:
                return await ask(self._services(process))
            except StoreUnavailable:
                self._met["requests without a store"] += 1
            except Killed:
                self._met["processes killed"] += 1
            await asyncio.sleep(2)

    def _over(self) -> bool:
        known = self._witness.runs.values()
        all_there = len(self._promised) == len(self.scenario.buyers)
        return all_there and all(each.status != "running" and not each.untold for each in known)

    # ---------------------------------------------------------------- what it is made of

    def _look(self) -> None:
        if self._wrong is not None:
            raise self._wrong
        self._witness.look()
        self._purse.look()
        self._notary.check()
        if self._clock.ms > _PATIENCE:
            raise Wrong("a run ends", str({key: known.status for key, known in self._witness.runs.items()}))

    def _process(self) -> Process:
        skew = int(self.scenario.skew.total_seconds() * 1_000)
        return Process(f"p{next(self._names)}", self._choices.pick((0, -skew, skew)) if skew else 0)

    def _services(self, process: Process) -> Services:
        tokens = count(1)
        wrong = timedelta(milliseconds=process.skew_ms)

        def now() -> datetime:
            return self._clock.now() + wrong

        http = httpx.AsyncClient(transport=BoundedTransport(_Wire(self, process)), trust_env=False)
        settings = self.scenario.settings
        gate = _Gate(self, process)
        watched = WatchedDatabase(self._database, gate)
        world = Seam(
            now=now,
            monotonic=self._clock.seconds,
            new_id=lambda: ObjectId(f"{next(self._ids):024x}"),
            new_token=lambda: f"{process.name}/{next(tokens)}",
            below=self._choices.below,
        )
        services = wire(
            settings,
            world,
            watched,
            http=http,
            planner=WatchedPlanner(WhimsicalPlanner(self._choices, self.scenario.whims), gate),
            wallet=self._notary.beside(watched_wallet(_wallet(), gate)),
        )
        return replace(services, runs=_CountingRuns(watched, self._met), chains=self._chains(gate))

    def _chains(self, gate: Watcher) -> dict[str, ChainReader]:
        late = self.scenario.chain_late
        if late is None:
            return {}
        chain = LateChain(self._journal, self._clock, late, self._cash_what_is_due, gate)
        return {_vendor_settings().x402_network: chain}

    async def _cash_what_is_due(self) -> None:
        """Vendors that keep a payment to cash it late do so when they are asked for anything."""
        if not any(fired.fault == FaultName.CASH_LATE for fired in self._journal.faults):
            return
        async with httpx.AsyncClient(transport=self._transport, trust_env=False) as http:
            await http.get("http://127.0.0.1/journal", headers={"authorization": f"Bearer {MOCK_SECRET}"})

    def _vendors(self) -> Callable[..., object]:
        ids = count(1)
        settings = _vendor_settings().model_copy(
            update={
                "faults": parse_faults(self.scenario.faults),
                "mock_vendors": self.scenario.vendors,
                "epochs": self.scenario.epochs,
                "epoch_seconds": self.scenario.epoch_seconds,
            }
        )
        return create_app(
            settings,
            clock=self._clock.unix,
            sleep=asyncio.sleep,
            new_id=lambda: f"{next(ids):016x}",
            facilitator=OfflineFacilitator(self._chain, self._clock.unix),
            journal=self._journal,
        )

    async def stored(self, process: Process, name: str, effect: Callable[[], Awaitable[T]]) -> T:
        """An effect on the store; what it made of a run is shown to the witness."""
        result = await effect()
        try:
            if name == "update runs" and isinstance(result, dict):
                self._purse.written(result)
                self._witness.written(process.name, result, self._clock.now())
            elif name == "update keys":
                self._purse.revoked(self._clock.now())
            elif name == "insert runs":
                for found in await self._database.collection("runs").find({}, [("_id", 1)], 10):
                    if str(found["_id"]) not in self._witness.runs:
                        self._witness.written(process.name, found, self._clock.now())
        except Wrong as wrong:
            self._wrong = self._wrong or wrong
        return result

    async def carried(self, request: httpx.Request) -> httpx.Response:
        """A request at the vendor, with whatever goes wrong there by chance."""
        request.headers.pop(FAULT_HEADER, None)
        if fault := self._fault_of(request):
            request.headers[FAULT_HEADER] = fault
            self.scheduler.note(request.headers["x-vendor-id"], f"{request.method} {request.url.path}", fault)
        return await self._transport.handle_async_request(request)

    def _fault_of(self, request: httpx.Request) -> str | None:
        """What goes wrong with a request by chance; two faults are tried where they can show, which is seldom."""
        key = request.headers.get("idempotency-key")
        if not self.scenario.wire_faults:
            return None
        if key and self._witness.has_job(key) and self._choices.happens(0.3):
            return FaultName.DUPLICATE_JOB
        if key and self._journal.jobs and _pays(request) and self._choices.happens(0.4):
            return FaultName.OTHER_JOB
        if self._choices.happens(self.scenario.wire_faults):
            return self._choices.pick(self._choices.pick(FAULTS))
        return None


class _CountingRuns(RunStore):
    """The runs, and a count of the workers that came too late."""

    def __init__(self, database: Database, met: Counter[str]) -> None:
        super().__init__(database)
        self._met = met

    async def commit(self, before: Run, after: Run) -> Run:
        try:
            return await super().commit(before, after)
        except LeaseLost:
            self._met["stale workers"] += 1
            raise


class _Gate:
    """`Watcher` of one process."""

    def __init__(self, world: World, process: Process) -> None:
        self._world = world
        self._process = process

    async def watch(self, name: str, effect: Callable[[], Awaitable[T]]) -> T:
        """Cross to the store, the planner, the wallet or the chain."""
        kind = kind_of(name)
        if kind not in (Kind.READ, Kind.WRITE):
            return await self._world.scheduler.cross(self._process, name, kind, effect)
        return await self._world.scheduler.cross(
            self._process, name, kind, lambda: self._world.stored(self._process, name, effect)
        )


class _Wire(httpx.AsyncBaseTransport):
    """The network between one process and the vendors."""

    def __init__(self, world: World, process: Process) -> None:
        self._world = world
        self._process = process

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Carry a request, or not."""
        name = f"{request.method} {request.url.path}{' paid' if _pays(request) else ''}"
        return await self._world.scheduler.cross(
            self._process, name, Kind.WIRE, lambda: self._world.carried(request)
        )


def _pays(request: httpx.Request) -> bool:
    return any(name in request.headers for name in PAYMENT_HEADERS.values())


@cache
def _wallet() -> Wallet:
    return Wallet.local(KEY)


@cache
def _vendor_settings() -> VendorSettings:
    with mock.patch.dict(os.environ, clear=True):
        return VendorSettings(_env_file=None)


def _abandon(loop: VirtualLoop) -> None:
    """End whoever may still wait, after a failure for ever, and close the loop. Who does not end is left."""
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    with suppress(AssertionError):  # raised again by the witness, or because nobody can go on
        if tasks:
            loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
    loop.set_exception_handler(lambda *_: None)
    loop.close()
