"""The server that tests over the wire are given: MONGODB_TEST_URI names it, and `make test-wire` sets that."""

from __future__ import annotations

import os
import secrets
from typing import Final

import pytest
from pymongo import MongoClient

__all__ = ["HOW_TO_GET_ONE", "drop", "fresh_name", "needs_server", "server_uri"]

HOW_TO_GET_ONE: Final = "`make test-wire` starts one (mongod, or Java 17 and Maven), or set MONGODB_TEST_URI"

_URI: Final = os.environ.get("MONGODB_TEST_URI")

needs_server: Final = pytest.mark.skipif(_URI is None, reason=f"skipped: no MongoDB server: {HOW_TO_GET_ONE}")
"""Marks tests that cannot be without one."""


def server_uri() -> str:
    """Where the server is."""
    if _URI is None:
        raise AssertionError("unreachable: the test is marked with needs_server")
    return _URI


def fresh_name() -> str:
    """A database name that nobody else uses."""
    return f"purser_test_{secrets.token_hex(6)}"


def drop(name: str) -> None:
    """Delete that database."""
    with MongoClient[dict[str, object]](server_uri()) as client:
        client.drop_database(name)
