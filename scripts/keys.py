"""The API's calls for API keys."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from pydantic import JsonValue

from scripts.client import Client, Reply
from scripts.shapes import Keys, NewKey

__all__ = ["create_key", "list_keys", "revoke_key"]


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
