"""Sellers' memory in MongoDB: what goes over the wire. The contract: tests/x402/selling/test_settlements.py."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from pymongo import AsyncMongoClient
from pymongo.asynchronous.collection import AsyncCollection

from tests.wire.given import drop, fresh_name, needs_server, server_uri
from tests.wire.listening import READS, WRITES, Wire
from tests.x402 import replicas
from tests.x402.selling.test_settlements import MINE, PAID
from x402.errors import SettlementsUnavailable
from x402.selling import settlements_mongo
from x402.selling.settlements_mongo import MongoSettlements

WEAK = "w=1&journal=false&readConcernLevel=local&readPreference=secondaryPreferred"
"""What a URI may say; it must not matter."""


@pytest.fixture
async def heard() -> AsyncIterator[tuple[AsyncCollection[dict[str, Any]], Wire]]:
    """A collection that is listened to."""
    name, wire = fresh_name(), Wire()
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(
        f"{server_uri().rstrip('/')}/?{WEAK}", event_listeners=[wire]
    )
    yield client[name]["settlements"], wire
    await client.close()
    drop(name)


@needs_server
async def test_what_is_remembered_is_on_the_majority_and_goes_when_its_time_is_over(
    heard: tuple[AsyncCollection[dict[str, Any]], Wire],
) -> None:
    """Acknowledged means journaled by most; the index on `until` is made before the first payment, and expires."""
    collection, wire = heard
    settlements = MongoSettlements(collection)
    await settlements.begin(MINE)
    await settlements.give_up(MINE)
    await settlements.begin(MINE)
    assert await settlements.finish(PAID)
    assert await settlements.find(MINE.key) == PAID
    sent = {name: body for name, _, body in wire.sent}
    assert wire.sent[0][0] == "createIndexes"
    assert sent["createIndexes"]["indexes"][0]["expireAfterSeconds"] == 0
    for name, _, body in wire.sent:
        if name in WRITES:
            assert body["writeConcern"] == {"w": "majority", "j": True}
        if name in READS:
            assert body["readConcern"] == {"level": "majority"}
    document = await collection.find_one({})
    assert document is not None
    assert document["until"].year == 2096


async def test_a_server_that_is_away_is_an_error_of_the_family(monkeypatch: pytest.MonkeyPatch) -> None:
    """In bounded time, and without a word of where it is."""
    monkeypatch.setattr(settlements_mongo, "_SECONDS", 0.3)
    async with AsyncMongoClient[dict[str, Any]]("mongodb://user:secret@127.0.0.1:9/") as client:
        with pytest.raises(SettlementsUnavailable) as caught:
            await MongoSettlements(client["shop"]["settlements"]).find(MINE.key)
    assert not {"secret", "127.0.0.1", "user:"} & set(str(caught.value).split())


@needs_server
@pytest.mark.parametrize(
    "story",
    [
        replicas.one_delivery_for_each_payment,
        replicas.killed_before_recording,
        replicas.killed_after_recording,
    ],
)
async def test_two_sellers_on_one_database_are_one_seller(
    story: Callable[[Path, str], Awaitable[None]], tmp_path: Path
) -> None:
    """As with a file: both asked at once, and one killed on either side of its record."""
    name = fresh_name()
    await story(tmp_path, f"{server_uri().rstrip('/')}/{name}")
    drop(name)
