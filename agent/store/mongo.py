"""Collections on a MongoDB server (or one that speaks its protocol), through PyMongo's asyncio client.

The client binds to the event loop of its first operation; serverless platforms may bring a new loop with each
invocation. So each loop has a client of its own, which is closed when the loop shuts down.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final
from uuid import UUID

from pymongo import AsyncMongoClient, ReadPreference, ReturnDocument, WriteConcern
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import BulkWriteError, DuplicateKeyError, OperationFailure, PyMongoError
from pymongo.read_concern import ReadConcern

from agent.book.errors import ConfigurationError, StoreUnavailable
from agent.process.per_loop import PerLoop
from agent.store.collections import Bson, DuplicateId, Keys, projection

__all__ = ["MongoDatabase"]

CONNECTIONS: Final = 32
"""Connections of one process: there may be many processes. They are opened as needed."""

_OPTIONS: Final[dict[str, Any]] = {
    "tz_aware": True,
    "datetime_conversion": "DATETIME_AUTO",  # one beyond Python's is refused with its document
    "maxPoolSize": CONNECTIONS,
    "maxIdleTimeMS": 60_000,
    "connectTimeoutMS": 4_000,
    "appname": "purser",
}
_TURN_SECONDS: Final = 20.0
_DUPLICATE_KEY: Final = 11000
_GOODBYE_SECONDS: Final = 1.0

_PLACED: Final = ("runs", "allowances")
"""Collections whose UUIDs are looked at: what they hold decides what may be spent."""

_NOT_TOLD: Final = frozenset({13, 59, 115, 238})
"""Unauthorized, CommandNotFound, CommandNotSupported, NotImplemented: a server that does not list collections, or
not to us."""


class _Turns:
    """Who may use a connection now. A wait for one is a wait for others of this process, and no outage: the driver
    would count it into the time that an operation may take.
    """

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(CONNECTIONS)
        self.waiting = 0

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """Hold a connection; the driver's errors become ours.

        Raises:
            StoreUnavailable: none was free for `_TURN_SECONDS`, or the database did not answer as it should.
        """
        self.waiting += 1
        try:
            async with asyncio.timeout(_TURN_SECONDS):
                await self._turns.acquire()
        except TimeoutError:
            raise StoreUnavailable(f"no connection was free for {_TURN_SECONDS:g} s; try again") from None
        finally:
            self.waiting -= 1
        try:
            with _translated():
                yield
        finally:
            self._turns.release()


@contextmanager
def _translated() -> Iterator[None]:
    """PyMongo's errors become ours. The driver's text stays out: it may name hosts and users."""
    try:
        yield
    except DuplicateKeyError as exc:
        raise DuplicateId from exc
    except PyMongoError as exc:
        raise StoreUnavailable(
            f"the database did not answer as it should ({type(exc).__name__}); nothing is lost: try again, and "
            "if it stays away check MONGODB_URI and that the server can be reached"
        ) from exc


class MongoDatabase:
    """One database on a server. Writes wait for the majority's journal; reads see only what it has."""

    embedded = False

    def __init__(self, uri: str, name: str, patience_ms: int = 4_000) -> None:
        """No network happens before the first operation.

        `patience_ms`: how long an operation may take, tries included. A function must answer before its
        platform gives up on it.

        Raises:
            ConfigurationError: `uri` cannot be used.
        """
        self._uri = uri
        self._patience_ms = patience_ms
        self._name = name
        self._clients = PerLoop(self._client, _close)
        self._turns = PerLoop(_Turns, _nothing)
        self._client()  # whether it can be made is known at once; it is not opened

    def _client(self) -> AsyncMongoClient[Bson]:
        try:
            return AsyncMongoClient(self._uri, timeoutMS=self._patience_ms, **_OPTIONS)
        except (PyMongoError, ValueError) as exc:
            # Not a word of the driver's: where a password is not escaped, it quotes half of it.
            raise ConfigurationError(
                f"MONGODB_URI cannot be used ({type(exc).__name__}): set it to mongodb:// or mongodb+srv://, "
                "with user and password percent-encoded"
            ) from None

    def collection(self, name: str) -> MongoCollection:
        """The collection, opened with majority writes and reads from the primary, whatever the URI says."""
        database = self._clients.get().get_database(
            self._name,
            write_concern=WriteConcern("majority", j=True),
            read_concern=ReadConcern("majority"),
            read_preference=ReadPreference.PRIMARY,
        )
        return MongoCollection(database.get_collection(name), self._turns.get())

    @property
    def crowded(self) -> bool:
        """Whether as many operations of this loop wait for a connection as there are: no time to begin more."""
        return self._turns.get().waiting >= CONNECTIONS

    async def origins(self) -> dict[str, str]:
        """The database's name, that of its replica set, and the UUIDs of the collections that decide about money.

        A collection gets a new UUID whenever it is made, by mongorestore too (unless it is told to preserve them).
        """
        async with self._turns.get().one():
            client = self._clients.get()
            found = await _listed(client.get_database(self._name))
            servers = client.topology_description.server_descriptions().values()
        told = {"database": self._name}
        if sets := {each.replica_set_name for each in servers if each.replica_set_name}:
            told["replicaSet"] = min(sets)
        told |= {each["name"]: _hex(each) for each in found if each["name"] in _PLACED and _hex(each)}
        return told

    async def ping(self) -> None:
        """Ask the server whether it is there."""
        async with self._turns.get().one():
            await self._clients.get().admin.command("ping")

    async def drop(self) -> None:
        """Delete the whole database. For tests."""
        with _translated():
            await self._clients.get().drop_database(self._name)

    async def close(self) -> None:
        """Close the connections of this loop."""
        await self._clients.close()


