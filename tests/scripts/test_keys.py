"""`purser keys` on a real server: a key is made, shown once, used by the command itself, and revoked."""

from __future__ import annotations

import json

import pytest
from pydantic import JsonValue

from scripts.exits import Exit
from tests.scripts.conftest import Purser
from tests.scripts.samples import HOSTILE
from tests.scripts.standin import Answer, standing_in


def made(purser: Purser, *more: str) -> dict[str, str]:
    """A new key of u1."""
    result = purser("keys", "create", "--user", "u1", "--name", "of a test", "--json", *more)
    assert result.exit_code == Exit.OK, result.stderr
    key: dict[str, str] = json.loads(result.stdout)
    return key


def test_a_key_from_its_making_to_its_end(purser: Purser, elsewhere: pytest.MonkeyPatch) -> None:
    """The command sends it in place of the operator's token, and is stopped where it ends."""
    key = made(purser, "--scope", "run")
    assert purser("start", "goal", "--budget", "1").exit_code == Exit.OK  # the operator, for another user

    with pytest.MonkeyPatch.context() as holder:
        holder.setenv("API_TOKEN", key["token"])
        run = json.loads(purser("start", "goal", "--budget", "1", "--user", "u1", "--json").stdout)
        listed = json.loads(purser("runs", "--json").stdout)["runs"]
        other = purser("start", "goal", "--budget", "1", "--user", "u2")
        admin = purser("keys", "list")
    assert run["keyId"] == key["_id"]
    assert {each["userId"] for each in listed} == {"u1"}
    assert (other.exit_code, "forbidden" in other.stderr) == (Exit.REFUSED, True)
    assert (admin.exit_code, "lacks the scope admin" in admin.stderr) == (Exit.REFUSED, True)

    assert purser("keys", "revoke", key["_id"]).stdout == f"revoked {key['_id']}\n"
    assert json.loads(purser("keys", "revoke", key["_id"], "--json").stdout) == {"keyId": key["_id"]}
    found = {each["_id"]: each for each in json.loads(purser("keys", "list", "--json").stdout)["keys"]}
    assert found[key["_id"]]["revokedAt"] is not None


def test_options_reach_the_server(purser: Purser) -> None:
    """Each is its field of the API; dollars to the micro-dollar."""
    key = made(
        purser,
        *("--scope", "read", "--scope", "admin", "--max-per-day", "10.000001", "--max-total", "99"),
        *("--requests-per-minute", "7", "--expires", "2099-01-01T00:00:00Z"),
    )

    wanted = {"userId": "u1", "name": "of a test", "scopes": ["read", "admin"], "maxPerDay": 10.000001}
    wanted |= {"maxTotal": 99, "requestsPerMinute": 7, "expiresAt": "2099-01-01T00:00:00.000Z"}
    assert key | wanted == key


def test_for_people_a_key_is_shown_once(purser: Purser) -> None:
    """With its token when it is made, without it in the list."""
    shown = purser("keys", "create", "--user", "u9", "--name", "night", "--max-total", "5").stdout
    (token,) = [line for line in shown.splitlines() if line.startswith("purser_")]
    listed = purser("keys", "list", "--limit", "100").stdout

    assert "shown once" in shown
    assert token[7:19] in listed
    assert token[-43:] not in listed
    assert "night" in listed
    assert "5 USD" in listed


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("revoke", "aaaaaaaaaaaa"), Exit.NOT_FOUND),
        (("revoke", "junk"), Exit.REFUSED),
        (("create", "--user", "a b", "--name", "x"), Exit.REFUSED),
        (("create", "--user", "u1", "--name", "x", "--scope", "root"), Exit.REFUSED),
        (("create", "--user", "u1", "--name", "x", "--max-total", "0"), Exit.USAGE),
        (("create", "--user", "u1"), Exit.USAGE),
        (("list", "--limit", "0"), Exit.USAGE),
    ],
)
def test_what_cannot_be_done_has_its_exit_code(purser: Purser, arguments: tuple[str, ...], code: Exit) -> None:
    assert purser("keys", *arguments).exit_code == code


def test_hostile_text_in_a_key_does_nothing(command: Purser, elsewhere: pytest.MonkeyPatch) -> None:
    """A name is somebody's text."""
    key: dict[str, JsonValue] = {
        "_id": "aaaaaaaaaaaa",
        "userId": HOSTILE,
        "name": HOSTILE,
        "scopes": [HOSTILE],
        "maxPerDay": 1,
    }
    key |= {"maxTotal": None, "requestsPerMinute": 1, "createdAt": "2026-11-21T08:00:00Z", "revokedAt": None}
    key |= {"expiresAt": "2026-11-22T08:00:00Z"}
    with standing_in(Answer(200, {"keys": [key], "nextCursor": "1-aaaaaaaaaaaa"})) as server:
        elsewhere.setenv("PURSER_URL", server.url)
        shown = command("keys", "list")

    assert shown.exit_code == Exit.OK
    assert all(char.isprintable() or char == "\n" for char in shown.output)
    assert "purser keys list --cursor 1-aaaaaaaaaaaa" in shown.output


def test_without_keys_the_list_says_how_to_make_one(command: Purser, elsewhere: pytest.MonkeyPatch) -> None:
    with standing_in(Answer(200, {"keys": [], "nextCursor": None})) as server:
        elsewhere.setenv("PURSER_URL", server.url)

        assert "purser keys create" in command("keys", "list").stdout
