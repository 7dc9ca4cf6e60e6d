"""The audit as users type it, on a server whose store somebody has tampered with."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import JsonValue

from agent.book.audit import digest
from scripts.client.api import Client
from scripts.exits import Exit
from scripts.seed import seed
from scripts.serve.servers import ServerProcess, clean, vendor_server
from tests.scripts.conftest import Purser
from tests.scripts.samples import observation_json, run_json, status_json
from tests.scripts.standin import Answer, standing_in


@pytest.fixture(scope="module")
def broken_into(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An API with a door to its store, and vendors that train fast."""
    empty = tmp_path_factory.mktemp("tampered")
    training = {"EPOCH_SECONDS": "0.02"}
    command = ["uvicorn", "tests.scripts.tamperable:app", "--port", "0", "--no-access-log"]
    server = ServerProcess("tampered API", command, "/api/health", empty, clean({"POLL_SECONDS": "0.05"}))
    with vendor_server(empty, training) as vendors, server as api:
        with Client(api.ready()) as client:
            seed(client, vendors.ready())
        yield api.url


@dataclass
class Burglar:
    """A run that has ended, and somebody who can write to the store."""

    url: str
    run: str
    answer: dict[str, Any]

    def change(self, collection: str, key: str, **fields: Any) -> None:
        """Set fields of a document."""
        self._post(collection, key, {"set": fields})

    def entry(self, number: int, **fields: Any) -> None:
        """Set fields of an observation."""
        self.change("observations", self._key(number), **fields)

    def drop(self, number: int) -> None:
        """Delete an observation."""
        self._post("observations", self._key(number), {})

    def drop_run(self) -> None:
        """Delete the run."""
        self._post("runs", self.run, {})

    def shown(self, number: int) -> dict[str, Any]:
        """The observation as it was."""
        found: dict[str, Any] = self.answer["observations"][number - 1]
        return found

    @property
    def length(self) -> int:
        """How many observations there were."""
        return len(self.answer["observations"])

    def payment(self, index: int) -> str:
        """The id of a payment, which is its job's."""
        return str(self.answer["payments"][index]["_id"])

    def _key(self, number: int) -> str:
        return f"{self.run}:{number:010d}"

    def _post(self, collection: str, key: str, change: dict[str, Any]) -> None:
        httpx.post(f"{self.url}/tamper/{collection}/{key}", json=change, trust_env=False).raise_for_status()


@pytest.fixture
def typed(broken_into: str, command: Purser, elsewhere: pytest.MonkeyPatch) -> Purser:
    """`purser` on that server."""
    elsewhere.setenv("PURSER_URL", broken_into)
    return command


def a_run(typed: Purser) -> str:
    """The id of a new run."""
    result = typed("start", "Fine-tune tiny-llm", "--budget", "5", "--vendor", "gpu_vendor_1", "--json")
    return str(json.loads(result.stdout)["_id"])


@pytest.fixture
def burglar(broken_into: str, typed: Purser) -> Burglar:
    """At a run of his own."""
    run = a_run(typed)
    answer = json.loads(typed("watch", run, "--json").stdout)
    assert typed("audit", "verify", run).exit_code == Exit.OK
    return Burglar(broken_into, run, answer)


def swap(at: Burglar) -> None:
    one, other = at.shown(3), at.shown(4)
    fields = ("type", "content", "data", "prevHash", "hash")
    at.entry(3, **{field: other[field] for field in fields})
    at.entry(4, **{field: one[field] for field in fields})


def rewrite(at: Burglar) -> None:
    previous = at.shown(4)["hash"]
    for number in range(5, at.length + 1):
        entry = {**at.shown(number), "prevHash": previous}
        entry["content"] += "!" if number == 5 else ""
        previous = digest(entry)
        at.entry(number, content=entry["content"], prevHash=entry["prevHash"], hash=previous)


