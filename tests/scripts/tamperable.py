"""The API as a server of its own, with a door for a burglar: one route that writes to its store as told.

`uvicorn tests.scripts.tamperable:app` serves it, for tests of what the audit finds. Nothing else has this door.
"""

from __future__ import annotations

from typing import Annotated, Any

from bson import ObjectId
from fastapi import Body

from agent.store.embedded import EmbeddedDatabase
from api._app import create_app
from api._context import Context

_database = EmbeddedDatabase()
app = create_app(Context(database=_database))


@app.post("/tamper/{collection}/{key}")
async def tamper(collection: str, key: str, change: Annotated[dict[str, Any], Body()]) -> None:
    """Change fields of a document (`set`), insert it (`insert`), or delete it (neither)."""
    of = _database.collection(collection)
    where = {"_id": ObjectId(key) if ObjectId.is_valid(key) else key}
    if "set" in change:
        assert await of.update(where, {"$set": change["set"]}) is not None
    elif "insert" in change:
        await of.insert({**where, **change["insert"], "runId": ObjectId(key.partition(":")[0])})
    else:
        assert await of.delete(where)
