"""Purser among vendors that mean it harm: the real core and its real HTTP client, vendors on real sockets.

`gpu_vendor_1` is the cheaper one, so every run goes there first; it is the mock vendor with faults, or a `Liar`
before it. `gpu_vendor_2` is honest. Time is virtual: ticks come when they are due, `PACE` seconds apart at least.
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
import unicodedata
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count

import bson
import httpx
from bson import ObjectId
from pydantic import SecretStr
from starlette.types import ASGIApp
from uvicorn.server import ServerState

from agent.audit import public_observation, verify
from agent.decide import plan_context
from agent.models import Constraints, Job, Observation, Run
from agent.planner.prompt import question
from agent.planner.stub import StubPlanner
from agent.runs import Order, start
from agent.services import Services
from agent.settings import Settings
from agent.store.allowances import AllowanceStore
from agent.store.embedded import EmbeddedDatabase
from agent.store.runs import RunStore
from agent.store.vendors import VendorStore
from agent.tick import tick
from agent.wallet import Wallet
from agent.world import World
from api._app import create_app as create_api
from api._context import Context
from gpu_vendor_mock.app import create_app
from gpu_vendor_mock.catalog import DEFAULT_CATALOG, Persona
from gpu_vendor_mock.faults import parse_faults
from gpu_vendor_mock.journal import Journal
from gpu_vendor_mock.server import DroppingProtocol, make_server
from gpu_vendor_mock.settings import Settings as VendorSettings
from tests.agent.stage import KEY, START, Clock
from tests.hostile.liar import At, Canary, Liar, Script
from vendors.client import VendorClient, make_http_client
from vendors.models import JobReport, Quote, Rejected, Submitted, Vendor
from x402.client import PaymentAuth
from x402.codec import JsonObject

__all__ = ["QUOTED", "TOKEN", "Arena", "an_arena"]

TOKEN = "a-bearer-token-of-ours-0123456789"
QUOTED = {"gpu_vendor_1": 1_400_000, "gpu_vendor_2": 1_800_000}
"""What an hour costs, in micro-dollars: the most that one purchase there may lose."""

PACE = 100.0
"""Seconds between two ticks at least, as under a cron that is not too busy."""

_BEARER = {"Authorization": f"Bearer {TOKEN}"}

MOST_SHOWN = 16 * 1024
"""Bytes of one observation, and of all that a run's document holds of one job, at the most (as BSON)."""

MOST_STORED = 1024 * 1024
"""Bytes of a run's document at any time: MongoDB takes 16 MB."""

MOST_SECONDS = 30.0
"""Seconds that a tick really takes at the most."""

MOST_PROMPT = 64 * 1024
"""Characters of the question to a planner."""


class _Hasty(VendorClient):
    """The real client, given less time for some calls of the first vendor: what a vendor needs `CALL_SECONDS` to
    show, it shows in `patience` seconds here.
    """

    patience: Mapping[At, float]

    def _within(self, vendor: Vendor, at: At, within: float) -> float:
        return min(within, self.patience.get(at, within)) if vendor.vendor_id == "gpu_vendor_1" else within

    async def quote(
        self, vendor: Vendor, *, job_type: str, gpu_type: str, max_hours: float, within: float
    ) -> Quote:
        within = self._within(vendor, At.QUOTE, within)
        return await super().quote(
            vendor, job_type=job_type, gpu_type=gpu_type, max_hours=max_hours, within=within
        )

    async def status(self, vendor: Vendor, vendor_job_id: str, *, within: float) -> JobReport:
        return await super().status(vendor, vendor_job_id, within=self._within(vendor, At.STATUS, within))

    async def submit(
        self,
        vendor: Vendor,
        *,
        idempotency_key: str,
        template_id: str,
        job_params: JsonObject,
        auth: PaymentAuth,
        within: float,
    ) -> Submitted | Rejected:
        within = min(self._within(vendor, At.ORDER, within), self._within(vendor, At.PAYMENT, within))
        return await super().submit(
            vendor,
            idempotency_key=idempotency_key,
            template_id=template_id,
            job_params=job_params,
            auth=auth,
            within=within,
        )


class _Weighing(RunStore):
    """The real store, which notes how large a run's document ever became: what it has to tell travels in it."""

    heaviest = 0

    async def commit(self, before: Run, after: Run) -> Run:
        stored = await super().commit(before, after)
        self.heaviest = max(self.heaviest, len(bson.encode(stored.to_document())))
        return stored


class _Wired(Context):
    """The API's context around services that exist."""

    def __init__(self, services: Services, database: EmbeddedDatabase) -> None:
        super().__init__(services.settings, services.world, database)
        self._given = services

    def services(self) -> Services:
        return self._given