BREAK_INS: dict[str, tuple[Callable[[Burglar], None], str]] = {
    "content": (lambda at: at.entry(4, content="reserved 1.5 USD for gpu_vendor_1"), "observation 4 was changed"),
    "type": (lambda at: at.entry(2, type="error"), "observation 2 was changed"),
    "data": (lambda at: at.entry(4, **{"data.amountUsd": "1.5"}), "observation 4 was changed"),
    "hash": (lambda at: at.entry(4, hash="0" * 64), "observation 4: its hash was changed"),
    "prevHash": (lambda at: at.entry(4, prevHash="0" * 64), "observation 4: its prevHash was changed"),
    "seq": (lambda at: at.entry(4, seq=7), "observation 4 is missing"),
    "first dropped": (lambda at: at.drop(1), "observation 1 is missing"),
    "middle dropped": (lambda at: at.drop(5), "observation 5 is missing"),
    "last dropped": (lambda at: at.drop(at.length), "observation {length} is missing"),
    "two swapped": (swap, "observation 3 was changed"),
    "written anew": (rewrite, "observation {length} is not the one that the run names as its newest"),
    "head": (lambda at: at.change("runs", at.run, **{"audit.seq": 9}), "observation 9 is not the one"),
    "amount": (
        lambda at: at.change("payments", at.payment(0), amount=1_500_000),
        "(settled): amountUsd is '1.4', that of payment {payment} is '1.5'",
    ),
    "payee": (
        lambda at: at.change("payments", at.payment(0), payTo="0x" + "00" * 20),
        "that of payment {payment} is '0x0000",
    ),
    "a job's vendor": (
        lambda at: at.change("jobs", at.payment(0), vendorId="gpu_vendor_2"),
        "payment {payment}: vendorId is gpu_vendor_1, its job's is gpu_vendor_2",
    ),
    "budget": (
        lambda at: at.change("runs", at.run, budgetTotal=6_000_000, budgetRemaining=4_600_000),
        "observation 1 (run_started): budgetTotalUsd is '5', the run's budgetTotal is '6'",
    ),
    "spent": (
        lambda at: at.change("runs", at.run, budgetSpent=1_000_000, budgetRemaining=4_000_000),
        "the run's budgetSpent is 1 USD, the trail adds up to 1.4 USD",
    ),
    "not readable": (
        lambda at: at.change("payments", at.payment(0), status="complftfd"),
        "the server cannot show it",
    ),
}


@pytest.mark.parametrize("name", BREAK_INS)
def test_what_was_done_to_the_store_is_found_and_named(typed: Purser, burglar: Burglar, name: str) -> None:
    """Exit 1, one line for the run, the finding beneath; the same in JSON."""
    tamper, finding = BREAK_INS[name]
    tamper(burglar)
    expected = finding.format(length=burglar.length, payment=burglar.payment(0))

    result = typed("audit", "verify", burglar.run)
    told = json.loads(typed("audit", "verify", burglar.run, "--json").stdout)

    assert result.exit_code == Exit.FAILED
    assert result.stdout.splitlines()[0] == f"Audit of run {burglar.run}: does NOT verify"
    assert any(line.startswith("  WRONG: ") and expected in line for line in result.stdout.splitlines()), (
        result.stdout
    )
    assert (told["verified"], any(expected in fault for fault in told["faults"])) == (False, True)


def test_all_runs_are_checked_and_what_two_share_is_named(typed: Purser, burglar: Burglar) -> None:
    """A line for each run; a nonce that serves payments of two runs names both; the others hold."""
    other = a_run(typed)
    shown = json.loads(typed("watch", other, "--json").stdout)
    untouched = a_run(typed)
    nonce = burglar.answer["payments"][0]["nonce"]
    burglar.change("payments", shown["payments"][0]["_id"], nonce=nonce)

    result = typed("audit", "verify", "--all")
    told = {
        each["runId"]: each
        for each in map(json.loads, typed("audit", "verify", "--all", "--json").stdout.splitlines())
    }

    assert result.exit_code == Exit.FAILED
    assert f"Audit of run {untouched}: verified (1 observation, 0 payments, 0 jobs" in result.stdout
    assert re.search(r"^\d+ runs checked, \d+ with findings$", result.stdout.splitlines()[-1])
    # newest first: the payment of the older run is the one that comes second
    shared = f"payment {burglar.payment(0)} of run {burglar.run}: nonce {nonce} is that of payment"
    assert any(f.startswith(shared) and other in f for f in told[burglar.run]["faults"])
    assert any("(authorized): nonce is" in fault for fault in told[other]["faults"])
    assert told[untouched]["verified"] is True


