"""The command on a real server: what it prints and what it exits with."""

from __future__ import annotations

import json
import re
from typing import NoReturn

import pytest
from pydantic import JsonValue
from typer.testing import CliRunner

from agent.book.errors import StoreUnavailable
from agent.book.models import INDEXES
from agent.store.embedded import EmbeddedDatabase
from scripts.cli.tree import command_line
from scripts.exits import MEANINGS, Exit
from scripts.serve.servers import ROOT
from tests.scripts.conftest import Purser
from tests.scripts.samples import AT, HOSTILE, RUN_ID, observation_json, run_json, status_json
from tests.scripts.standin import Answer, standing_in

UNKNOWN = "0" * 24


def started(purser: Purser, *more: str) -> str:
    """The id of a new run of 5 dollars."""
    result = purser("start", "Fine-tune tiny-llm", "--budget", "5", "--json", *more)
    assert result.exit_code == Exit.OK, result.stderr
    return str(json.loads(result.stdout)["_id"])


def test_a_run_from_start_to_audit(purser: Purser) -> None:
    """Start, watch, status, audit: the way a user goes."""
    start = purser("start", "Fine-tune tiny-llm", "--budget", "5")
    found = re.search(r"purser watch ([0-9a-f]{24})", start.stdout)
    assert found is not None
    run = found[1]

    watch = purser("watch", run)
    assert (watch.exit_code, watch.stderr) == (Exit.OK, "")
    assert "failure  Job at gpu_vendor_1 failed" in watch.stdout
    assert "switch  from gpu_vendor_1 to gpu_vendor_2" in watch.stdout
    assert "total 5 USD = remaining 1.8 USD + spent 3.2 USD" in watch.stdout

    status = purser("status", run, "--limit", "2")
    assert status.exit_code == Exit.OK
    assert "completed, tick" in status.stdout
    assert "Audit trail (the last 2 of" in status.stdout

    audit = purser("audit", "verify", run)
    assert (audit.exit_code, "verified" in audit.stdout) == (Exit.OK, True)
    assert run in purser("runs", "--status", "completed", "--limit", "100").stdout
    assert "there is nothing left to do" in purser("tick", run).stdout


def test_json_is_the_apis_and_nothing_else(purser: Purser) -> None:
    """Each command prints one JSON value, whatever happens meanwhile."""
    run = started(purser)
    ticked = json.loads(purser("tick", run, "--json").stdout)
    assert (ticked["message"], ticked["action"]["vendorId"]) == ("Job started", "gpu_vendor_1")

    watched = json.loads(purser("watch", run, "--json").stdout)
    assert watched["run"]["status"] == "completed"
    assert json.loads(purser("status", run, "--json", "--limit", "100").stdout) == watched
    assert json.loads(purser("runs", "--json", "--limit", "1").stdout)["nextCursor"] is not None
    verdict = json.loads(purser("audit", "verify", run, "--json").stdout)
    assert verdict == {
        "runId": run,
        "verified": True,
        "observations": watched["page"]["total"],
        "payments": 2,
        "jobs": 2,
        "faults": [],
    }


def test_a_cancelled_run_is_what_was_asked_for_and_no_success_of_its_own(purser: Purser) -> None:
    """`cancel` did its work; `watch` and `tick` say that the run did not."""
    run = started(purser)

    cancelled = purser("cancel", run)
    assert (cancelled.exit_code, "cancelled" in cancelled.stdout) == (Exit.OK, True)
    assert json.loads(purser("cancel", run, "--json").stdout)["run"]["status"] == "cancelled"
    assert purser("watch", run).exit_code == Exit.FAILED
    assert purser("watch", run, "--json").exit_code == Exit.FAILED
    assert purser("tick", run).exit_code == Exit.FAILED


def test_a_run_that_nothing_fits_fails(purser: Purser) -> None:
    """Exit 1, and the planner's reason on the screen."""
    result = purser("tick", started(purser, "--max-hours", "700"))

    assert result.exit_code == Exit.FAILED
    assert "planner_abort" in result.stdout


