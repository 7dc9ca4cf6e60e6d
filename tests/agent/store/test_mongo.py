"""The real client: what it asks of a server, what becomes of its errors, and which operators it may use."""

from __future__ import annotations

import ast
import asyncio
import gc
import socket
import subprocess
import sys
import traceback
from pathlib import Path

import pytest
from pymongo import AsyncMongoClient, ReadPreference
from pymongo.errors import BulkWriteError

from agent.book.errors import ConfigurationError, StoreUnavailable
from agent.book.models import INDEXES
from agent.process.settings import load_settings
from agent.store import mongo, open_database
from agent.store.mongo import MongoDatabase

SHARED_OPERATORS = {"$set", "$unset", "$inc", "$or", "$not", "$in", "$nin", "$lt", "$lte", "$gt", "$gte"}
"""What MongoDB, servers compatible with it and mongomock all do alike."""


def test_only_shared_operators_are_used() -> None:
    """Any MongoDB-compatible server will do."""
    used = set()
    for path in (Path(__file__).parents[3] / "agent").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("$"):
                used.add(node.value)

    assert used == SHARED_OPERATORS


@pytest.mark.parametrize("name", INDEXES)
async def test_every_collection_asks_for_the_majority(name: str) -> None:
    """Whatever the URI says: acknowledged means journaled by the majority, read means seen by it."""
    weak = "w=1&journal=false&readConcernLevel=local&readPreference=secondaryPreferred"
    database = MongoDatabase(f"mongodb://127.0.0.1:1/?{weak}", "purser")

    driver = database.collection(name).driver

    assert driver.write_concern.document == {"w": "majority", "j": True}
    assert driver.read_concern.document == {"level": "majority"}
    assert driver.read_preference == ReadPreference.PRIMARY
    await database.close()


@pytest.mark.parametrize(
    "details",
    [
        {"writeErrors": [], "writeConcernErrors": [{"code": 91}]},
        {"writeErrors": [{"code": 11000}], "writeConcernErrors": [{"code": 64}]},
        {"writeErrors": [{"code": 11000}, {"code": 14031}], "writeConcernErrors": []},
    ],
)
async def test_a_copy_that_is_not_on_the_majority_is_not_there(
    monkeypatch: pytest.MonkeyPatch, details: dict[str, object]
) -> None:
    """Only "it is there already" is passed over; anything else may be undone by a failover."""
    database = MongoDatabase("mongodb://127.0.0.1:1/", "purser")
    observations = database.collection("observations")

    async def failing(*_: object, **__: object) -> None:
        raise BulkWriteError(details)

    monkeypatch.setattr(observations.driver, "insert_many", failing)
    with pytest.raises(StoreUnavailable):
        await observations.insert_new([{"_id": 1}])
    await database.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the driver drops refused sockets
async def test_a_server_that_is_away_is_one_typed_error_that_names_no_secret() -> None:
    """In every operation; the driver's own text, with hosts and users, stays out."""
    database = MongoDatabase(f"mongodb://user:hunter2@127.0.0.1:{free_port()}/", "purser", patience_ms=20)
    runs = database.collection("runs")

    errors = await asyncio.gather(
        database.ping(),
        database.drop(),
        runs.find_one({}),
        runs.find({}, [("_id", 1)], 1),
        runs.count({}),
        runs.insert({"_id": 1}),
        runs.insert_new([{"_id": 1}]),
        runs.update({}, {"$set": {"a": 1}}),
        runs.replace({}, {"_id": 1}, upsert=False),
        runs.delete({}),
        runs.ensure_index([("a", 1)]),
        return_exceptions=True,
    )

    assert {StoreUnavailable} == {type(error) for error in errors}
    assert not [error for error in errors if "hunter2" in str(error) or "127.0.0.1" in str(error)]
    await database.close()
    await database.close()
    gc.collect()


_TWO_LOOPS = """
import asyncio
from agent.book.errors import StoreUnavailable
from agent.store.mongo import MongoDatabase

database = MongoDatabase("mongodb://127.0.0.1:{port}/", "purser", patience_ms=20)

async def ping():
    try:
        await database.ping()
    except StoreUnavailable:
        print("typed")

asyncio.run(ping())
asyncio.run(ping())
"""


def test_the_client_follows_the_event_loop() -> None:
    """A platform may bring a new loop with each invocation; the driver alone would refuse the second."""
    script = _TWO_LOOPS.format(port=free_port())

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)

    assert done.stdout.split() == ["typed", "typed"]


def test_settings_choose_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    """A URI means a server, none means memory."""
    assert open_database(load_settings()).embedded
    monkeypatch.setenv("MONGODB_URI", "mongodb://127.0.0.1:1")
    assert not open_database(load_settings()).embedded


@pytest.mark.parametrize(
    "uri",
    [
        "mongodb://u:sec/ret99@127.0.0.1/",
        "mongodb://u:sec@ret99@127.0.0.1/",
        "mongodb://u:ret99@127.0.0.1:99999/",
        "ret99://127.0.0.1",
    ],
)
def test_an_address_that_cannot_be_read_is_refused_and_not_shown(uri: str) -> None:
    """At once. The driver's own words quote what follows a slash in a password."""
    with pytest.raises(ConfigurationError, match="MONGODB_URI cannot be used") as caught:
        MongoDatabase(uri, "purser")

    assert "ret99" not in "".join(traceback.format_exception(caught.value))


async def test_a_server_that_does_not_hear_the_good_bye_is_left_without_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A loop that ends waits for nobody: the second `close` of the driver goes on to the sockets."""
    closed = []

    async def close(client: AsyncMongoClient[dict[str, object]]) -> None:
        closed.append(client)
        if len(closed) == 1:
            await asyncio.sleep(60)

    monkeypatch.setattr(AsyncMongoClient, "close", close)
    monkeypatch.setattr(mongo, "_GOODBYE_SECONDS", 0.01)
    database = MongoDatabase("mongodb://127.0.0.1:1/", "purser")
    database.collection("runs")

    await database.close()

    assert len(closed) == 2
    assert len(set(closed)) == 1