def test_a_run_that_cannot_be_read_is_not_left_out(typed: Purser, burglar: Burglar) -> None:
    """All runs are all: one that was made unreadable is a finding, not one less."""
    burglar.change("runs", burglar.run, budgetTotal="much")

    result = typed("audit", "verify", "--all")

    assert result.exit_code == Exit.FAILED
    assert f"Audit of run {burglar.run}: does NOT verify" in result.stdout
    assert burglar.run in typed("runs", "--limit", "100").stdout


def rewrite_all(at: Burglar) -> None:
    """As `rewrite`, and the run names the new end: all of it is sound."""
    rewrite(at)
    answer = httpx.get(
        f"{at.url}/api/agent-status", params={"runId": at.run, "limit": 500}, trust_env=False
    ).json()
    at.change("runs", at.run, **{"audit.hash": answer["observations"][-1]["hash"]})


def test_a_history_that_was_rewritten_with_its_run_is_found_by_what_was_kept(
    typed: Purser, burglar: Burglar, tmp_path: Path
) -> None:
    """The run alone verifies; against an export, or against heads whose root was kept elsewhere, it does not."""
    assert typed("audit", "export", burglar.run, "-o", "OLDER").exit_code == Exit.OK
    root = json.loads(typed("audit", "root", "-o", "HEADS", "--json").stdout)
    untouched = [("verify", burglar.run, "--against", "OLDER"), ("verify", burglar.run, "--against", "HEADS")]
    assert [typed("audit", *words).exit_code for words in untouched] == [Exit.OK, Exit.OK]
    rewrite_all(burglar)

    assert typed("audit", "verify", burglar.run).exit_code == Exit.OK
    found = typed("audit", "verify", burglar.run, "--against", "OLDER")
    by_head = typed("audit", "verify", burglar.run, "--against", "HEADS")
    assert (found.exit_code, by_head.exit_code) == (Exit.FAILED, Exit.FAILED)
    since = "the history from there on was rewritten"
    assert f"WRONG: observation 5 is another than in OLDER: {since}" in found.stdout
    assert f"WRONG: observation {burglar.length} is another than in HEADS: {since}" in by_head.stdout
    assert hashlib.sha256((tmp_path / "HEADS").read_bytes()).hexdigest() == root["root"]
    assert json.loads(typed("audit", "root", "--json").stdout)["root"] != root["root"]

    assert typed("audit", "export", burglar.run, "-o", "FILE").exit_code == Exit.OK
    assert typed("audit", "verify", "FILE").exit_code == Exit.OK
    of_file = typed("audit", "verify", "FILE", "--against", "OLDER", "--json")
    assert of_file.exit_code == Exit.FAILED
    assert json.loads(of_file.stdout)["faults"] == [f"observation 5 is another than in OLDER: {since}"]


def test_a_run_that_was_removed_is_missed_by_the_heads(typed: Purser, burglar: Burglar) -> None:
    """Whole: nothing of it is left but what was kept. A run that is new is none the worse for it."""
    typed("audit", "root", "-o", "HEADS")  # other tests have left runs there that cannot be read
    burglar.drop_run()
    new = a_run(typed)

    result = typed("audit", "verify", "--all", "--against", "HEADS", "--json")
    told = {each["runId"]: each for each in map(json.loads, result.stdout.splitlines())}

    assert result.exit_code == Exit.FAILED
    assert told[burglar.run]["faults"] == [f"it is gone: HEADS has it with {burglar.length} observations"]
    assert told[new]["verified"] is True


