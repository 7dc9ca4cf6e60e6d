"""What API keys rely on in the store: one is revoked once, and no request of a minute is given out twice."""

from __future__ import annotations

import asyncio
import secrets
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import pytest

from agent.access.turnstile import FRESH_SECONDS, Turnstile
from agent.book.api_key import Key, Token, minute_of, parse
from agent.book.errors import KeyNotFound, NotAdmitted, RateLimited, StoreUnavailable
from agent.process.world import World, real_world
from agent.store.collections import Database
from agent.store.embedded import EmbeddedDatabase
from agent.store.keys import KeyStore
from tests.agent.builders import NOW
from tests.agent.keyring import a_key
from tests.agent.killing import Reaper, WatchedDatabase

MINUTE = minute_of(NOW)
MINUTE_BEGINS = NOW.replace(second=0)


@pytest.fixture
def store(database: Database) -> KeyStore:
    """The store under test."""
    return KeyStore(database)


def token_of(shown: str) -> Token:
    token = parse(shown)
    assert token is not None
    return token


async def kept(store: KeyStore, **changes: object) -> tuple[Key, Token, str]:
    key, shown = a_key(**changes)
    await store.add(key)
    return key, token_of(shown), shown


async def test_a_key_comes_back_as_it_was_kept(store: KeyStore) -> None:
    """Every field; one that is not there is None."""
    key, *_ = await kept(store, max_per_day=5, max_total=7, expires_at=NOW, scopes=("read", "admin"))

    assert await store.find(key.id) == key
    assert await store.find("a" * 12) is None
    with pytest.raises(StoreUnavailable):
        await store.add(key)


