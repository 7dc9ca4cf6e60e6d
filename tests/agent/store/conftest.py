"""The store's contract holds on the embedded store always, and on a real server whenever one is given."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from agent.store.collections import Database
from agent.store.embedded import EmbeddedDatabase
from agent.store.mongo import MongoDatabase
from tests.wire.given import fresh_name, needs_server, server_uri


@pytest.fixture(params=["embedded", pytest.param("server", marks=needs_server)])
async def database(request: pytest.FixtureRequest) -> AsyncIterator[Database]:
    """An empty database."""
    if request.param == "embedded":
        yield EmbeddedDatabase()
        return
    database = MongoDatabase(server_uri(), fresh_name())
    yield database
    await database.drop()
    await database.close()