def test_the_root_is_over_all_heads_in_the_order_of_their_ids(
    command: Purser, elsewhere: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Page by page; the definition of docs/audit.md. One that cannot be read is a finding: its head is not in."""
    runs: dict[str, dict[str, JsonValue]] = {
        letter * 24: {"seq": number, "hash": letter * 64} for number, letter in enumerate("cab", start=9)
    }
    pages: list[JsonValue] = [
        {"runs": [run_json(_id=run_id, audit=head)], "unreadable": [], "nextCursor": run_id}
        for run_id, head in runs.items()
    ]
    last: JsonValue = {"runs": [], "unreadable": ["d" * 24], "nextCursor": None}
    with standing_in(*(Answer(200, page) for page in [*pages, last, *pages, last])) as server:
        elsewhere.setenv("PURSER_URL", server.url)
        told = command("audit", "root", "-o", "HEADS", "--json")
        shown = command("audit", "root")

    text = "".join(f"{letter * 24} {runs[letter * 24]['seq']} {letter * 64}\n" for letter in "abc")
    root = hashlib.sha256(text.encode()).hexdigest()
    assert (tmp_path / "HEADS").read_text() == text
    said = json.loads(told.stdout)
    assert (said["root"], said["runs"], said["unreadable"]) == (root, 3, ["d" * 24])
    lines = shown.stdout.splitlines()
    assert re.fullmatch(r"Root of 3 runs at \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", lines[0])
    assert lines[1:] == [root, f"  WRONG: run {'d' * 24} cannot be read: its head is left out"]
    assert max(map(len, lines)) <= 80
    assert (told.exit_code, shown.exit_code) == (Exit.FAILED, Exit.FAILED)


def test_a_file_needs_no_server(typed: Purser, burglar: Burglar, elsewhere: pytest.MonkeyPatch) -> None:
    """It is verified where nothing answers; changed, it is named by its run."""
    assert typed("audit", "export", burglar.run, "-o", "run.jsonl").exit_code == Exit.OK
    elsewhere.setenv("PURSER_URL", "http://127.0.0.1:1")
    held = typed("audit", "verify", "run.jsonl")
    file = Path("run.jsonl")
    file.write_text(file.read_text().replace('"budgetTotal":5,', '"budgetTotal":6,'))
    found, told = typed("audit", "verify", "run.jsonl"), typed("audit", "verify", "run.jsonl", "--json")

    assert (held.exit_code, found.exit_code, told.exit_code) == (Exit.OK, Exit.FAILED, Exit.FAILED)
    assert held.stdout.startswith(
        f"Audit of run {burglar.run}: verified ({burglar.length} observations, 1 payment"
    )
    assert found.stdout.startswith(f"Audit of run {burglar.run}: does NOT verify\n")
    assert "budgetTotalUsd is '5', the run's budgetTotal is '6'" in found.stdout
    assert "the last line is not the hash of the lines before it" in json.loads(told.stdout)["faults"][-1]


def test_what_is_no_export_is_named_by_its_file(command: Purser, tmp_path: Path) -> None:
    """Exit 1: something was looked at, and it does not hold. An export of before says what to do."""
    (tmp_path / "old.jsonl").write_text('{"format":"purser-audit/1"}\n')
    result = command("audit", "verify", "old.jsonl")

    assert result.exit_code == Exit.FAILED
    assert result.stdout.startswith("Audit of old.jsonl: does NOT verify\n  WRONG: its format is purser-audit/1")
    assert result.stdout.endswith("export the run again\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "name one RUN or FILE, or --all"),
        (("a" * 24, "--all"), "name one RUN or FILE, or --all"),
        (("nowhere.jsonl",), "nowhere.jsonl is neither a run's id (24 hex digits) nor a file"),
        (("A" * 24,), "is neither a run's id"),
        ((".",), "nor a file that can be read"),
        (("a" * 24, "--against", "nowhere"), "nowhere is nothing to compare with: No such file"),
        (("a" * 24, "--against", "nonsense"), "nonsense is nothing to compare with: line 1 is no head"),
        (("a" * 24, "--against", "heads"), f"heads says nothing of run {'a' * 24}"),
        (("--all", "--against", "."), "is nothing to compare with"),
    ],
)
def test_what_cannot_be_meant_is_a_usage_error(
    command: Purser, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    """Exit 2, before anything is asked: nothing was checked, and nothing is said to hold."""
    (tmp_path / "nonsense").write_text("nonsense\n")
    (tmp_path / "heads").write_text(f"{'b' * 24} 1 {'c' * 64}\n")
    result = command("audit", "verify", *arguments)

    assert result.exit_code == Exit.USAGE
    assert said in re.sub(r"[\s│]+", " ", result.stderr)


def test_a_run_that_the_server_fails_over_is_a_finding(command: Purser, elsewhere: pytest.MonkeyPatch) -> None:
    """The others are checked all the same."""
    fault: JsonValue = {"status": 500, "code": "internal_error", "detail": "a fault"}
    listed: JsonValue = {"runs": [run_json()], "unreadable": ["b" * 24], "nextCursor": None}
    with standing_in(Answer(200, listed), Answer(500, fault)) as server:
        elsewhere.setenv("PURSER_URL", server.url)
        result = command("audit", "verify", "--all")

    assert result.exit_code == Exit.FAILED
    assert result.stdout.count("does NOT verify") == 2
    assert result.stdout.endswith("2 runs checked, 2 with findings\n")


def test_no_server_is_no_finding(command: Purser, elsewhere: pytest.MonkeyPatch) -> None:
    """Exit 3, never 1: nothing was checked."""
    elsewhere.setenv("PURSER_URL", "http://127.0.0.1:1")

    for arguments in (("verify", "a" * 24), ("verify", "--all"), ("export", "a" * 24), ("root",)):
        assert command("audit", *arguments).exit_code == Exit.UNREACHABLE


def test_a_server_that_is_short_of_its_store_is_no_finding(command: Purser, elsewhere: pytest.MonkeyPatch) -> None:
    """Exit 4: what could not be looked at is not said to be wrong."""
    with standing_in(Answer(503, {"status": 503, "code": "store_unavailable", "detail": "away"})) as server:
        elsewhere.setenv("PURSER_URL", server.url)

        assert command("audit", "verify", "a" * 24).exit_code == Exit.REFUSED


def test_an_export_appears_whole_or_not_at_all(
    command: Purser, elsewhere: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A connection that breaks leaves what was there before; a place that cannot be written is a usage error."""
    page = status_json(
        observation_json(1, "quote"), run=run_json(status="completed", audit={"seq": 9, "hash": ""})
    )
    (tmp_path / "run.jsonl").write_text("before")
    answers = (Answer(200, page), Answer(200, page), Answer(200, page, cut=True))
    with standing_in(*answers) as server:
        elsewhere.setenv("PURSER_URL", server.url)
        result = command("audit", "export", "a" * 24, "-o", "run.jsonl")

    assert result.exit_code == Exit.UNREACHABLE
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("run.jsonl", "before")]
    with standing_in(Answer(200, page)) as server:
        elsewhere.setenv("PURSER_URL", server.url)
        assert command("audit", "export", "a" * 24, "-o", "no/such/place").exit_code == Exit.USAGE


def test_an_export_is_its_owners_and_no_link_is_followed(
    command: Purser, elsewhere: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Neither one that lies under its name nor one under a name that it might have before it is whole."""
    page = status_json(run=run_json(status="completed", audit={"seq": 0, "hash": ""}))
    (tmp_path / "of-others").write_text("before")
    for name in ("run.jsonl", "run.jsonl.part"):
        (tmp_path / name).symlink_to(tmp_path / "of-others")
    with standing_in(Answer(200, page)) as server:
        elsewhere.setenv("PURSER_URL", server.url)
        done = command("audit", "export", "a" * 24, "-o", "run.jsonl")
    os.mkfifo(tmp_path / "pipe")
    with standing_in(Answer(200, page)) as server:
        elsewhere.setenv("PURSER_URL", server.url)
        assert command("audit", "export", "a" * 24, "-o", "pipe").exit_code == Exit.USAGE

    assert done.exit_code == Exit.OK, done.output
    assert (tmp_path / "of-others").read_text() == "before"
    assert (tmp_path / "run.jsonl").lstat().st_mode == stat.S_IFREG | 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["of-others", "pipe", "run.jsonl", "run.jsonl.part"]