async def test_keys_are_paged_newest_first(store: KeyStore) -> None:
    """Each on one page, also among those made in the same millisecond."""
    made = [(await kept(store, created_at=NOW + timedelta(seconds=number // 2)))[0] for number in range(5)]

    seen: list[Key] = []
    while page := await store.page(2, older_than=(seen[-1].created_at, seen[-1].id) if seen else None):
        seen += page

    assert [each.id for each in seen] == [
        each.id for each in sorted(made, key=lambda key: (key.created_at, key.id), reverse=True)
    ]


async def test_a_key_is_revoked_once(store: KeyStore) -> None:
    """The first time stays; what is not there is not found."""
    key, *_ = await kept(store)

    assert (await store.revoke(key.id, NOW)).revoked_at == NOW
    assert (await store.revoke(key.id, NOW + timedelta(days=1))).revoked_at == NOW
    with pytest.raises(KeyNotFound):
        await store.revoke("a" * 12, NOW)


async def test_requests_are_given_out_up_to_the_rate(store: KeyStore) -> None:
    """The last taker gets what is left, the next nothing; the next minute begins anew."""
    _, token, _ = await kept(store, requests_per_minute=10)

    got = [await store.take(token, MINUTE, wanted) for wanted in (4, 4, 4, 4)]

    assert [each and each[1] for each in got] == [4, 4, 2, 0]
    later = await store.take(token, MINUTE + 1, 3)
    assert later is not None
    assert later[1] == 3


async def test_whoever_has_the_wrong_secret_takes_nothing(store: KeyStore) -> None:
    """Nor does a key that is not there come to be."""
    key, token, _ = await kept(store, requests_per_minute=1)
    wrong = Token(key.id, hashlike())

    assert await store.take(wrong, MINUTE, 1) is None
    assert await store.take(Token("a" * 12, hashlike()), MINUTE, 1) is None

    got = await store.take(token, MINUTE, 1)
    assert got is not None
    assert got[1] == 1
    assert await store.find("a" * 12) is None


def hashlike() -> str:
    return secrets.token_hex(32)


async def test_old_minutes_are_cleared_away(store: KeyStore) -> None:
    """A document stays small however long a key is used; what a slow clock may still count in stays."""
    key, token, _ = await kept(store)

    for minute in range(200):
        await store.take(token, MINUTE + minute, 1)

    found = await store.find(key.id)
    assert found is not None
    assert len(found.window) <= 31
    assert str(MINUTE + 190) in found.window


async def test_many_takers_at_once_get_no_request_twice(store: KeyStore) -> None:
    """In shares of all sizes: together exactly the rate."""
    _, token, _ = await kept(store, requests_per_minute=100)

    got = await asyncio.gather(*(store.take(token, MINUTE, 1 + number % 7) for number in range(60)))

    assert sum(each[1] for each in got if each) == 100


@dataclass
class Instances:
    """Several processes on one database, with one clock."""

    turnstiles: list[Turnstile]
    watched: Reaper
    world: Clock

    @property
    def commands(self) -> int:
        """What the database was asked."""
        return len([each for each in self.watched.log if not each.startswith("insert")])


@dataclass
class Clock:
    """Time as the test tells it."""

    moment: datetime = MINUTE_BEGINS
    seconds: float = 0.0

    def pass_(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)
        self.seconds += seconds

    @property
    def world(self) -> World:
        """The seam."""
        return replace(real_world(), now=lambda: self.moment, monotonic=lambda: self.seconds)


def instances(database: Database, number: int) -> Instances:
    clock, watched = Clock(), Reaper()
    keys = KeyStore(WatchedDatabase(database, watched))
    return Instances([Turnstile(keys, clock.world) for _ in range(number)], watched, clock)


async def tried(turnstile: Turnstile, shown: str) -> str:
    try:
        await turnstile.admit(shown)
    except (RateLimited, NotAdmitted) as exc:
        return type(exc).__name__
    return "in"


@pytest.mark.parametrize("rate", [1, 5, 16, 17, 100, 333])
async def test_all_instances_together_let_no_more_through_than_the_rate(database: Database, rate: int) -> None:
    """Hammered at once by several instances, minute after minute: exactly the rate, each time."""
    here = instances(database, 5)
    _, _, shown = await kept(KeyStore(database), requests_per_minute=rate)

    for _ in range(2):
        tries = [tried(here.turnstiles[number % 5], shown) for number in range(2 * rate + 200)]
        came = Counter(await asyncio.gather(*tries))
        assert came["in"] == rate
        assert set(came) == {"in", "RateLimited"}
        here.world.pass_(60)


async def test_a_warm_instance_asks_for_nothing(database: Database) -> None:
    """Cold is one command; six hundred requests of one minute are a few dozen, and most of them none."""
    here = instances(database, 1)
    _, _, shown = await kept(KeyStore(database))
    (turnstile,) = here.turnstiles

    await turnstile.admit(shown)
    assert here.commands == 1
    await turnstile.admit(shown)
    asked = here.commands
    await turnstile.admit(shown)
    assert here.commands == asked
    for _ in range(597):
        await turnstile.admit(shown)
    assert here.commands <= 25

    for _ in range(3):  # and who is over the rate costs nothing either
        with pytest.raises(RateLimited) as refused:
            await turnstile.admit(shown)
        assert refused.value.retry_after == 60
    assert here.commands <= 26


async def test_a_crowd_that_comes_at_once_takes_a_share_and_not_one_each(database: Database) -> None:
    """Whoever is asking already asks for all."""
    here = instances(database, 1)
    _, _, shown = await kept(KeyStore(database))

    assert Counter(await asyncio.gather(*(tried(here.turnstiles[0], shown) for _ in range(100)))) == {"in": 100}
    assert here.commands <= 9


@pytest.mark.parametrize(("number", "each"), [(100, 1), (33, 2), (14, 6)])
async def test_a_share_that_lies_about_does_not_starve_others(database: Database, number: int, each: int) -> None:
    """Many instances that are asked a few times: what they hold unused is no more than what they gave."""
    here = instances(database, number)
    _, _, shown = await kept(KeyStore(database), requests_per_minute=100)

    came = [await tried(turnstile, shown) for turnstile in here.turnstiles for _ in range(each)]

    assert came == ["in"] * (number * each)


async def test_a_revocation_is_seen_within_seconds_everywhere(database: Database) -> None:
    """An instance goes by what it knows for so long and no longer, whatever it has left."""
    here = instances(database, 2)
    key, _, shown = await kept(KeyStore(database))
    for _ in range(5):
        assert [await tried(each, shown) for each in here.turnstiles] == ["in", "in"]

    await KeyStore(database).revoke(key.id, here.world.moment)
    here.world.pass_(FRESH_SECONDS - 0.001)
    await tried(here.turnstiles[0], shown)
    here.world.pass_(0.001)

    assert [await tried(each, shown) for each in here.turnstiles] == ["NotAdmitted", "NotAdmitted"]


async def test_what_has_grown_old_is_read_again_and_takes_nothing(database: Database) -> None:
    """One who asks now and then uses what he asked for, and not a share each time his key is looked up again."""
    here = instances(database, 1)
    key, _, shown = await kept(KeyStore(database), requests_per_minute=160)
    for _ in range(20):
        await here.turnstiles[0].admit(shown)

    for _ in range(11):
        here.world.pass_(FRESH_SECONDS)
        await here.turnstiles[0].admit(shown)

    found = await KeyStore(database).find(key.id)
    assert found is not None
    assert sum(found.window.values()) <= 31 + 10


async def test_an_expired_key_lets_nobody_in_although_it_is_remembered(database: Database) -> None:
    """By this instance's clock, at once."""
    here = instances(database, 1)
    expires = here.world.moment + timedelta(seconds=2)
    _, _, shown = await kept(KeyStore(database), expires_at=expires)
    assert await tried(here.turnstiles[0], shown) == "in"

    here.world.pass_(2)

    assert await tried(here.turnstiles[0], shown) == "NotAdmitted"


async def test_junk_and_wrong_secrets_cost_the_database_little(database: Database) -> None:
    """Junk nothing; a wrong secret one command, or none where the key is remembered, and the key no request."""
    here = instances(database, 1)
    key, _, shown = await kept(KeyStore(database), requests_per_minute=2)
    wrong = shown[:-43] + "A" * 43
    (turnstile,) = here.turnstiles

    assert [await tried(turnstile, text) for text in ("", "junk", "purser_x_y")] == ["NotAdmitted"] * 3
    assert here.commands == 0
    assert await tried(turnstile, wrong) == "NotAdmitted"
    assert here.commands == 1
    assert await tried(turnstile, shown) == "in"
    assert [await tried(turnstile, wrong) for _ in range(9)] == ["NotAdmitted"] * 9
    assert here.commands == 2
    assert await tried(turnstile, shown) == "in"
    assert key.hash


async def test_who_dies_while_asking_leaves_nobody_waiting(database: Database) -> None:
    """A request that is cut off, and one whose database was away, make way for the next."""
    here = instances(database, 1)
    _, _, shown = await kept(KeyStore(database))
    (turnstile,) = here.turnstiles
    asking = [asyncio.ensure_future(turnstile.admit(shown)) for _ in range(3)]
    await asyncio.sleep(0)
    asking[0].cancel()

    assert [type(each) for each in await asyncio.gather(*asking, return_exceptions=True)] == [
        asyncio.CancelledError,
        Key,
        Key,
    ]


async def test_a_crowd_that_is_let_down_is_told_at_once(database: Database) -> None:
    """Each asking for itself would wait for the database once more than the one before."""
    here = instances(database, 1)
    _, _, shown = await kept(KeyStore(database))
    (turnstile,) = here.turnstiles
    wrong = shown[:-43] + "A" * 43

    assert await asyncio.gather(*(tried(turnstile, wrong) for _ in range(20))) == ["NotAdmitted"] * 20
    assert here.commands == 1

    away = Away(database)
    turnstile = Turnstile(away, here.world.world)
    came = await asyncio.gather(*(turnstile.admit(shown) for _ in range(20)), return_exceptions=True)
    assert [type(each) for each in came] == [StoreUnavailable] * 20
    assert away.asked == 1


class Away(KeyStore):
    """The store while its database does not answer: that is known only after a while."""

    asked = 0

    async def take(self, token: Token, minute: int, wanted: int) -> tuple[Key, int] | None:
        """In vain."""
        self.asked += 1
        await asyncio.sleep(0)
        raise StoreUnavailable("the database did not answer")


def test_threads_with_loops_of_their_own_share_what_there_is() -> None:
    """A platform may run an instance's invocations so: together they use no request twice."""
    keys, clock = AtOnce(), Clock()
    key, shown = a_key(requests_per_minute=2_000)
    asyncio.run(keys.add(key))
    turnstile = Turnstile(keys, clock.world)

    async def many() -> int:
        async with asyncio.timeout(30):
            return [await tried(turnstile, shown) for _ in range(500)].count("in")

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as threads:
            came = sum(threads.map(lambda _: asyncio.run(many()), range(8)))
    finally:
        sys.setswitchinterval(before)

    assert came <= 2_000
    assert came > 500  # what one thread had not used is lost when another asks at the same time


class AtOnce(KeyStore):
    """The embedded store, whose writes are atomic only within a thread, one write at a time."""

    def __init__(self) -> None:
        """Empty."""
        super().__init__(EmbeddedDatabase())
        self._one = threading.Lock()

    async def take(self, token: Token, minute: int, wanted: int) -> tuple[Key, int] | None:
        """As ever."""
        with self._one:
            return await super().take(token, minute, wanted)
