"""API keys: what one looks like, whose it is, and what may be done with it. Pure decisions, no I/O.

A key is shown once, as a token `purser_<id>_<secret>`; stored is the SHA-256 of its secret. A fast hash is enough:
a password is guessed because people choose it, and nobody guesses 256 random bits, however fast he may try.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import ceil
from typing import Final, Literal

from pydantic import Field

from agent.book.limits import KeyLimits
from agent.book.models import Document

__all__ = [
    "SCOPES",
    "Key",
    "KeyScope",
    "Token",
    "granted",
    "mint",
    "minute_of",
    "parse",
    "same",
    "share",
    "until_next_minute",
    "unusable",
]

KeyScope = Literal["read", "run", "admin"]

SCOPES: Final[dict[KeyScope, frozenset[KeyScope]]] = {
    "read": frozenset({"read"}),
    "run": frozenset({"read", "run"}),
    "admin": frozenset({"read", "run", "admin"}),
}
"""What each scope lets its key do: admin includes run, and run includes read."""

_TOKEN: Final = re.compile(r"purser_([a-z2-7]{12})_([A-Za-z0-9_-]{43})")
_ID_BYTES: Final = 8
_ID_CHARACTERS: Final = 12
_SECRET_BYTES: Final = 32
_MINUTE: Final = timedelta(minutes=1)
_SHARES: Final = 16
"""An instance takes no more than this part of a key's requests at once."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token that may be one of ours. `digest` is the SHA-256 of its secret, in hex."""

    key_id: str
    digest: str = field(repr=False)


class Key(Document):
    """An API key. `max_per_day` and `max_total` are micro-dollars that may be spent with it, over a UTC day and
    over its life; None is no limit. `max_running` is how many of its runs may be under way, None: as many as the
    settings say. `window` has the requests taken, by minute since 1970 (`agent.store.keys`)."""

    id: str = Field(alias="_id")
    hash: str = Field(repr=False)
    user_id: str
    name: str
    scopes: tuple[KeyScope, ...]
    max_per_day: int | None = None
    max_total: int | None = None
    max_running: int | None = None
    requests_per_minute: int
    window: dict[str, int] = Field(default_factory=dict)
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None

    @property
    def limits(self) -> KeyLimits:
        """What may be spent with it."""
        return KeyLimits(self.id, self.max_per_day, self.max_total, shared="admin" in self.scopes)


def mint(random: Callable[[int], bytes]) -> tuple[str, Token]:
    """A new token, as it is shown, and what is kept of it. `random` gives so many bytes that nobody can guess."""
    key_id = base64.b32encode(random(_ID_BYTES)).decode().lower()[:_ID_CHARACTERS]
    secret = base64.urlsafe_b64encode(random(_SECRET_BYTES)).decode().rstrip("=")
    return f"purser_{key_id}_{secret}", Token(key_id, _digest(secret))


def parse(text: str) -> Token | None:
    """The token that a caller sent; None where it cannot be one, so that junk never reaches the database."""
    found = _TOKEN.fullmatch(text)
    return None if found is None else Token(found[1], _digest(found[2]))


def same(key: Key, token: Token) -> bool:
    """Whether the token is this key's. Takes as long whatever is different."""
    return hmac.compare_digest(key.hash, token.digest)


def unusable(key: Key, now: datetime) -> str | None:
    """Why a key lets nobody in any more, or None."""
    if key.revoked_at is not None:
        return "this API key was revoked"
    if key.expires_at is not None and now >= key.expires_at:
        return "this API key has expired"
    return None


def granted(scopes: tuple[KeyScope, ...]) -> frozenset[KeyScope]:
    """All that these scopes allow."""
    return frozenset().union(*(SCOPES[scope] for scope in scopes))


def minute_of(moment: datetime) -> int:
    """The minute's number since 1970."""
    return int(moment.timestamp()) // 60


def until_next_minute(moment: datetime) -> int:
    """Whole seconds until the next minute begins: 1 to 60."""
    return ceil((_MINUTE - timedelta(seconds=moment.second, microseconds=moment.microsecond)).total_seconds())


def share(key: Key, last: int) -> int:
    """How many requests an instance takes next whose last share of this minute was `last` (0: none yet).

    It doubles: whoever asks once takes one, and whoever asks all the time asks the database seldom. So never more
    than about half of a minute's requests lie unused with instances.
    """
    return max(1, min(2 * last, key.requests_per_minute // _SHARES))


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
