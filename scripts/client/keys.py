"""API keys over the API: its calls and its answers. Amounts in micro-dollars."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from urllib.parse import quote

from pydantic import Field, JsonValue

from scripts.client.api import Client, Reply
from scripts.client.shapes import Shape, Usd

__all__ = ["Key", "Keys", "NewKey", "create_key", "list_keys", "revoke_key"]


class Key(Shape):
    """An API key. What may be spent with it is None where it has no limit."""

    id: str = Field(alias="_id")
    user_id: str
    name: str
    scopes: tuple[str, ...]
    max_per_day: Usd | None
    max_total: Usd | None
    max_running: int | None = None  # servers of before have no such field
    requests_per_minute: int
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


class NewKey(Key):
    """An API key as it was made: `token` is shown this once."""

    token: str


class Keys(Shape):
    """A page of API keys."""

    keys: tuple[Key, ...]
    next_cursor: str | None


def create_key(client: Client, key: Mapping[str, JsonValue]) -> Reply[NewKey]:
    """Make a key. `key` is the body of POST /api/keys."""
    return client.read(NewKey, client.ask("POST", "/api/keys", body=key))


def list_keys(client: Client, limit: int, cursor: str | None) -> Reply[Keys]:
    """A page of keys, newest first."""
    params: dict[str, str | int] = {"limit": limit} if cursor is None else {"limit": limit, "cursor": cursor}
    return client.read(Keys, client.ask("GET", "/api/keys", params=params))


def revoke_key(client: Client, key_id: str) -> None:
    """Let nobody in with this key any more."""
    client.ask("DELETE", f"/api/keys/{quote(key_id, safe='')}")
