"""Cursors of lists that are newest first: where a page ended, as text that is safe in a URL."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

__all__ = ["cursor_of", "position"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def cursor_of(created_at: datetime, its_id: object) -> str:
    """The cursor of a page that ends with this document."""
    return f"{(created_at - _EPOCH) // timedelta(milliseconds=1)}-{its_id}"


def position(cursor: str) -> tuple[datetime, str]:
    """When the last document of the page before was made, and its id. A cursor has at most 14 digits of time."""
    millis, _, its_id = cursor.partition("-")
    return _EPOCH + timedelta(milliseconds=int(millis)), its_id
