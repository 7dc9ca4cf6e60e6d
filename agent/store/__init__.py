"""Where documents live. Nothing else in `agent` touches MongoDB or its stand-in.

collections  what a store needs of a database; begin here. mongo: a server; embedded: this process's memory
runs         runs and their records; due: which of them are due
vendors      the registry
allowances   sums over many runs; keys: API keys and their requests; places: how many runs a key has
mark         whether the database is a restored copy
"""

from __future__ import annotations

from agent.book.errors import ConfigurationError
from agent.process.settings import Settings
from agent.store.collections import Database

__all__ = ["open_database"]


def open_database(settings: Settings) -> Database:
    """The database that MONGODB_URI names, or one in memory. No network happens before its first use.

    Raises:
        ConfigurationError: it cannot be used; or it names none, and what keeps runs in memory is not installed.
    """
    if settings.mongodb_uri is None:
        try:
            from agent.store.embedded import EmbeddedDatabase
        except ModuleNotFoundError as exc:
            raise ConfigurationError(
                f"MONGODB_URI is not set, and {exc.name}, which keeps runs in memory, is not installed"
            ) from exc
        return EmbeddedDatabase()
    from agent.store.mongo import MongoDatabase

    return MongoDatabase(settings.mongodb_uri.get_secret_value(), settings.mongodb_db_name)
