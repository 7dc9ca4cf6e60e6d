"""A stage for runs: the real core, the real mock vendors with their journal, a virtual clock, nothing faked.

Vendors are reached through ASGI in this process, so a test decides when time passes and nothing else takes any.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import count
from typing import Any

import httpx
from bson import ObjectId

from agent.book.errors import RunBusy
from agent.book.models import Constraints, Job, Observation, Payment, Run
from agent.engine.restored import RestoreWatch
from agent.engine.services import Services
from agent.engine.tick import TickResult, tick
from agent.intake.runs import Order, start
from agent.kinds.rental.planner import Planner
from agent.kinds.rental.planner.stub import StubPlanner
from agent.process.settings import Settings
from agent.process.world import World
from agent.store.collections import Database
from agent.store.embedded import EmbeddedDatabase
from agent.store.runs import RunStore
from agent.store.vendors import VendorStore
from agent.wallet.wallet import Wallet
from agent.wiring import wire
from gpu_vendor_mock.app import create_app
from gpu_vendor_mock.catalog import DEFAULT_CATALOG, Persona
from gpu_vendor_mock.dropping import ConnectionDropped
from gpu_vendor_mock.faults import parse_faults
from gpu_vendor_mock.journal import Journal
from gpu_vendor_mock.settings import Settings as VendorSettings
from tests.agent.audited import audit_faults
from tests.agent.killing import Reaper, WatchedDatabase, WatchedPlanner, WatchedTransport, Watcher, watched_wallet
from vendors.models import Vendor
from x402.client import BoundedTransport
from x402.selling.offline import MemoryLedger, OfflineFacilitator

KEY = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
"""A published test key: never fund it."""

START = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)


@dataclass
class Clock:
    """Time as the test tells it."""

    now: datetime = START

    def pass_(self, seconds: float) -> None:
        """Let time go by."""
        self.now += timedelta(seconds=seconds)

    def unix(self) -> float:
        """The vendors' view of the same clock."""
        return self.now.timestamp()


class InProcess(httpx.AsyncBaseTransport):
    """Vendors in this process. A dropped connection is what httpx would make of it."""

    def __init__(self, app: Callable[..., object]) -> None:
        """`app`: the vendors."""
        self._inner = httpx.ASGITransport(app=app)  # type: ignore[arg-type]  # Starlette is an ASGI app
        self.lost: Callable[[httpx.Request], bool] = lambda request: False
        self.instead: Callable[[httpx.Request], httpx.Response | None] = lambda request: None
        self.unreachable: Callable[[httpx.Request], bool] = lambda request: False

    def names_a_payment(self, name: str) -> list[str]:
        """Vendors ask for a payment of this name and nothing else, as before x402; the names that came back."""
        came: list[str] = []

        def old(request: httpx.Request) -> httpx.Response | None:
            if request.url.path != "/submit-job":
                return None
            came.append(request.headers.get("x402-tx-id", ""))
            return httpx.Response(402, headers={"x402-tx-id": name}, json={}) if came[-1] != name else None

        self.instead = old
        return came

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Carry the request out; one that is `unreachable` never arrives, nor a `lost` answer."""
        if self.unreachable(request):
            raise httpx.ConnectError("no route to host", request=request)
        if (answer := self.instead(request)) is not None:
            return answer
        try:
            response = await self._inner.handle_async_request(request)
        except ConnectionDropped as exc:
            raise httpx.ReadError("connection closed") from exc
        if self.lost(request):
            raise httpx.ReadTimeout("the answer was lost", request=request)
        return response


@dataclass
class Stage:
    """Everything a run meets."""

    services: Services
    clock: Clock
    transport: InProcess
    record: Journal
    """What really happened at the vendors."""
    chain: MemoryLedger
    """What really moved, by the facilitator's word."""
    database: Database = field(repr=False)
    """The store as a test reaches into it: nothing here is an effect of the core."""

    async def start(self, budget: int = 5_000_000, constraints: dict[str, object] | None = None) -> Run:
        """A new run."""
        order = Order("u1", "Fine-tune tiny-llm", budget, Constraints.model_validate(constraints or {}))
        return await start(self.services.runs, self.services.world, order, None)

    async def tick(self, run: Run) -> TickResult:
        """One tick, now."""
        return await tick(self.services, run.id)

    async def finish(self, run: Run, limit: int = 200) -> Run:
        """Tick whenever the run asks for it until it has ended. A lease that somebody died with is waited for."""
        for _ in range(limit):
            try:
                run = (await self.tick(run)).run
            except RunBusy as busy:
                self.clock.pass_(busy.retry_after)
                continue
            await self.check(run)
            if run.next_tick_at is None:
                return run
            self.clock.now = max(self.clock.now, run.next_tick_at)
        raise AssertionError(f"the run did not end: {run.status} {run.phase} {run.reservations}")

    async def check(self, run: Run) -> None:
        """What holds at any time: books balance, the audit finds nothing, no more moved than we have booked."""
        run = await self.stored(run)
        assert run.budget_total == run.budget_remaining + run.budget_reserved + run.budget_spent
        store = RunStore(self.database)
        assert audit_faults(run, await store.jobs(run), await store.payments(run), await self.trail(run)) == ()
        runs = [Run.model_validate(each) for each in await self._runs()]
        moved = sum(each.amount for each in self.record.settlements)
        assert moved <= sum(each.budget_spent + each.budget_reserved for each in runs)
        assert run.budget_spent + run.budget_reserved <= run.budget_total

    async def _runs(self) -> list[dict[str, Any]]:
        return await self.database.collection("runs").find({}, [("_id", 1)], 1_000)

    async def journal(self) -> dict[str, list[dict[str, Any]]]:
        """The vendors' own record as they show it."""
        found: dict[str, list[dict[str, Any]]] = self.record.as_json()
        return found

    async def stored(self, run: Run) -> Run:
        """The run as it is in the store."""
        return await RunStore(self.database).get(run.id)

    async def trail(self, run: Run) -> list[Observation]:
        """The run's whole audit trail."""
        return await RunStore(self.database).observations(await self.stored(run), 10_000)

    async def jobs(self, run: Run) -> list[Job]:
        """The run's jobs."""
        return await RunStore(self.database).jobs(await self.stored(run))

    async def payments(self, run: Run) -> list[Payment]:
        """The run's payments."""
        return await RunStore(self.database).payments(await self.stored(run))