def test_constraints_reach_the_server(purser: Purser) -> None:
    """Each option is its field of the API."""
    options = (
        *("--user", "u7", "--gpu-type", "A100", "--job-type", "train", "--max-hours", "1.5"),
        *("--max-price-per-hour", "2.000001", "--vendor", "a", "--vendor", "b"),
        *("--deadline", "2099-01-01T00:00:00Z", "--price-tolerance", "0.1"),
    )
    result = purser("start", "g", "--budget", "0.000001", "--json", *options)
    run = json.loads(result.stdout)

    assert (run["userId"], run["budgetTotal"]) == ("u7", 0.000001)
    assert run["constraints"] == {
        "gpuType": "A100",
        "jobType": "train",
        "maxHours": 1.5,
        "maxPricePerHour": 2.000001,
        "vendorIds": ["a", "b"],
        "deadline": "2099-01-01T00:00:00.000Z",
        "priceTolerance": 0.1,
    }


def test_the_same_idempotency_key_starts_one_run(purser: Purser) -> None:
    """A script may repeat a start that it got no answer to; another order under the same key is refused."""
    assert started(purser, "--idempotency-key", "k1") == started(purser, "--idempotency-key", "k1")

    other = purser("start", "Something else", "--budget", "5", "--idempotency-key", "k1")
    assert (other.exit_code, "idempotency_conflict" in other.stderr) == (Exit.REFUSED, True)


def test_the_registry_of_vendors(purser: Purser) -> None:
    """Add, list, update, remove; a taken id and an unknown one are refused."""
    add = ("vendors", "add", "v7", "--endpoint", "https://v7.example", "--price", "2.5", "--gpu", "H100")
    assert purser(*add, "--reliability", "0.5").stdout == "added v7\n"
    assert purser(*add).exit_code == Exit.REFUSED
    assert purser("vendors", "update", "v7", "--price", "3").stdout == "changed v7\n"
    listed = json.loads(purser("vendors", "list", "--json").stdout)["vendors"]
    assert [(v["basePricePerHour"], v["reliabilityScore"]) for v in listed if v["vendorId"] == "v7"] == [(3, 0.5)]
    assert "https://v7.example" in purser("vendors", "list").stdout
    assert json.loads(purser("vendors", "remove", "v7", "--json").stdout) == {"vendorId": "v7"}
    assert purser("vendors", "remove", "v7").exit_code == Exit.NOT_FOUND
    assert purser("vendors", "update", "v7").exit_code == Exit.USAGE


def test_seeding_again_changes_nothing(purser: Purser) -> None:
    """What a user has changed on a seeded vendor stays."""
    before = purser("vendors", "list", "--json").stdout

    assert purser("vendors", "seed", "--endpoint", "http://127.0.0.1:9", "--json").stdout == before
    assert "gpu_vendor_2" in purser("vendors", "seed").stdout


@pytest.mark.parametrize(
    "arguments",
    [("tick",), ("status",), ("watch",), ("cancel",), ("audit", "verify"), ("audit", "export")],
    ids=" ".join,
)
def test_an_unknown_run_is_not_found(purser: Purser, arguments: tuple[str, ...]) -> None:
    """Exit 5; with --json the problem as the server sent it, on stderr."""
    result = purser(*arguments, UNKNOWN, "--json")

    assert (result.exit_code, result.stdout) == (Exit.NOT_FOUND, "")
    assert json.loads(result.stderr)["code"] == "run_not_found"


