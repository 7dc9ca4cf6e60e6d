"""API keys for tests."""

from __future__ import annotations

import secrets

from agent.book.api_key import Key, mint
from tests.agent.builders import NOW

__all__ = ["a_key"]


def a_key(**changes: object) -> tuple[Key, str]:
    """A key of u1 with the scope run, as it is stored, and the token that belongs to it."""
    shown, token = mint(secrets.token_bytes)
    fields: dict[str, object] = {
        "id": token.key_id,
        "hash": token.digest,
        "user_id": "u1",
        "name": "of a test",
        "scopes": ("run",),
        "requests_per_minute": 600,
        "created_at": NOW,
        **changes,
    }
    return Key.model_validate(fields), shown