async def _nothing(_: _Turns) -> None:
    """There is nothing to close."""


async def _listed(database: AsyncDatabase[Bson]) -> Sequence[Mapping[str, Any]]:
    try:
        return await (await database.list_collections(filter={"name": {"$in": [*_PLACED]}})).to_list()
    except OperationFailure as exc:
        if exc.code in _NOT_TOLD:
            return []
        raise


def _hex(collection: Mapping[str, Any]) -> str:
    """The collection's UUID; empty where the server gives none."""
    uuid = collection.get("info", {}).get("uuid")
    if isinstance(uuid, UUID):  # as it comes where MONGODB_URI names a uuidRepresentation
        return uuid.hex
    return uuid.hex() if isinstance(uuid, bytes) else ""


async def _close(client: AsyncMongoClient[Bson]) -> None:
    """Close the sockets, after a good-bye to the server if it listens."""
    try:
        async with asyncio.timeout(_GOODBYE_SECONDS):
            await client.close()
    except TimeoutError:
        await client.close()  # the driver has nothing left to say, and goes on to what it could not close


class MongoCollection:
    """`Collection` on a server."""

    def __init__(self, collection: AsyncCollection[Bson], turns: _Turns) -> None:
        """Wrap the driver's collection."""
        self.driver = collection
        self._turns = turns

    async def find_one(self, where: Mapping[str, Any]) -> Bson | None:
        async with self._turns.one():
            return await self.driver.find_one(where)

    async def find(
        self, where: Mapping[str, Any], sort: Keys, limit: int, fields: Sequence[str] | None = None
    ) -> list[Bson]:
        async with self._turns.one():
            found = self.driver.find(where, projection(fields), sort=list(sort) or None, limit=limit)
            return await found.to_list()

    async def count(self, where: Mapping[str, Any], limit: int | None = None) -> int:
        async with self._turns.one():
            if limit is None:
                return await self.driver.count_documents(where)
            return await self.driver.count_documents(where, limit=limit)

    async def insert(self, document: Bson) -> None:
        async with self._turns.one():
            await self.driver.insert_one(document)

    async def insert_new(self, documents: Sequence[Bson]) -> None:
        async with self._turns.one():
            try:
                await self.driver.insert_many(documents, ordered=False)
            except BulkWriteError as exc:
                other = [each for each in exc.details["writeErrors"] if each["code"] != _DUPLICATE_KEY]
                if other or exc.details.get("writeConcernErrors"):  # not on the majority: it may yet be undone
                    raise

    async def update(self, where: Mapping[str, Any], change: Mapping[str, Any]) -> Bson | None:
        async with self._turns.one():
            return await self.driver.find_one_and_update(where, change, return_document=ReturnDocument.AFTER)

    async def replace(self, where: Mapping[str, Any], document: Bson, *, upsert: bool) -> bool:
        async with self._turns.one():
            result = await self.driver.replace_one(where, document, upsert=upsert)
            return result.matched_count > 0 or result.upserted_id is not None

    async def delete(self, where: Mapping[str, Any]) -> bool:
        async with self._turns.one():
            return (await self.driver.delete_one(where)).deleted_count > 0

    async def ensure_index(self, keys: Keys) -> None:
        async with self._turns.one():
            await self.driver.create_index(list(keys))
