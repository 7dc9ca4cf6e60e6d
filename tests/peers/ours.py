"""Purser's side of the stories: the real core over HTTP, ticked until its purchase has an outcome.

What survives a death is the database, here the embedded one, held by the teller of the story. Everything else that
a process has (clients, wallet, the tick under way) is thrown away and made anew.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Final

import httpx

from agent.book.errors import RunBusy
from agent.book.models import Constraints, Run
from agent.engine.services import Services
from agent.engine.tick import tick
from agent.intake.runs import Order, start
from agent.process.settings import Settings
from agent.process.world import World, real_world
from agent.store.collections import Database
from agent.store.embedded import EmbeddedDatabase
from agent.store.vendors import VendorStore
from agent.wiring import wire
from gpu_vendor_mock.catalog import Persona
from gpu_vendor_mock.settings import LOCAL_SECRET
from tests.agent.killing import Killed
from vendors.models import Vendor
from x402.wire import PAYMENT_HEADERS

__all__ = ["KEY", "purser_buys"]

KEY: Final = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
"""A published test key: never fund it."""

_LEASE: Final = timedelta(seconds=60)
"""How far the clock of a process is on that comes after a dead one: its lease has run out by then."""

_MOST_TICKS: Final = 10


class _Mortal(httpx.AsyncBaseTransport):
    """A transport whose process does not outlive the first answer to a payment."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await self._inner.handle_async_request(request)
        if any(name in request.headers for name in PAYMENT_HEADERS.values()):
            await response.aclose()
            raise Killed
        return response


async def purser_buys(url: str, persona: Persona, *, dies: bool) -> Run:
    """A run with money for one job at this vendor, ticked until nothing is unclear about its payment.

    With `dies` the process is gone when the paid request has been sent, and another one goes on.
    """
    database, world = EmbeddedDatabase(), real_world()
    services = _process(database, world, mortal=dies)
    await VendorStore(database).add(_registered(persona, url, world))
    order = Order("u1", "Fine-tune tiny-llm", persona.base_price_per_hour, Constraints(max_hours=1))
    run = await start(services.runs, services.world, order, None)
    for _ in range(_MOST_TICKS):
        try:
            run = (await tick(services, run.id)).run
        except Killed:
            await services.close()
            later = replace(world, now=lambda: world.now() + _LEASE)
            services = _process(database, later, mortal=False)
            continue
        except RunBusy as exc:
            raise AssertionError("the dead process's lease has run out") from exc
        if _clear(run):
            break
    await services.close()
    return await services.runs.get(run.id)


def _clear(run: Run) -> bool:
    """The payment was settled, or nothing more is sent for it."""
    return run.budget_spent > 0 or any(each.held for each in run.reservations.values())


def _process(database: Database, world: World, *, mortal: bool) -> Services:
    settings = Settings.model_validate(
        {"x402_private_key": KEY, "gpu_vendor_secret": LOCAL_SECRET, "loopback_vendors": "allow"}
    )
    http = httpx.AsyncClient(transport=_Mortal(httpx.AsyncHTTPTransport())) if mortal else None
    return wire(settings, world, database, http=http)


def _registered(persona: Persona, url: str, world: World) -> Vendor:
    return Vendor(
        vendor_id=persona.vendor_id,
        name=persona.name,
        endpoint=url,
        base_price_per_hour=persona.base_price_per_hour,
        reliability_score=persona.reliability_score,
        reliability_prior=persona.reliability_score,
        supported_gpu_types=persona.supported_gpu_types,
        pay_to=persona.pay_to,
        secret_ref="GPU_VENDOR_SECRET",
        created_at=world.now(),
    )
