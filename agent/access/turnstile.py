"""Who is let in with an API key, and how often: its rate over all instances, at no command for most requests.

An instance takes a share of a key's requests of this minute with the command that reads the key, and answers from
it until it is used up, the minute ends, or what it knows of the key is `FRESH_SECONDS` old. So a revocation takes
as long to be seen everywhere. A share that is not used up is lost with its minute: fewer requests than the rate
may get through, never more.
"""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from agent.book.api_key import Key, Token, minute_of, parse, same, share, until_next_minute, unusable
from agent.book.errors import NotAdmitted, PurserError, RateLimited, StoreUnavailable
from agent.process.world import World
from agent.store.keys import KeyStore

__all__ = ["FRESH_SECONDS", "Turnstile"]

FRESH_SECONDS: Final = 5.0
"""How long an instance goes by what it has read of a key."""

_REMEMBERED: Final = 1_000
"""Keys that one instance remembers."""

_UNKNOWN: Final = "there is no such API key; send Authorization: Bearer with a key that was not revoked"


@dataclass(slots=True)
class _Held:
    """What this instance has of a key: `left` requests of `minute`; `last` was its last share, `full` says that
    the key has no more to give in that minute. `read_at` in seconds of the monotonic clock."""

    key: Key
    read_at: float
    minute: int
    left: int = 0
    last: int = 0
    full: bool = False


class Turnstile:
    """One instance's, for all its event loops, in however many threads they run."""

    def __init__(self, keys: KeyStore, world: World) -> None:
        """Nothing is read yet."""
        self._keys = keys
        self._world = world
        self._lock = threading.Lock()
        self._held: OrderedDict[str, _Held] = OrderedDict()
        self._asking: dict[tuple[asyncio.AbstractEventLoop, Token], asyncio.Future[PurserError | None]] = {}

    async def admit(self, text: str) -> Key:
        """The key of a token, with one of its requests used.

        Raises:
            NotAdmitted: it is no token of ours, or its key is unknown, revoked or expired.
            RateLimited: the key has no more requests in this minute.
            StoreUnavailable
        """
        token = parse(text)
        if token is None:
            raise NotAdmitted("send Authorization: Bearer with an API key or the operator's token")
        while True:
            with self._lock:
                if key := self._pass(token):
                    return key
            await self._ask_together(token)

    def _pass(self, token: Token) -> Key | None:
        """Let one request through on what is known; None: the database must be asked."""
        held, now = self._held.get(token.key_id), self._world.now()
        if held is None or self._world.monotonic() - held.read_at >= FRESH_SECONDS:
            return None
        if not same(held.key, token):
            raise NotAdmitted(_UNKNOWN)
        if why := unusable(held.key, now):
            raise NotAdmitted(f"{why}; ask for a new one")
        if held.minute != minute_of(now):
            return None
        if held.left > 0:
            held.left -= 1
            return held.key
        if held.full:
            raise RateLimited(held.key.requests_per_minute, until_next_minute(now))
        return None

    async def _ask_together(self, token: Token) -> None:
        """Ask the database, or wait for whoever is asking for the same token already: a crowd takes one share, and
        hears of one failure. (One after the other would wait for a database that is away.)
        """
        here = asyncio.get_running_loop(), token
        if other := self._asking.get(here):
            await asyncio.wait([other])
            if failed := other.result():
                raise type(failed)(*failed.args)
            return
        mine = self._asking[here] = here[0].create_future()
        failed = None
        try:
            await self._ask(token)
        except (NotAdmitted, StoreUnavailable) as exc:
            failed = exc
            raise
        finally:
            del self._asking[here]
            mine.set_result(failed)

    async def _ask(self, token: Token) -> None:
        now, read_at = self._world.now(), self._world.monotonic()
        minute, held = minute_of(now), self._held.get(token.key_id)
        if held is not None and held.minute != minute:
            held = None
        if held is not None and held.left > 0:  # only what is known of it has grown old
            key = await self._keys.find(token.key_id)
            if key is None or not same(key, token):
                raise NotAdmitted(_UNKNOWN)
            with self._lock:
                held.key, held.read_at = key, read_at
            return
        wanted = 1 if held is None else share(held.key, held.last)
        taken = await self._keys.take(token, minute, wanted)
        if taken is None:
            raise NotAdmitted(_UNKNOWN)
        key, got = taken
        with self._lock:
            self._held[token.key_id] = _Held(key, read_at, minute, got, wanted, full=got < wanted)
            self._held.move_to_end(token.key_id)
            if len(self._held) > _REMEMBERED:
                self._held.popitem(last=False)
