"""What the routes work with: settings, store and services of this process, made when first needed.

Nothing is read and nothing is opened at import. Clients are bound to the event loop of their first use, and a
platform may bring a new loop with each invocation: each loop has its own, closed when the loop shuts down.
"""

from __future__ import annotations

import hmac
import logging
import threading
from typing import TYPE_CHECKING, Annotated, Final

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from agent.access.turnstile import Turnstile
from agent.book.errors import ConfigurationError
from agent.process.per_loop import PerLoop
from agent.process.settings import Settings, load_settings
from agent.process.world import World, real_world
from agent.store import open_database
from agent.store.collections import Database
from agent.store.due import DueStore
from agent.store.keys import KeyStore
from agent.store.runs import RunStore
from agent.store.vendors import VendorStore
from api._problems import ProblemError

if TYPE_CHECKING:
    from agent.engine.restored import RestoreWatch
    from agent.engine.services import Services

__all__ = ["CHALLENGE", "CRON_SCHEME", "Bearer", "Context", "ContextOf", "cron_only"]


_log = logging.getLogger(__name__)

CHALLENGE: Final = {"WWW-Authenticate": "Bearer"}

CRON_SCHEME: Final = "CronSecret"
"""What the description calls the cron's bearer token, which lets nobody in elsewhere."""

"""Headers of an answer to whoever bears no token that is known."""


class Context:
    """One per process (or per test). `settings`, `world` and `database` may be given."""

    def __init__(
        self,
        settings: Settings | None = None,
        world: World | None = None,
        database: Database | None = None,
    ) -> None:
        """Nothing is read or opened yet."""
        self._settings = settings
        self._database = database
        self.world = world or real_world()
        self._opening = threading.Lock()  # loops may run in several threads
        self._services: PerLoop[Services] = PerLoop(self._wired, lambda services: services.close())
        self._turnstile: Turnstile | None = None
        self._restored: RestoreWatch | None = None

    @property
    def settings(self) -> Settings:
        """What this process was told.

        Raises:
            ConfigurationError: something is missing or wrong; the message names it.
        """
        if self._settings is None:
            self._settings = load_settings()
            for notice in self._settings.notices():
                _log.warning("%s", notice)
        if missing := self._settings.missing():
            raise ConfigurationError(f"not set: {', '.join(missing)}; set them and deploy again")
        return self._settings

    @property
    def database(self) -> Database:
        """Where documents live."""
        with self._opening:
            if self._database is None:
                self._database = open_database(self.settings)
            return self._database

    @property
    def runs(self) -> RunStore:
        """The runs and their records."""
        return RunStore(self.database)

    @property
    def due(self) -> DueStore:
        """Which runs are due, and which are parked."""
        return DueStore(self.database)

    @property
    def vendors(self) -> VendorStore:
        """The vendor registry."""
        return VendorStore(self.database, self.world.below)

    @property
    def keys(self) -> KeyStore:
        """The API keys."""
        return KeyStore(self.database)

    @property
    def turnstile(self) -> Turnstile:
        """Whom API keys let in. It remembers, so there is one in a process."""
        keys = self.keys
        with self._opening:
            if self._turnstile is None:
                self._turnstile = Turnstile(keys, self.world)
            return self._turnstile

    @property
    def restored(self) -> RestoreWatch:
        """Whether the database is a restored copy. It remembers, so there is one in a process."""
        from agent.engine.restored import RestoreWatch  # health and ticks need it, no other request

        database = self.database
        with self._opening:
            if self._restored is None:
                self._restored = RestoreWatch(database, self.world)
            return self._restored

    def services(self) -> Services:
        """What a tick works with, for the running loop."""
        return self._services.get()

    def _wired(self) -> Services:
        from agent.wiring import wire  # heavy, and only ticks need it

        return wire(self.settings, self.world, self.database, restored=self.restored)

    async def close(self) -> None:
        """Close what was opened in this loop. It happens by itself when the loop shuts down."""
        await self._services.close()
        if self._database is not None:
            await self._database.close()


async def _context(request: Request) -> Context:
    context = request.app.state.context
    if not isinstance(context, Context):
        raise AssertionError("unreachable: create_app sets the context")
    return context


ContextOf = Annotated[Context, Depends(_context)]
"""A route's parameter: the process's context."""


_bearer = HTTPBearer(auto_error=False, description="an API key, or API_TOKEN of the server")
_cron = HTTPBearer(auto_error=False, scheme_name=CRON_SCHEME, description="CRON_SECRET of the server")

Bearer = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
"""A route's parameter: the bearer token, if one was sent."""


async def cron_only(
    context: ContextOf, bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_cron)]
) -> None:
    """Let through who bears CRON_SECRET; nobody where none is set."""
    secret = context.settings.cron_secret
    if secret is None:
        raise ProblemError(
            "unauthorized",
            "CRON_SECRET is not set on the server; set it to let a cron in",
            headers=CHALLENGE,
        )
    _check(bearer, secret.get_secret_value())


def _check(bearer: HTTPAuthorizationCredentials | None, wanted: str) -> None:
    given = "" if bearer is None else bearer.credentials
    if not hmac.compare_digest(given.encode(), wanted.encode()):
        raise ProblemError("unauthorized", "send Authorization: Bearer with the right token", headers=CHALLENGE)
