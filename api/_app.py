"""The routes put together into one ASGI app."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from fastapi import FastAPI

from agent.process.environment import on_platform
from api import (
    _docs,
    agent_cancel,
    agent_start,
    agent_status,
    agent_tick,
    cron_tick,
    health,
    keys,
    parked_runs,
    runs,
    vendors,
)
from api._context import Context
from api._middleware import Envelope
from api._problems import install

__all__ = ["create_app"]

_ABOUT: Final = (
    "Purser is an agent with a wallet: it rents GPU time for a goal within a budget, pays vendors over x402, and "
    "leaves an audit trail that anyone can check. Amounts are dollars. Errors are `application/problem+json` with "
    "a stable `code`."
)


def create_app(context: Context | None = None) -> FastAPI:
    """The app. `context` is given by tests and by commands that bring their own store."""
    here = context or Context()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await here.close()

    app = FastAPI(
        title="Purser",
        version="0.1.0",
        description=_ABOUT,
        lifespan=lifespan,
        docs_url=None,  # api/_docs.py
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.context = here
    for module in (
        agent_start,
        agent_tick,
        agent_status,
        agent_cancel,
        runs,
        parked_runs,
        vendors,
        keys,
        cron_tick,
        health,
        _docs,
    ):
        app.include_router(module.router)
    install(app)
    app.add_middleware(
        Envelope, monotonic=here.world.monotonic, new_id=here.world.new_token, deployed=on_platform()
    )
    return app
