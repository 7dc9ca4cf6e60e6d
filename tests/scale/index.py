"""How many index keys a question is about: the declared indexes walked over documents, as MongoDB walks them.

The server of the tests takes no secondary index, so what an index would save cannot be measured on it. It can be
counted: a walk begins at the first key within the bounds that the question sets to the index's leading fields, and
ends at the last one, or when there is enough of what was asked for in the order of the index.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Any, Final

from bson import ObjectId

from agent.book.models import INDEXES
from agent.store.collections import Bson, Collection, Database, Keys
from agent.store.embedded import EmbeddedDatabase

__all__ = ["Asked", "Question", "keys_walked"]

ALL: Final = 0
"""What a driver takes for no limit."""

_BY_ID: Final = (("_id", 1),)
_RANKS: Final[dict[type, int]] = {int: 2, float: 2, str: 3, dict: 4, list: 5, ObjectId: 7, bool: 8, datetime: 9}
"""The order of the kinds of values in an index; null and what is missing come first."""

_COMPARED: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "$gt": lambda key, bound: key > bound,
    "$gte": lambda key, bound: key >= bound,
    "$lt": lambda key, bound: key < bound,
    "$lte": lambda key, bound: key <= bound,
}
_Inside = Callable[[Any], bool]


@dataclass(frozen=True)
class Question:
    """What was asked of a collection, and how many were wanted (None: all)."""

    collection: str
    where: Mapping[str, Any]
    sort: Keys
    limit: int | None


class Asked:
    """A database in memory that keeps what it is asked."""

    embedded = True
    crowded = False

    def __init__(self) -> None:
        """Empty, and nothing was asked."""
        self.real: Database = EmbeddedDatabase()
        self.questions: list[Question] = []

    def collection(self, name: str) -> Collection:
        return _Asking(name, self.real.collection(name), self.questions)

    async def origins(self) -> dict[str, str]:
        return await self.real.origins()

    async def ping(self) -> None:
        await self.real.ping()

    async def close(self) -> None:
        await self.real.close()


class _Asking(Collection):
    """A collection that notes each question before it answers."""

    def __init__(self, name: str, real: Collection, noted: list[Question]) -> None:
        self._name, self._real, self._noted = name, real, noted

    def _note(self, where: Mapping[str, Any], sort: Keys = (), limit: int | None = None) -> None:
        self._noted.append(Question(self._name, where, sort, limit))

    async def find_one(self, where: Mapping[str, Any]) -> Bson | None:
        self._note(where, (), 1)
        return await self._real.find_one(where)

    async def find(
        self, where: Mapping[str, Any], sort: Keys, limit: int, fields: Sequence[str] | None = None
    ) -> list[Bson]:
        self._note(where, sort, limit)
        return await self._real.find(where, sort, limit, fields)

    async def count(self, where: Mapping[str, Any], limit: int | None = None) -> int:
        self._note(where, (), limit)
        return await self._real.count(where, limit)

    async def insert(self, document: Bson) -> None:
        await self._real.insert(document)

    async def insert_new(self, documents: Sequence[Bson]) -> None:
        await self._real.insert_new(documents)

    async def update(self, where: Mapping[str, Any], change: Mapping[str, Any]) -> Bson | None:
        self._note(where, (), 1)
        return await self._real.update(where, change)

    async def replace(self, where: Mapping[str, Any], document: Bson, *, upsert: bool) -> bool:
        self._note(where, (), 1)
        return await self._real.replace(where, document, upsert=upsert)

    async def delete(self, where: Mapping[str, Any]) -> bool:
        self._note(where, (), 1)
        return await self._real.delete(where)

    async def ensure_index(self, keys: Keys) -> None:
        await self._real.ensure_index(keys)


async def keys_walked(question: Question, database: Database) -> int:
    """The keys that the best of the collection's indexes walks for it, over what the database holds."""
    collection = database.collection(question.collection)
    documents = await collection.find({}, (), ALL)
    matching = {each["_id"] for each in await collection.find(question.where, (), ALL, ())}
    indexes = (*INDEXES[question.collection], _BY_ID)
    walks = [_walk(question, index, documents, matching) for index in indexes]
    if branches := question.where.get("$or"):
        rest = {name: value for name, value in question.where.items() if name != "$or"}
        apart = [Question(question.collection, rest | each, (), None) for each in branches]
        walks.append(sum(min(_walk(each, index, documents, set()) for index in indexes) for each in apart))
    return min(walks)


def _walk(question: Question, index: Keys, documents: Sequence[Bson], matching: Set[object]) -> int:
    """The keys between the bounds that the leading fields set, or up to the last one that is wanted."""
    inside, fixed = _bounds(question.where, index)
    keys = [each for each in documents if inside(each)]
    if question.limit is None or not _in_order(question.sort, index[fixed:]):
        return len(keys)
    for name, way in reversed(question.sort):
        keys.sort(key=partial(_key, name), reverse=way < 0)
    found = [number for number, each in enumerate(keys, 1) if each["_id"] in matching][: question.limit]
    return found[-1] if len(found) == question.limit else len(keys)


def _bounds(where: Mapping[str, Any], index: Keys) -> tuple[Callable[[Bson], bool], int]:
    """Which documents have their keys between the bounds, and how many leading fields are one value each.

    A field bounds the walk where all before it are fixed: what comes after a range is looked at key by key.
    """
    bounds: list[tuple[str, _Inside]] = []
    fixed = 0
    for name, _ in index:
        if name not in where:
            break
        bounds.append((name, _bound(where[name])))
        if isinstance(where[name], dict):
            break
        fixed += 1
    return lambda document: all(inside(_value(document, name)) for name, inside in bounds), fixed


def _bound(condition: Any) -> _Inside:
    """Whether a value lies within what the condition allows, so far as an index can tell."""
    if not isinstance(condition, dict):
        return lambda value: _rank(value) == _rank(condition)
    parts = [_part(operator, bound) for operator, bound in condition.items()]
    return lambda value: all(part(value) for part in parts)


def _part(operator: str, bound: Any) -> _Inside:
    if operator == "$in":
        wanted = [_rank(each) for each in bound]
        return lambda value: _rank(value) in wanted
    if operator == "$not" and len(bound) == 1:  # of several at once no bounds are made
        inside = _bound(bound)
        return lambda value: not inside(value)
    if operator in _COMPARED:
        compared, (kind, key) = _COMPARED[operator], _rank(bound)
        return lambda value: _rank(value)[0] == kind and compared(_rank(value)[1], key)
    return lambda _: True


def _in_order(sort: Keys, rest: Keys) -> bool:
    """Whether a walk along what follows the fixed fields gives this order, forwards or backwards."""
    along = [*islice(rest, len(sort))]
    return [*sort] in (along, [(name, -way) for name, way in along])


def _value(document: Bson, path: str) -> Any:
    found: Any = document
    for name in path.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return found


def _key(path: str, document: Bson) -> tuple[int, Any]:
    return _rank(_value(document, path))


def _rank(value: Any) -> tuple[int, Any]:
    return (1, 0) if value is None else (_RANKS[type(value)], value)
