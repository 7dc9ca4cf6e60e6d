"""Vendors' tokens from the command: out of a file or stdin, into the registry, and never on the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import JsonValue
from typer.testing import CliRunner, Result

from scripts.cli.tree import command_line
from scripts.exits import Exit
from tests.scripts.conftest import Purser
from tests.scripts.standin import Answer, standing_in

SECRET = "the-token-of-v8-0123456789"
ADD = ("vendors", "add", "v8", "--endpoint", "https://v8.example", "--price", "2.5", "--gpu", "H100", "--json")


@pytest.fixture
def piped(purser: Purser) -> Callable[..., Result]:
    """`purser` with something on its stdin."""

    def call(text: str, *arguments: str) -> Result:
        return CliRunner().invoke(command_line(*arguments[:1]), arguments, input=text, prog_name="purser")

    return call


def test_a_token_from_stdin_or_a_file_is_sealed(
    purser: Purser, piped: Callable[..., Result], tmp_path: Path
) -> None:
    """It is in no output; the end of its line is not part of it."""
    added = piped(SECRET + "\n", *ADD, "--secret-file", "-")
    assert (added.exit_code, json.loads(added.stdout)["sealed"]) == (Exit.OK, True), added.stderr
    named = purser("vendors", "update", "v8", "--secret-ref", "GPU_VENDOR_SECRET_EU", "--json")
    assert json.loads(named.stdout)["secretRef"] == "GPU_VENDOR_SECRET_EU"
    (tmp_path / "token").write_text(SECRET + "\r\n")
    (tmp_path / "token").chmod(0o644)
    loose = purser("vendors", "update", "v8", "--secret-file", "token", "--json")
    assert (loose.exit_code, "chmod 600" in loose.stderr, SECRET in loose.output) == (Exit.USAGE, True, False)
    (tmp_path / "token").chmod(0o600)
    changed = purser("vendors", "update", "v8", "--secret-file", "token", "--json")
    assert (json.loads(changed.stdout)["sealed"], json.loads(changed.stdout)["secretRef"]) == (True, None)

    done = purser("vendors", "reseal")
    assert (done.exit_code, done.stdout) == (Exit.OK, "sealed 0 anew, 1 were up to date\n")
    assert json.loads(purser("vendors", "reseal", "--json").stdout) == {"resealed": 0, "current": 1, "failed": []}
    for result in (added, named, changed, purser("vendors", "list", "--json"), purser("vendors", "list")):
        assert SECRET not in result.output
    assert purser("vendors", "remove", "v8").exit_code == Exit.OK


@pytest.mark.parametrize("text", ["", "\n", "two words", SECRET + "\n\n", "x" * 4_097, "x" * 100_000, "naïve"])
def test_what_is_no_token_is_not_sent(piped: Callable[..., Result], text: str) -> None:
    """And not repeated either."""
    refused = piped(text, *ADD, "--secret-file", "-")
    assert refused.exit_code == Exit.USAGE
    assert "must hold 1 to 4096 visible ASCII characters" in " ".join(refused.stderr.replace("│", " ").split())
    assert SECRET not in refused.output


def test_a_file_that_is_not_there_is_named(purser: Purser, tmp_path: Path) -> None:
    """So is one that is no text."""
    (tmp_path / "bytes").touch(0o600)
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    for name, why in (("nowhere", "No such file"), ("bytes", "it is not text"), (".", "Is a directory")):
        refused = purser(*ADD, "--secret-file", name)
        assert (refused.exit_code, why in refused.stderr) == (Exit.USAGE, True)


def test_a_secret_that_stays_as_it_is_fails_the_rotation(command: Purser, elsewhere: pytest.MonkeyPatch) -> None:
    """With the vendor and the reason, so that a script notices and a person knows what to do."""
    reason = "it was sealed with key 00, which SEALING_KEYS does not hold"
    failed: list[JsonValue] = [{"vendorId": "v9", "reason": reason}]
    answer = Answer(200, {"resealed": 2, "current": 1, "failed": failed})
    with standing_in(answer, answer) as server:
        elsewhere.setenv("PURSER_URL", server.url)
        done = command("vendors", "reseal")
        for_programs = command("vendors", "reseal", "--json")
    assert (done.exit_code, for_programs.exit_code) == (Exit.FAILED, Exit.FAILED)
    assert done.stdout.splitlines() == [
        "sealed 2 anew, 1 were up to date",
        f"v9 stays as it is: {reason}",
    ]
    assert json.loads(for_programs.stdout)["failed"] == failed
