"""The arena is opened: vendors on sockets, the real core on an embedded store, its API, a clock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from itertools import count

import httpx
from bson import ObjectId
from pydantic import SecretStr
from starlette.types import ASGIApp
from uvicorn.server import ServerState

from agent.engine.services import Services
from agent.process.settings import Settings
from agent.process.world import World
from agent.secrets.vendor_secrets import token_of
from agent.store.embedded import EmbeddedDatabase
from agent.wallet.wallet import Wallet
from agent.wiring import wire
from api._app import create_app as create_api
from api._context import Context
from gpu_vendor_mock.app import create_app
from gpu_vendor_mock.catalog import DEFAULT_CATALOG, Persona
from gpu_vendor_mock.faults import parse_faults
from gpu_vendor_mock.journal import Journal
from gpu_vendor_mock.server import DroppingProtocol, make_server
from gpu_vendor_mock.settings import Settings as VendorSettings
from net.strict_json import JsonObject
from tests.agent.stage import KEY, START, Clock
from tests.hostile.arena import TOKEN, Arena, Watching, Weighing
from tests.hostile.liar import At, Canary, Liar, Script
from vendors.client import VendorClient, make_http_client
from vendors.models import JobReport, Quote, Rejected, Submitted, Vendor
from x402.client import PaymentAuth

__all__ = ["an_arena"]

PACE = 100.0
"""Seconds between two ticks at least, as under a cron that is not too busy."""

_BEARER = {"Authorization": f"Bearer {TOKEN}"}


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


class _Wired(Context):
    """The API's context around services that exist."""

    def __init__(self, services: Services, database: EmbeddedDatabase) -> None:
        super().__init__(services.settings, services.world, database)
        self._given = services

    def services(self) -> Services:
        return self._given


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
        make_http_client(loopback=True) as http,
        httpx.AsyncClient(base_url=honest, headers=_BEARER, trust_env=False, verify=False) as looker,  # noqa: S501 (no TLS here)
    ):
        services, runs, planner, api = await _wired(clock, http, patience or {})
        for persona in DEFAULT_CATALOG:
            endpoint = liar.url if scripts and persona.vendor_id == "gpu_vendor_1" else honest
            await services.vendors.add(_registered(persona, endpoint, pinned=pinned))
        async with api:
            arena = Arena(
                services,
                runs,
                planner,
                clock,
                journal,
                canary,
                liar if scripts else None,
                honest,
                looker,
                api,
                pace,
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
) -> tuple[Services, Weighing, Watching, httpx.AsyncClient]:
    """The core on an embedded store, and its API."""
    ids, tokens = count(1), count(1)
    world = World(
        now=lambda: clock.now,
        monotonic=clock.unix,
        new_id=lambda: ObjectId(f"{next(ids):024x}"),
        new_token=lambda: f"tick-{next(tokens)}",
        below=lambda _: 0,
    )
    settings = Settings(
        poll_seconds=3_600, stall_seconds=300, vendor_secrets={"GPU_VENDOR_SECRET": SecretStr(TOKEN)}
    )
    database = EmbeddedDatabase()
    runs, planner = Weighing(database), Watching()
    client = _Hasty(http, partial(token_of, settings))
    client.patience = patience
    services = wire(settings, world, database, http=http, planner=planner, wallet=Wallet.local(KEY))
    services = replace(services, runs=runs, client=client)
    transport = httpx.ASGITransport(create_api(_Wired(services, database)))
    return services, runs, planner, httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1")


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
