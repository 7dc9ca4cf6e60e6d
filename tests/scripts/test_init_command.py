"""`purser init` on a restored backup: it says so, and takes its operator's word once."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from agent.process.settings import Settings
from agent.store.collections import Database
from agent.store.embedded import EmbeddedDatabase
from scripts.exits import Exit
from tests.agent.backup import dump, restore
from tests.agent.limited import PAYER
from tests.agent.stage import KEY, a_stage
from tests.scripts.conftest import Purser

WORD = ("init", "--restored", "--spent-usd")


async def _a_backup() -> Database:
    stage = await a_stage(settings={"max_per_wallet": "100"})
    await stage.finish(await stage.start())
    return await restore(await dump(stage.database))


@pytest.fixture
def restored(elsewhere: pytest.MonkeyPatch) -> Database:
    """A database in which 1.4 USD were spent, in another place than where it was written; MONGODB_URI names it."""
    database = asyncio.run(_a_backup())
    _open(elsewhere, database)
    return database


def _open(elsewhere: pytest.MonkeyPatch, database: Database) -> None:
    def opened(settings: Settings) -> Database:
        return database

    elsewhere.setenv("MONGODB_URI", "mongodb://stand-in")
    elsewhere.setattr("agent.store.open_database", opened)


def _sum(database: Database, key: str = PAYER) -> Any:
    found = asyncio.run(database.collection("allowances").find_one({"_id": key}))
    return found and found["committed"]


def test_init_says_that_a_database_is_restored_and_what_to_do(command: Purser, restored: Database) -> None:
    """It is no failure: the API may start, show runs and cancel them."""
    result = command("init")

    assert (result.exit_code, "purser init --restored --spent-usd USD" in result.stdout) == (Exit.OK, True)
    assert "restored backup" in json.loads(command("init", "--json").stdout)["restored"]


def test_the_word_is_counted_for_the_wallet_that_paid_last_and_taken_once(
    command: Purser, restored: Database
) -> None:
    """No setting need name the wallet. A second word is refused, and says what the first one was."""
    result = command(*WORD, "2.5")

    assert result.exit_code == Exit.OK
    assert "2.5 USD count as spent by 0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266" in result.stdout
    assert _sum(restored) == 3_900_000
    assert json.loads(command("init", "--json").stdout)["restored"] is None

    again = command(*WORD, "2.5", "--json")
    assert (again.exit_code, _sum(restored)) == (Exit.REFUSED, 3_900_000)
    told = json.loads(again.stderr)
    assert (told["code"], "2.5 USD were stated" in told["detail"]) == ("restore_refused", True)


def test_the_wallet_in_the_settings_comes_before_the_one_that_paid_last(
    command: Purser, restored: Database, elsewhere: pytest.MonkeyPatch
) -> None:
    """It is the one that pays from now on."""
    elsewhere.setenv("X402_PRIVATE_KEY", "42" * 32)
    elsewhere.setenv("API_TOKEN", "a-token-of-some-length")
    address = command("wallet", "address").stdout.strip()

    assert address in command(*WORD, "2.5").stdout
    assert (_sum(restored), _sum(restored, f"wallet:{address.lower()}")) == (1_400_000, 2_500_000)


def test_nothing_spent_is_an_answer_too(command: Purser, restored: Database) -> None:
    assert "its runs go on" in command(*WORD, "0").stdout
    assert (_sum(restored), json.loads(command("init", "--json").stdout)["restored"]) == (1_400_000, None)


def test_a_database_that_is_not_restored_is_not_answered_for(
    command: Purser, elsewhere: pytest.MonkeyPatch
) -> None:
    """Unless its operator says that it was restored where it was: that cannot be seen."""
    database = EmbeddedDatabase()
    _open(elsewhere, database)
    elsewhere.setenv("X402_PRIVATE_KEY", KEY)

    refused, taken = command(*WORD, "2"), command(*WORD, "2", "--in-place")

    assert (refused.exit_code, "--in-place" in refused.stderr, taken.exit_code) == (Exit.REFUSED, True, Exit.OK)
    assert _sum(database) == 2_000_000


def test_where_nothing_says_which_wallet_pays_the_settings_must(
    command: Purser, elsewhere: pytest.MonkeyPatch
) -> None:
    _open(elsewhere, EmbeddedDatabase())

    result = command(*WORD, "2", "--in-place")

    assert (result.exit_code, "X402_PRIVATE_KEY" in result.stderr) == (Exit.SETUP, True)


@pytest.mark.parametrize(
    "words", [("--restored",), ("--spent-usd", "1"), ("--in-place",), ("--restored", "--spent-usd", "-1")]
)
def test_half_a_word_is_a_usage_error(command: Purser, restored: Database, words: tuple[str, ...]) -> None:
    assert command("init", *words).exit_code == Exit.USAGE
    assert _sum(restored) == 1_400_000


def test_without_a_database_there_is_none_that_was_restored(command: Purser) -> None:
    result = command(*WORD, "1")

    assert (result.exit_code, "MONGODB_URI is not set" in result.stderr) == (Exit.SETUP, True)
