"""API keys as text and as rights: what is minted can be parsed, what is not ours never gets further."""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.book.api_key import (
    SCOPES,
    Key,
    granted,
    mint,
    minute_of,
    parse,
    same,
    share,
    until_next_minute,
    unusable,
)
from tests.agent.builders import NOW
from tests.agent.keyring import a_key


def fixed(number: int) -> bytes:
    return bytes(range(number))


@given(st.binary(min_size=64, max_size=64))
def test_what_is_minted_is_what_is_parsed(random: bytes) -> None:
    """Whatever the random bytes are; the secret is in the text and not in what is kept."""
    shown, token = mint(lambda number: random[:number])

    assert parse(shown) == token
    assert token.digest == hashlib.sha256(shown[-43:].encode()).hexdigest()
    assert shown[-43:] not in repr(token)
    assert token.digest not in repr(token)


def test_a_secret_has_256_random_bits() -> None:
    """Asked for as such, and none of them is lost on the way into text."""
    asked = []

    def random(number: int) -> bytes:
        asked.append(number)
        return secrets.token_bytes(number)

    shown, _ = mint(random)

    assert asked == [8, 32]
    assert len(shown) == len("purser_") + 12 + 1 + 43
    assert mint(random)[0] != shown


@given(st.text(max_size=80))
def test_junk_is_no_token(text: str) -> None:
    """Only the one form gets as far as the database."""
    assert parse(text) is None


@pytest.mark.parametrize(
    "spoil",
    [
        lambda shown: shown.upper(),
        lambda shown: shown + "A",
        lambda shown: shown[:-1],
        lambda shown: f" {shown}",
        lambda shown: f"{shown}\n",
        lambda shown: shown.replace("purser_", "purser-"),
        lambda shown: shown[:7] + "$where______" + shown[19:],
        lambda shown: shown[:-1] + "é",
    ],
)
def test_what_is_nearly_a_token_is_none(spoil: object) -> None:
    assert callable(spoil)
    assert parse(spoil(mint(fixed)[0])) is None


def test_a_token_is_that_of_its_key_alone() -> None:
    """By its secret; the id says only where to look."""
    key, shown = a_key()
    mine = parse(shown)
    other = parse(shown[:-43] + "A" * 43)

    assert mine is not None
    assert other is not None
    assert mine.key_id == other.key_id == key.id
    assert (same(key, mine), same(key, other)) == (True, False)
    assert key.hash not in repr(key)


def test_admin_includes_run_and_run_includes_read() -> None:
    """And nothing else."""
    assert granted(("read",)) == {"read"}
    assert granted(("run",)) == {"read", "run"}
    assert granted(("admin",)) == granted(("read", "admin")) == {"read", "run", "admin"}
    assert set(SCOPES) == {"read", "run", "admin"}


def test_a_key_ends_when_it_expires_or_is_revoked() -> None:
    """To the millisecond."""
    key: Key = a_key(expires_at=NOW)[0]

    assert unusable(key, NOW - timedelta(milliseconds=1)) is None
    assert unusable(key, NOW) == "this API key has expired"
    assert unusable(a_key(revoked_at=NOW)[0], NOW) == "this API key was revoked"


@given(st.integers(1, 100_000), st.integers(0, 10))
def test_shares_double_up_to_a_sixteenth(rate: int, shares: int) -> None:
    """So no more than about half of what was taken lies unused, and the database is asked seldom."""
    key, last, taken = a_key(requests_per_minute=rate)[0], 0, []
    for _ in range(shares):
        last = share(key, last)
        taken.append(last)

    assert all(1 <= each <= max(1, rate // 16) for each in taken)
    assert taken[:1] in ([], [1])
    assert all(later <= 2 * sooner for sooner, later in pairwise(taken))


@pytest.mark.parametrize(
    ("second", "microsecond", "left"), [(0, 0, 60), (0, 1, 60), (59, 0, 1), (59, 999_999, 1), (30, 500_000, 30)]
)
def test_a_minute_ends_after_whole_seconds(second: int, microsecond: int, left: int) -> None:
    """Rounded up, so that whoever waits so long is in the next one."""
    moment = NOW.replace(second=second, microsecond=microsecond)

    assert until_next_minute(moment) == left
    assert minute_of(moment) + 1 == minute_of(moment + timedelta(seconds=left))