@dataclass
class Arena:
    """A run's whole world, and what is watched while it lives."""

    services: Services
    runs: _Weighing
    clock: Clock
    journal: Journal
    canary: Canary
    liar: Liar | None
    honest: str
    looker: httpx.AsyncClient
    """Asks the vendors what happened."""
    api: httpx.AsyncClient
    pace: float
    asked: set[str] = field(default_factory=set)
    """Scheme, host and port of each request that our client sent."""
    known: set[str] = field(default_factory=set)
    """Other vendors that may be asked."""
    longest_tick: float = 0.0
    """Seconds that the longest tick really took."""

    async def note(self, request: httpx.Request) -> None:
        """For the client's request hook."""
        self.asked.add(f"{request.url.scheme}://{request.url.netloc.decode()}")

    async def start(self, budget: int = 5_000_000, **constraints: object) -> Run:
        """A new run."""
        order = Order("u1", "Fine-tune tiny-llm", budget, Constraints.model_validate(constraints))
        return await start(self.services.runs, self.services.world, order, None)

    async def tick(self, run: Run) -> Run:
        """One tick now, and a look at everything after it."""
        began = time.monotonic()
        async with asyncio.timeout(MOST_SECONDS):
            run = (await tick(self.services, run.id)).run
        self.longest_tick = max(self.longest_tick, time.monotonic() - began)
        await self._check_money(run)
        assert self.runs.heaviest < MOST_STORED
        assert len(await self.prompt(run)) < MOST_PROMPT
        return run

    async def finish(self, run: Run, limit: int = 150) -> Run:
        """Tick until the run has ended, then hold everything that it left behind against the light."""
        for _ in range(limit):
            run = await self.tick(run)
            if run.next_tick_at is None:
                await self._look_back(run)
                return run
            self.clock.now = max(self.clock.now + timedelta(seconds=self.pace), run.next_tick_at)
        raise AssertionError(f"the run did not end: {run.status} {run.phase}")

    async def jobs(self, run: Run) -> list[Job]:
        """The run's purchases, oldest first."""
        return await self.services.runs.jobs(await self.services.runs.get(run.id))

    async def trail(self, run: Run) -> list[Observation]:
        """The run's whole trail."""
        return await self.services.runs.observations(await self.services.runs.get(run.id), 100_000)

    async def told(self, run: Run) -> str:
        """The trail's prose, one line an entry."""
        return "\n".join(entry.content for entry in await self.trail(run))

    async def prompt(self, run: Run) -> str:
        """What a model would be asked about this run now."""
        vendors = await self.services.vendors.list()
        return question(plan_context(run, vendors, await self.jobs(run), self.clock.now), None)

    def moved(self, vendor_id: str | None = None) -> int:
        """Micro-dollars that really moved, by the vendors' own record."""
        return sum(each.amount for each in self.journal.settlements if vendor_id in (None, each.vendor_id))

    async def _check_money(self, run: Run) -> None:
        """What a vendor does, it gets what it quoted, once for an order; and our books know of it at any time."""
        assert (await self.looker.get("/journal")).is_success  # looking makes late cashers cash
        for settled in self.journal.settlements:
            assert settled.amount <= QUOTED[settled.vendor_id]
        keys = [settled.key for settled in self.journal.settlements]
        assert len(set(keys)) == len(keys)
        sent = {(each.key, each.sha256) for each in self.journal.payments}
        assert len({key for key, _ in sent}) == len(sent), "two authorizations for one purchase"
        run = await self.services.runs.get(run.id)
        ours = {str(job.id) for job in await self.jobs(run)}
        moved = sum(settled.amount for settled in self.journal.settlements if settled.key in ours)
        assert moved <= run.budget_spent + run.budget_reserved <= run.budget_total
        assert run.budget_total == run.budget_remaining + run.budget_reserved + run.budget_spent

    async def _look_back(self, run: Run) -> None:
        """The trail is whole and fit to be read, in what is stored and in what the API shows."""
        trail = await self.trail(run)
        run = await self.services.runs.get(run.id)
        assert not verify(map(public_observation, trail), {"seq": run.audit.seq, "hash": run.audit.hash})
        shown = (await self.api.get(f"/api/agent-status?runId={run.id}&limit=500")).raise_for_status()
        assert shown.headers["content-type"] == "application/json"
        documents = [run, *trail, *await self.jobs(run), *await self.services.runs.payments(run)]
        for document in documents:
            assert len(bson.encode(document.to_document())) < MOST_SHOWN, type(document)
            _check_text(document.to_document())
        whole = shown.text + json.dumps([document.to_document() for document in documents], default=str)
        assert TOKEN not in whole
        assert self.canary.heard == 0
        assert self.asked <= {self.honest, *self.known, *([self.liar.url] if self.liar else [])}
        for secret in self._secrets():
            assert secret not in whole
        spent = sum(job.actual_cost or 0 for job in await self.jobs(run))
        assert spent == run.budget_spent

    def _secrets(self) -> Iterator[str]:
        """Each payment that was sent, and the signature in it: with the rest of the trail it is as good."""
        for payment in self.liar.seen.payments if self.liar else ():
            yield payment
            yield json.loads(base64.b64decode(payment))["payload"]["signature"][2:]


