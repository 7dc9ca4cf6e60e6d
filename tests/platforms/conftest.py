"""A database for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.wire.given import drop, fresh_name, server_uri


@pytest.fixture
def store() -> Iterator[dict[str, str]]:
    """Variables that name a database of our own, which is gone afterwards."""
    name = fresh_name()
    yield {"MONGODB_URI": server_uri(), "MONGODB_DB_NAME": name}
    drop(name)
