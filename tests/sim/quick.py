"""The embedded store without its slowest habit: mongomock copies every scalar of a document, several times a read.

Scalars never change, so only containers need copying. What goes in and comes out is the same (a test holds the two
against each other); ten thousand schedules take half as long.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any, Final
from unittest import mock

from bson import ObjectId
from bson.tz_util import utc
from mongomock import collection, helpers

__all__ = ["quick_copies"]

_NONE: Final = timedelta(0)
_ATOMS: Final = frozenset({str, int, float, bool, type(None), ObjectId})


def copied(value: Any) -> Any:
    """A copy that shares no container with `value`."""
    if isinstance(value, dict):
        return {key: each if type(each) in _ATOMS else copied(each) for key, each in value.items()}
    if isinstance(value, list):
        return [copied(each) for each in value]
    return value


_COPY_SOME: Final[Any] = collection.Collection._copy_only_fields


def from_store(value: Any) -> Any:
    """A copy with its times in UTC."""
    if isinstance(value, dict):
        return {key: each if type(each) in _ATOMS else from_store(each) for key, each in value.items()}
    if isinstance(value, list):
        return [from_store(each) for each in value]
    return value.replace(tzinfo=utc) if isinstance(value, datetime) else value


def to_store(value: Any) -> Any:
    """A copy as BSON keeps it: lists for tuples, times without a zone and in whole milliseconds."""
    if isinstance(value, dict):
        return {key: each if type(each) in _ATOMS else to_store(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [to_store(each) for each in value]
    if not isinstance(value, datetime):
        return value
    offset = value.utcoffset() or _NONE
    return (value - offset).replace(tzinfo=None, microsecond=value.microsecond // 1_000 * 1_000)


def _whole(self: object, document: Any, fields: object, container: object) -> Any:
    """What a read without a projection gives is not copied here: `from_store` copies it next."""
    return _COPY_SOME(self, document, fields, container) if fields else document


@contextmanager
def quick_copies() -> Iterator[None]:
    """Within it mongomock copies as this module does."""
    with (
        mock.patch.object(collection.Collection, "_copy_only_fields", _whole),
        mock.patch.object(collection, "copy", SimpleNamespace(copy=copy.copy, deepcopy=copied)),
        mock.patch.object(helpers, "make_datetime_timezone_aware_in_document", from_store),
        mock.patch.object(helpers, "patch_datetime_awareness_in_document", to_store),
    ):
        yield