def _check_text(value: object) -> None:
    """Nothing in it rewrites a terminal or a reader's eye, or cannot be seen at all."""
    if isinstance(value, str):
        odd = {char for char in value if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp")}
        assert not odd, (odd, value[:200])
    elif isinstance(value, dict):
        for key, inner in value.items():
            _check_text(key)
            _check_text(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            _check_text(inner)


@asynccontextmanager
async def an_arena(
    scripts: dict[At, Script] | None = None,
    *,
    faults: str = "",
    patience: Mapping[At, float] | None = None,
    pace: float = PACE,
    pinned: bool = True,
) -> AsyncIterator[Arena]:
    """An arena whose first vendor spoils the calls that have a script, or fails as `faults` says."""
    clock, journal = Clock(), Journal()
    vendors = VendorSettings(
        _env_file=None,
        gpu_vendor_secret=SecretStr(TOKEN),
        faults=parse_faults(faults),
        epoch_seconds=10,
    )
    app = create_app(vendors, clock=clock.unix, journal=journal)
    async with (
        _served(app) as honest,
        Canary() as canary,
        Liar(honest, canary.url, scripts or {}) as liar,
        make_http_client() as http,
        httpx.AsyncClient(base_url=honest, headers=_BEARER, trust_env=False, verify=False) as looker,  # noqa: S501
    ):
        services, runs, api = await _wired(clock, http, patience or {})
        for persona in DEFAULT_CATALOG:
            endpoint = liar.url if scripts and persona.vendor_id == "gpu_vendor_1" else honest
            await services.vendors.add(_registered(persona, endpoint, pinned=pinned))
        async with api:
            arena = Arena(
                services, runs, clock, journal, canary, liar if scripts else None, honest, looker, api, pace
            )
            http.event_hooks = {"request": [arena.note]}
            yield arena


@asynccontextmanager
async def _served(app: ASGIApp) -> AsyncIterator[str]:
    """The app on a free port of this machine; its URL. Uvicorn's protocol alone: its server ends slowly."""
    config, state = make_server(app).config, ServerState()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: DroppingProtocol(config, state, {}), "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for connection in tuple(state.connections):
            connection.shutdown()
        await asyncio.gather(*state.tasks, return_exceptions=True)
        await server.wait_closed()


async def _wired(
    clock: Clock, http: httpx.AsyncClient, patience: Mapping[At, float]
) -> tuple[Services, _Weighing, httpx.AsyncClient]:
    """The core on an embedded store, and its API."""
    ids, tokens = count(1), count(1)
    world = World(
        now=lambda: clock.now,
        monotonic=clock.unix,
        new_id=lambda: ObjectId(f"{next(ids):024x}"),
        new_token=lambda: f"tick-{next(tokens)}",
    )
    settings = Settings(
        poll_seconds=3_600, stall_seconds=300, vendor_secrets={"GPU_VENDOR_SECRET": SecretStr(TOKEN)}
    )
    database = EmbeddedDatabase()
    runs = _Weighing(database)
    client = _Hasty(http, settings.vendor_secret)
    client.patience = patience
    services = Services(
        settings=settings,
        world=world,
        runs=runs,
        vendors=VendorStore(database),
        allowances=AllowanceStore(database),
        http=http,
        client=client,
        planner=StubPlanner(),
        wallet=Wallet.local(KEY),
    )
    transport = httpx.ASGITransport(create_api(_Wired(services, database)))
    return services, runs, httpx.AsyncClient(transport=transport, base_url="http://purser")


def _registered(persona: Persona, endpoint: str, *, pinned: bool) -> Vendor:
    return Vendor(
        vendor_id=persona.vendor_id,
        name=persona.name,
        endpoint=endpoint,
        base_price_per_hour=persona.base_price_per_hour,
        reliability_score=persona.reliability_score,
        reliability_prior=persona.reliability_score,
        supported_gpu_types=persona.supported_gpu_types,
        pay_to=persona.pay_to if pinned else None,
        secret_ref="GPU_VENDOR_SECRET",
        created_at=START,
    )
