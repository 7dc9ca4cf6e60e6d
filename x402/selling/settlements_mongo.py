"""`x402.selling.settlements` in a MongoDB collection: shared by processes on many machines.

    client = AsyncMongoClient(uri)
    settlements = MongoSettlements(client["shop"]["settlements"])
    seller = Seller(facilitator, pay_to, network, settlements=settlements)

Only this module imports PyMongo. The client is the caller's, and belongs to one event loop.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

import pymongo
from bson.errors import BSONError
from pymongo import ReadPreference, ReturnDocument, WriteConcern
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import DuplicateKeyError, PyMongoError
from pymongo.read_concern import ReadConcern

from net.strict_json import parse_object, to_json
from x402.decode import receipt_from
from x402.errors import SettlementsUnavailable
from x402.selling.settlements import Settlement

__all__ = ["MongoSettlements"]

_Document: TypeAlias = dict[str, Any]

_SECONDS: Final = 5.0
"""How long an operation may take, the driver's tries included."""


class MongoSettlements:
    """The memory of all processes that use the same collection.

    The payment's key is the document's `_id`; the server deletes what is older than `until`. Writes wait for the
    majority's journal and reads ask the primary, whatever the client's own settings are.
    """

    def __init__(self, collection: AsyncCollection[_Document]) -> None:
        """No network happens before the first operation."""
        self._documents = collection.with_options(
            write_concern=WriteConcern("majority", j=True),
            read_concern=ReadConcern("majority"),
            read_preference=ReadPreference.PRIMARY,
        )
        self._indexed = False

    async def find(self, key: str) -> Settlement | None:
        """What is known of a payment."""
        with _translated():
            return _settlement(await self._documents.find_one({"_id": key}))

    async def begin(self, settlement: Settlement) -> Settlement:
        """Note one attempt to settle."""
        same = {"_id": settlement.key, "fingerprint": settlement.fingerprint, "receipt": None}
        change = {"$inc": {"attempts": 1}, "$setOnInsert": {"until": _date(settlement.until)}}
        with _translated():
            if not self._indexed:
                await self._documents.create_index("until", expireAfterSeconds=0)
                self._indexed = True
            while True:
                found = await self._upserted(same, change) or await self._documents.find_one(_id(settlement))
                if (known := _settlement(found)) is not None:  # else it was given up between our two looks
                    return known

    async def give_up(self, settlement: Settlement) -> Settlement | None:
        """Take back one attempt."""
        open_still = _id(settlement) | {"receipt": None}
        with _translated():
            await self._documents.update_one(open_still, {"$inc": {"attempts": -1}})
            await self._documents.delete_one(open_still | {"attempts": {"$lte": 0}})
            return _settlement(await self._documents.find_one(_id(settlement)))

    async def finish(self, settlement: Settlement) -> bool:
        """Keep the receipt."""
        receipt = None if settlement.receipt is None else to_json(settlement.receipt.as_json()).decode()
        kept = {"fingerprint": settlement.fingerprint, "until": _date(settlement.until), "receipt": receipt}
        with _translated():
            return await self._upserted(_id(settlement) | {"receipt": None}, {"$set": kept}) is not None

    async def _upserted(self, where: Mapping[str, Any], change: Mapping[str, Any]) -> _Document | None:
        """The document that `where` names, changed or made; None: there is another with that id."""
        try:
            return await self._documents.find_one_and_update(
                where, change, upsert=True, return_document=ReturnDocument.AFTER
            )
        except DuplicateKeyError:
            return None


@contextmanager
def _translated() -> Iterator[None]:
    """PyMongo's errors become ours, without the driver's text: it may name hosts and users."""
    try:
        with pymongo.timeout(_SECONDS):
            yield
    except (PyMongoError, BSONError, ValueError, LookupError, TypeError, AttributeError) as exc:
        raise SettlementsUnavailable(
            f"the settlements in MongoDB cannot be used ({type(exc).__name__}) and nothing is sold before they "
            "can; see that the server can be reached, and that this user may write there and make an index"
        ) from exc


def _id(settlement: Settlement) -> _Document:
    return {"_id": settlement.key}


def _date(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _settlement(found: _Document | None) -> Settlement | None:
    if found is None:
        return None
    receipt, until = found["receipt"], found["until"].replace(tzinfo=UTC)
    read = None if receipt is None else receipt_from(parse_object(receipt.encode()))
    return Settlement(found["_id"], found["fingerprint"], int(until.timestamp()), read)
