"""The store's contract holds on the embedded store always, and on a real server whenever one is given."""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator

import pytest

from agent.store.collections import Database
from agent.store.embedded import EmbeddedDatabase
from agent.store.mongo import MongoDatabase

_URI = os.environ.get("MONGODB_TEST_URI")


@pytest.fixture(
    params=[
        "embedded",
        pytest.param(
            "server",
            marks=pytest.mark.skipif(_URI is None, reason="no MongoDB server: set MONGODB_TEST_URI to one"),
        ),
    ]
)
async def database(request: pytest.FixtureRequest) -> AsyncIterator[Database]:
    """An empty database."""
    if request.param == "embedded":
        yield EmbeddedDatabase()
        return
    database = MongoDatabase(_URI or "", f"purser_test_{secrets.token_hex(6)}")
    yield database
    await database.drop()
    await database.close()
