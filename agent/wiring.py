"""Put the services of a process together. The one place where settings become clients."""

from __future__ import annotations

from functools import partial

import httpx

from agent.book.money import MICRO
from agent.engine.restored import RestoreWatch
from agent.engine.services import Services
from agent.kinds.rental.kind import Rental
from agent.kinds.rental.planner import Planner
from agent.kinds.rental.planner.stub import StubPlanner
from agent.process.settings import Settings
from agent.process.world import World
from agent.secrets.vendor_secrets import token_of
from agent.store.allowances import AllowanceStore
from agent.store.collections import Database
from agent.store.due import DueStore
from agent.store.keys import KeyStore
from agent.store.runs import RunStore
from agent.store.vendors import VendorStore
from agent.wallet.chains import open_chains, register_assets
from agent.wallet.opening import open_wallet
from agent.wallet.wallet import Wallet
from net.tls import tls_context
from vendors.client import MAX_BODY, VendorClient, make_http_client
from x402.client import BoundedTransport

__all__ = ["wire"]


def wire(
    settings: Settings,
    world: World,
    database: Database,
    *,
    http: httpx.AsyncClient | None = None,
    planner: Planner | None = None,
    wallet: Wallet | None = None,
    restored: RestoreWatch | None = None,
) -> Services:
    """Services on this database, for the running event loop. No network happens yet.

    What is given takes the place of what the settings name: `http` calls vendors, `planner` plans, `wallet` signs,
    `restored` is shared by the loops of a process.

    Raises:
        ConfigurationError: the wallet cannot be opened.
    """
    register_assets(settings)
    http = http or make_http_client(loopback=settings.loopback_allowed)
    operators_http = httpx.AsyncClient(
        transport=BoundedTransport(httpx.AsyncHTTPTransport(verify=tls_context()), MAX_BODY), trust_env=False
    )
    return Services(
        settings=settings,
        world=world,
        runs=RunStore(database),
        due=DueStore(database),
        vendors=VendorStore(database, world.below),
        allowances=AllowanceStore(database),
        keys=KeyStore(database),
        restored=restored or RestoreWatch(database, world),
        http=http,
        client=VendorClient(http, partial(token_of, settings)),
        kind=Rental(planner or _planner(settings)),
        wallet=wallet or open_wallet(settings, operators_http),
        chains=open_chains(settings, operators_http),
        operators_http=operators_http,
    )


def _planner(settings: Settings) -> Planner:
    if settings.planner_mode == "stub" or settings.fireworks_api_key is None:
        return StubPlanner()
    from agent.kinds.rental.planner.fireworks import FireworksPlanner  # heavy, and not everybody has a key

    prices = (settings.fireworks_input_price, settings.fireworks_output_price)
    input_price, output_price = (None if price is None else int(price * MICRO) for price in prices)
    return FireworksPlanner(
        api_key=settings.fireworks_api_key.get_secret_value(),
        model=settings.fireworks_model,
        base_url=settings.fireworks_base_url,
        fallback=StubPlanner(),
        input_price=input_price,
        output_price=output_price,
    )