async def a_stage(
    faults: str = "",
    *,
    vendors: tuple[Persona, ...] = DEFAULT_CATALOG,
    planner: Planner | None = None,
    pinned: bool = True,
    epoch_seconds: float = 10,
    watcher: Watcher | None = None,
    settings: dict[str, object] | None = None,
    database: Database | None = None,
) -> Stage:
    """A stage with these vendors registered, failing as `faults` says; `watcher` sees each effect of the core.

    `database` is empty; left out, the embedded one.
    """
    watcher = watcher or Reaper()
    clock = Clock()
    ids = count(1)
    journal, chain = Journal(), MemoryLedger()
    app = create_app(
        _vendor_settings(faults, vendors, epoch_seconds),
        clock=clock.unix,
        new_id=lambda: f"{next(ids):016x}",
        facilitator=OfflineFacilitator(chain, clock.unix),
        journal=journal,
    )
    run_ids, tokens = count(1), count(1)
    world = World(
        now=lambda: clock.now,
        monotonic=clock.unix,
        new_id=lambda: ObjectId(f"{next(run_ids):024x}"),
        new_token=lambda: f"tick-{next(tokens)}",
        below=lambda _: 0,
        wall=clock.unix,
    )
    transport = InProcess(app)
    http = httpx.AsyncClient(transport=BoundedTransport(WatchedTransport(transport, watcher)))
    database = database or EmbeddedDatabase()
    watched = WatchedDatabase(database, watcher)
    our_settings = Settings.model_validate(settings) if settings else _usual_settings()
    services = wire(
        our_settings,
        world,
        watched,
        http=http,
        planner=WatchedPlanner(planner or StubPlanner(), watcher),
        wallet=watched_wallet(Wallet.local(KEY), watcher),
        restored=RestoreWatch(database, world),  # no effect: it looks once a minute
    )
    registry = VendorStore(database)
    for persona in vendors:
        await registry.add(registered(persona, pinned=pinned))
    return Stage(services, clock, transport, journal, chain, database)


@cache
def _usual_settings() -> Settings:
    return Settings()


@cache
def _vendor_settings(faults: str, vendors: tuple[Persona, ...], epoch_seconds: float) -> VendorSettings:
    return VendorSettings(faults=parse_faults(faults), mock_vendors=vendors, epoch_seconds=epoch_seconds)


def registered(persona: Persona, *, pinned: bool) -> Vendor:
    """The vendor as the registry has it, its payee known from the start or not."""
    return Vendor(
        vendor_id=persona.vendor_id,
        name=persona.name,
        endpoint="http://127.0.0.1:4001",
        base_price_per_hour=persona.base_price_per_hour,
        reliability_score=persona.reliability_score,
        reliability_prior=persona.reliability_score,
        supported_gpu_types=persona.supported_gpu_types,
        pay_to=persona.pay_to if pinned else None,
        secret_ref="GPU_VENDOR_SECRET",
        created_at=START,
    )