def test_a_refusal_names_code_detail_and_field(purser: Purser) -> None:
    """Exit 4, and what to correct, said once."""
    result = purser("start", " ", "--budget", "5")

    assert (result.exit_code, result.stdout) == (Exit.REFUSED, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith("refused invalid_request: goal: ")


def test_a_wrong_token_is_refused_and_not_shown(purser: Purser, elsewhere: pytest.MonkeyPatch) -> None:
    """Exit 4, where the token came from, and no token in the message."""
    elsewhere.setenv("API_TOKEN", "wr0ng")
    result = purser("runs")

    assert result.stderr.splitlines()[-1].strip().startswith("this command sends API_TOKEN")

    assert (result.exit_code, "unauthorized" in result.stderr) == (Exit.REFUSED, True)
    assert "wr0ng" not in result.output


@pytest.mark.parametrize("budget", ["0", "-1", "NaN", "five", "1e400", "0.0000001", ""])
def test_a_budget_that_is_none_is_a_usage_error(command: Purser, budget: str) -> None:
    """Refused before anything is sent."""
    result = command("start", "goal", f"--budget={budget}")

    assert result.exit_code == Exit.USAGE
    assert "--budget" in result.stderr


@pytest.mark.parametrize(
    "arguments", [("nonsense",), ("start",), ("status",), ("status", RUN_ID, "--limit", "0"), ("runs", "--no")]
)
def test_a_command_line_that_makes_no_sense_is_a_usage_error(command: Purser, arguments: tuple[str, ...]) -> None:
    """Exit 2, with what was expected."""
    result = command(*arguments)

    assert (result.exit_code, "Usage: purser" in result.stderr) == (Exit.USAGE, True)


def test_no_server_is_unreachable(command: Purser, elsewhere: pytest.MonkeyPatch) -> None:
    """Exit 3, with what to do; as JSON for scripts."""
    elsewhere.setenv("PURSER_URL", "http://127.0.0.1:1")

    assert (command("runs").exit_code, "make dev" in command("runs").stderr) == (Exit.UNREACHABLE, True)
    assert json.loads(command("runs", "--json").stderr)["code"] == "unreachable"


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        ("runs", "PURSER_URL", "nowhere"),
        ("init", "PLANNER_MODE", "clever"),
        ("init", "X402_PRIVATE_KEY", "s3cret"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(
    command: Purser, elsewhere: pytest.MonkeyPatch, line: str, name: str, value: str
) -> None:
    """Exit 7, and the value is not repeated."""
    elsewhere.setenv(name, value)
    result = command(line)

    assert (result.exit_code, name in result.stderr) == (Exit.SETUP, True)
    assert value not in result.stderr


def test_a_busy_run_is_told_apart(command: Purser, elsewhere: pytest.MonkeyPatch) -> None:
    """Exit 6: nothing is wrong, try again."""
    busy: JsonValue = {"status": 409, "code": "run_busy", "detail": "run is being ticked; try again in 3 s"}
    with standing_in(Answer(409, busy)) as server:
        elsewhere.setenv("PURSER_URL", server.url)

        assert command("tick", RUN_ID).exit_code == Exit.BUSY


def test_a_trail_that_was_tampered_with_does_not_verify(command: Purser, elsewhere: pytest.MonkeyPatch) -> None:
    """Exit 1, with every fault."""
    page = status_json(observation_json(1, "quote"), run=run_json(audit={"seq": 2, "hash": "00"}), total=1)
    with standing_in(*[Answer(200, page)] * 8) as server:
        elsewhere.setenv("PURSER_URL", server.url)
        shown, told = command("audit", "verify", RUN_ID), command("audit", "verify", RUN_ID, "--json")

    assert (shown.exit_code, told.exit_code) == (Exit.FAILED, Exit.FAILED)
    assert "does NOT verify" in shown.stdout
    assert json.loads(told.stdout)["verified"] is False


def test_hostile_text_of_a_server_is_shown_and_does_nothing(
    command: Purser, elsewhere: pytest.MonkeyPatch
) -> None:
    """From the socket to the screen: no control character arrives."""
    told = status_json(observation_json(1, "job_log", HOSTILE), run=run_json(goal=HOSTILE, status="completed"))
    refusal: JsonValue = {"status": 422, "code": HOSTILE, "detail": HOSTILE}
    with standing_in(Answer(200, told), Answer(200, told), Answer(422, refusal)) as server:
        elsewhere.setenv("PURSER_URL", server.url)
        output = command("status", RUN_ID).output + command("watch", RUN_ID).output + command("runs").output

    assert all(char.isprintable() or char == "\n" for char in output)
    assert output.count("[bold red]markup[/bold red]") >= 3


def test_ctrl_c_ends_a_command_quietly(command: Purser, elsewhere: pytest.MonkeyPatch) -> None:
    """Exit 130 and no traceback."""

    def interrupted() -> None:
        raise KeyboardInterrupt

    elsewhere.setattr("agent.process.environment.environment", interrupted)
    result = command("runs")

    assert (result.exit_code, result.output) == (Exit.INTERRUPTED, "")


def test_init_without_a_database_says_so(command: Purser) -> None:
    """The embedded store needs no indexes: nothing to do is no failure."""
    result = command("init")

    assert result.exit_code == Exit.OK
    assert "MONGODB_URI is not set" in result.stdout
    assert json.loads(command("init", "--json").stdout) == {"database": None, "indexes": {}, "restored": None}


def test_init_makes_the_indexes(command: Purser, elsewhere: pytest.MonkeyPatch) -> None:
    """All that are declared, and the database is closed afterwards."""
    database = EmbeddedDatabase()
    elsewhere.setenv("MONGODB_URI", "mongodb://stand-in")
    elsewhere.setattr("agent.store.open_database", lambda settings: database)

    assert command("init").stdout == "indexes are in place in database purser\n"
    assert json.loads(command("init", "--json").stdout)["indexes"]["runs"] == len(INDEXES["runs"])


class Away(EmbeddedDatabase):
    """A database that does not answer."""

    def collection(self, name: str) -> NoReturn:
        raise StoreUnavailable("the database did not answer as it should; nothing is lost, try again")


def test_init_on_a_database_that_is_away_is_unreachable(command: Purser, elsewhere: pytest.MonkeyPatch) -> None:
    """Exit 3; user and password of the URI are not shown."""
    elsewhere.setenv("MONGODB_URI", "mongodb://us3r:passw0rd@127.0.0.1:1/")
    elsewhere.setattr("agent.store.open_database", lambda settings: Away())
    result = command("init")

    assert (result.exit_code, result.stdout) == (Exit.UNREACHABLE, "")
    assert "did not answer" in result.stderr
    assert "passw0rd" not in result.stderr


def test_parked_runs_are_listed_with_their_reason(command: Purser, monkeypatch: pytest.MonkeyPatch) -> None:
    """And told apart from a list that can be paged and narrowed."""
    stumble: JsonValue = {"code": "unreadable", "message": HOSTILE, "times": 12, "at": AT, "until": AT}
    parked: JsonValue = {"runs": [{"_id": RUN_ID, "userId": "u1", "status": "running", "stumble": stumble}]}
    with standing_in(Answer(200, parked), Answer(200, parked), Answer(200, {"runs": []})) as server:
        monkeypatch.setenv("PURSER_URL", server.url)
        shown = command("runs", "--parked", "--user", "u1", "--limit", "5").stdout
        assert json.loads(command("runs", "--parked", "--json").stdout) == parked
        assert command("runs", "--parked").stdout == "no runs are parked\n"

    assert server.asked[0].target == "/api/parked-runs?userId=u1&limit=5"
    assert RUN_ID in shown
    assert "unreadable: " in shown
    assert "\x1b]" not in shown
    assert command("runs", "--parked", "--status", "failed").exit_code == Exit.USAGE


def test_help_and_documentation_name_every_exit_code(command: Purser) -> None:
    """One list: the code, `--help` and docs/cli.md say the same."""
    document = (ROOT / "docs" / "cli.md").read_text()
    shown = command("--help").stdout

    assert set(MEANINGS) == set(Exit)
    assert "6  the outcome is unknown: the same command sends" in command("pay", "--help").stdout
    for code, meaning in MEANINGS.items():
        assert f"{code.value:>3}  {meaning}\n" in shown
        assert f"| {code.value} | {meaning} |\n" in document


def test_a_command_that_is_built_alone_is_the_one_among_all(command: Purser) -> None:
    """What is left out to start fast is what its first argument does not name."""
    listed = command("--help").stdout.split("Commands:\n")[1].split("\n\n")[0]
    names = [line.split()[0] for line in listed.splitlines()]

    assert {"status", "pay", "worker", "vendors", "x402"} <= set(names)
    for name in names:
        among_all = CliRunner().invoke(command_line(), [name, "--help"], prog_name="purser").stdout
        assert among_all.startswith(f"Usage: purser {name} ")
        assert command(name, "--help").stdout == among_all


def test_a_command_that_is_none_is_told_what_it_may_mean(command: Purser) -> None:
    """Of all commands and groups."""
    assert "Did you mean 'vendors'?" in command("vendor").stderr
    assert "'status'" in command("sta").stderr


def test_every_command_takes_json(command: Purser) -> None:
    """Scripts can rely on it."""
    groups = {
        "vendors": ["list", "add", "update", "remove", "reseal", "seed"],
        "audit": ["verify", "export", "root"],
    }
    groups |= {"keys": ["create", "list", "revoke"]}
    plain = ["start", "tick", "watch", "status", "cancel", "runs", "init", "demo", "dev", "serve", "worker"]

    for words in [[name] for name in plain] + [[group, name] for group in groups for name in groups[group]]:
        assert "--json" in command(*words, "--help").stdout, words
