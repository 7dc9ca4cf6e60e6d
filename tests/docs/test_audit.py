"""docs/audit.md: its Python, as printed and with nothing of ours, on exports of real runs."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.book.audit import observe, public_observation
from agent.book.models import Json, Run
from agent.store.runs import RunStore
from api._shapes import RunOut
from scripts.audit.export import Plain, PlainRun, export_lines
from scripts.client.api import Client
from scripts.client.shapes import Chain, read_plainly
from scripts.seed import seed
from scripts.serve.servers import ROOT, api_server, clean, vendor_server
from tests.agent.builders import NOW, a_run
from tests.api.client import Api, an_api
from tests.docs.audit_page import PAGE, PROGRAM, says_no, wrong
from tests.scripts.lies import closed_again


def purser(url: str, *arguments: str) -> str:
    """The command, typed by a user."""
    done = subprocess.run(
        [ROOT / "purser", *arguments], env=clean({"PURSER_URL": url}), capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the commands of the page left their files, of a run that failed over."""
    empty = tmp_path_factory.mktemp("audit")
    training = {"FAIL_VENDOR_ID": "gpu_vendor_1", "EPOCH_SECONDS": "0.02"}
    with vendor_server(empty, training) as vendors, api_server(empty, {"POLL_SECONDS": "0.05"}) as api:
        with Client(api.ready()) as client:
            seed(client, vendors.ready())
            run_id = client.start(
                {"userId": "u1", "goal": "Fine-tune <ünï> \U0001f980", "budgetTotal": 5}
            ).value.id
            client.tick(run_id)
        purser(api.url, "audit", "export", run_id, "-o", str(empty / "OLDER"))
        purser(api.url, "watch", run_id)
        names = {"RUN": run_id, **{name: str(empty / name) for name in ("FILE", "OLDER", "HEADS")}}
        typed = re.findall(r"^    \./purser (.+?)  +#", PAGE, re.MULTILINE)
        assert len(typed) == 9
        for words in typed:
            printed = purser(api.url, *(names.get(word, word) for word in words.split()))
            if "root" in words:
                assert printed.splitlines()[1] == hashlib.sha256((empty / "HEADS").read_bytes()).hexdigest()
        assert (empty / "FILE").read_text(encoding="ascii") == purser(api.url, "audit", "export", run_id)
        assert not list(Path(empty).glob("*.part"))
        yield empty


@pytest.fixture(scope="module")
def exported(evidence: Path) -> list[str]:
    """The lines of the run's export."""
    return (evidence / "FILE").read_text(encoding="ascii").splitlines()


@pytest.fixture(scope="module")
def older(evidence: Path) -> list[str]:
    """The lines of its export after the first tick."""
    return (evidence / "OLDER").read_text(encoding="ascii").splitlines()


def kinds(lines: list[str]) -> list[str]:
    """What each line after the header holds."""
    return [next(iter(json.loads(line))) for line in lines[1:]]


def test_the_program_of_the_page_needs_nothing() -> None:
    """What a stranger can read before he runs it."""
    imported = set(re.findall(r"^(?:import|from) (\w+)", PROGRAM, re.MULTILINE))

    assert imported == {"hashlib", "json", "sys", "time"}
    assert len(PROGRAM.splitlines()) < 150


def test_the_program_of_the_page_is_run_as_the_page_says(evidence: Path, older: list[str], tmp_path: Path) -> None:
    """Saved and called with a file, and with a head that was kept; 0 if nothing is wrong, else why."""
    program, head = tmp_path / "check.py", json.loads(older[0])["head"]
    program.write_text(PROGRAM)
    torn = tmp_path / "torn.jsonl"
    torn.write_bytes((evidence / "FILE").read_bytes()[:-1])

    def check(*words: str) -> tuple[int, str]:
        done = subprocess.run([sys.executable, program, *words], capture_output=True, text=True, check=False)
        return done.returncode, done.stderr.strip()

    assert check(str(evidence / "FILE")) == (0, "")
    assert check(str(evidence / "FILE"), str(head["seq"]), head["hash"]) == (0, "")
    assert check(str(evidence / "FILE"), str(head["seq"] - 1), head["hash"]) == (
        1,
        "the trail is not the one that was kept",
    )
    assert check(str(torn))[0] == 1


def test_the_last_line_is_what_other_tools_say_of_the_others(exported: list[str]) -> None:
    """`head -n -1 FILE | sha256sum`."""
    text = "".join(f"{line}\n" for line in exported[:-1])

    assert json.loads(exported[-1]) == {"end": {"sha256": hashlib.sha256(text.encode()).hexdigest()}}


def test_an_export_has_header_trail_payments_and_jobs(exported: list[str]) -> None:
    """In this order, each line ASCII, and as many as the header says."""
    header, found = json.loads(exported[0]), kinds(exported)

    assert [*header] == ["format", "runId", "head", "payments", "jobs", "run"]
    assert found == ["observation"] * header["head"]["seq"] + ["payment"] * 2 + ["job"] * 2 + ["end"]
    assert (header["format"], header["payments"], header["jobs"]) == ("purser-audit/2", 2, 2)
    assert all(line.isascii() and line.isprintable() for line in exported)


def test_a_real_export_verifies(exported: list[str]) -> None:
    """With the Python of the page."""
    assert wrong(exported) is None


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_a_flipped_byte_of_the_trail_is_found(exported: list[str], data: st.DataObject) -> None:
    """Any byte of any observation's line: another line, or none that can be read."""
    length = kinds(exported).count("observation")
    number = data.draw(st.integers(1, length))
    line = exported[number]
    at, bit = data.draw(st.integers(0, len(line) - 1)), data.draw(st.integers(0, 6))
    other = f"{line[:at]}{chr(ord(line[at]) ^ (1 << bit))}{line[at + 1 :]}"
    lines = [*exported[:number], other, *exported[number + 1 :]]

    assert says_no(lines)
    assert says_no([*closed_again(lines)])


def test_a_dropped_observation_is_found_and_named(exported: list[str]) -> None:
    """First, last or in the middle; the last by the head."""
    length = kinds(exported).count("observation")
    for number in range(1, length + 1):
        said = wrong(closed_again(exported[:number] + exported[number + 1 :]))

        # the last one is missed by the head, in line 1
        expected = "line 1 is not what the trail tells" if number == length else f"observation {number} is"
        assert said is not None
        assert said.startswith(expected)


def test_two_swapped_observations_are_found_and_named(exported: list[str]) -> None:
    """Neighbours or not."""
    for one, other in ((1, 2), (3, 9), (5, 6)):
        lines = [*exported]
        lines[one], lines[other] = lines[other], lines[one]

        assert wrong(closed_again(lines)) == f"observation {one} is missing, or does not follow the one before it"


def test_a_changed_payment_is_found_and_its_line_named(exported: list[str]) -> None:
    """Its terms, and what became of it; by the last line, and by the trail. All fields: test_audit_export.py."""
    at = 1 + kinds(exported).index("payment")
    changed = json.loads(exported[at])
    changed["payment"]["payTo"] = "0x00"
    lines = [*exported[:at], json.dumps(changed, separators=(",", ":")), *exported[at + 1 :]]

    assert wrong(lines) == "the last line is not the hash of the lines before it"
    assert wrong(closed_again(lines)) == f"line {at + 1} is not what the trail tells"


def test_a_trail_written_anew_does_not_fit_what_was_kept(exported: list[str], older: list[str]) -> None:
    """Sound in itself; another hash where the kept header has one."""
    head = json.loads(older[0])["head"]
    other = [*exported]
    first = json.loads(other[1])
    first["observation"]["content"] = "Run started, they say"
    other[1] = json.dumps(first, separators=(",", ":"))
    other = closed_again(other, chained=True)

    assert (wrong(exported, head), wrong(other)) == (None, None)
    assert wrong(other, head) == "the trail is not the one that was kept"


def test_a_field_that_was_added_is_found(exported: list[str]) -> None:
    """An export hides nothing of an entry: what does not belong to it breaks its hash."""
    trail = [json.loads(line)["observation"] for line in exported if line.startswith('{"observation"')]
    trail[2]["note"] = "added"
    header = json.loads(exported[0])
    run = PlainRun.model_validate({"_id": header["runId"], "audit": header["head"], "reservations": {}})

    assert wrong([*export_lines(Plain(run=run, jobs=(), payments=()), trail)]) == "observation 3 was changed"


def test_what_an_export_holds_of_an_authorization_cannot_be_used() -> None:
    """An authorization that is out right now: its bytes and its signature stay in the store."""

    async def open_payment() -> tuple[str, str]:
        api = await an_api("gpu_vendor_1:drop_before_payment")
        run_id = (await api.started())["_id"]
        await api.post("/api/agent-tick", {"runId": run_id})
        run = (await api.stage.services.runs.page(1)).runs[0]
        (reservation,) = run.reservations.values()
        assert reservation.authorization is not None
        return "\n".join(await export_of(api, run)), reservation.authorization.header_value

    text, cheque = asyncio.run(open_payment())
    signature = json.loads(base64.b64decode(cheque))["payload"]["signature"]
    assert '"status":"pending"' in text
    assert '"authorized":true' in text
    for secret in (cheque, cheque[:40], signature, signature[2:66], "signature", "header"):
        assert secret not in text


async def export_of(api: Api, run: Run) -> list[str]:
    """The run's export, over the API's own JSON."""
    answer = await api.http.get("/api/agent-status", params={"runId": str(run.id), "limit": 500})
    assert answer.status_code == 200, answer.text
    return [*export_lines(read_plainly(Plain, answer.text), read_plainly(Chain, answer.text).observations)]


def started() -> Run:
    """A run whose trail has begun."""
    run = a_run()
    return observe(run, NOW, "run_started", "Run started", {"goal": run.goal, "budgetTotalUsd": "5"})


numbers = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
keys = text.filter(lambda key: not key.startswith("$") and "." not in key and "\0" not in key)
plain = st.none() | st.booleans() | numbers | text
values = st.recursive(plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3))
payloads = st.dictionaries(keys, values, max_size=3)


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    """One loop for all examples."""
    with asyncio.Runner() as made:
        yield made


@pytest.fixture(scope="module")
def api(runner: asyncio.Runner) -> Api:
    """An API to go through."""
    return runner.run(an_api())


@given(st.lists(st.tuples(text, payloads), min_size=1, max_size=3))
@settings(max_examples=100, deadline=None)
def test_whatever_json_an_observation_holds_a_stranger_gets_the_same_hash(
    runner: asyncio.Runner, api: Api, written: list[tuple[str, dict[str, Json]]]
) -> None:
    """Exponents, -0.0, 1.0, integers as BSON has them, controls, any script: store, API, export and back."""
    run = started()
    fixed: dict[str, Json] = {"zero": -0.0, "one": 1.0, "big": 1e22, "tiny": 5e-324, "crab": "\U0001f980"}
    run = observe(run, NOW, "job_log", "fixed", fixed)
    for content, data in written:
        run = observe(run, NOW, "job_log", content, data)

    async def through() -> list[str]:
        await RunStore(api.stage.database).create(run)
        return await export_of(api, run)

    assert wrong(runner.run(through())) is None


@given(st.integers(-(10**77), 10**77))
def test_integers_of_any_size_are_exported_as_they_are_hashed(number: int) -> None:
    """No store of ours holds more than 64 bits, and another one's export may."""
    run = observe(started(), NOW, "job_log", "", {"n": number})
    shown = [public_observation(entry) for entry in run.outbox.observations]
    text = json.dumps({"observations": shown, "page": {"lastSeq": 2, "total": 2}})
    records = Plain(
        run=PlainRun.model_validate_json(RunOut.of(run).model_dump_json(by_alias=True)), jobs=(), payments=()
    )

    assert wrong([*export_lines(records, read_plainly(Chain, text).observations)]) is None


def test_text_with_half_a_surrogate_pair_never_enters_the_trail() -> None:
    """It has no UTF-8 and so no hash: it is refused where it would be written."""
    with pytest.raises(ValueError, match="surrogates"):
        observe(a_run(), NOW, "job_log", "\ud800")
