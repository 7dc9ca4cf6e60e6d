"""docs/audit.md: its Python, as printed and with nothing of ours, on exports of real runs."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.audit import observe, public_observation
from agent.models import Json, Run
from agent.store.runs import RunStore
from scripts.audit.export import Plain, PlainRun, export_lines
from scripts.client.api import Client
from scripts.client.shapes import Chain, read_plainly
from scripts.seed import seed
from scripts.servers import ROOT, api_server, clean, vendor_server
from tests.agent.builders import NOW, a_run
from tests.api.client import Api, an_api

PAGE = (ROOT / "docs/audit.md").read_text()
SNIPPETS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
NAMES: dict[str, Any] = {}
exec("\n".join(SNIPPETS), NAMES)  # noqa: S102  (it is our own page)

wrong: Callable[[list[str]], str | None] = NAMES["wrong"]
kept: Callable[[dict[str, Any], list[str]], bool] = NAMES["kept"]


def purser(url: str, *arguments: str) -> str:
    """The command, typed by a user."""
    done = subprocess.run(
        [ROOT / "purser", *arguments], env=clean({"PURSER_URL": url}), capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """An export of a run that failed over, made by the commands of the page; the run's first export is kept."""
    empty = tmp_path_factory.mktemp("audit")
    training = {"FAIL_VENDOR_ID": "gpu_vendor_1", "EPOCH_SECONDS": "0.02"}
    with vendor_server(empty, training) as vendors, api_server(empty, {"POLL_SECONDS": "0.05"}) as api:
        with Client(api.ready()) as client:
            seed(client, vendors.ready())
            run_id = client.start(
                {"userId": "u1", "goal": "Fine-tune <ünï> \U0001f980", "budgetTotal": 5}
            ).value.id
            client.tick(run_id)
        early = purser(api.url, "audit", "export", run_id).splitlines()
        assert wrong(early) is None
        purser(api.url, "watch", run_id)
        for typed in re.findall(r"^    \./purser (.+?)  +#", PAGE, re.MULTILINE):
            words = [{"RUN": run_id, "FILE": str(empty / "run.jsonl")}.get(word, word) for word in typed.split()]
            purser(api.url, *words)
        written = (empty / "run.jsonl").read_text(encoding="ascii")
        assert written == purser(api.url, "audit", "export", run_id)
        lines = written.splitlines()
        assert kept(json.loads(early[0]), lines)
        assert not list(Path(empty).glob("*.part"))
        yield lines


def kinds(lines: list[str]) -> list[str]:
    """What each line after the header holds."""
    return [next(iter(json.loads(line))) for line in lines[1:]]


def test_the_python_of_the_page_is_short_and_needs_nothing() -> None:
    """What a stranger can read before he runs it."""
    first = SNIPPETS[0]

    assert set(re.findall(r"import (\w+)", first)) == {"hashlib", "json"}
    assert len([line for line in first.splitlines() if line and not line.startswith(("import", "def"))]) <= 21


def test_an_export_has_header_trail_payments_and_jobs(exported: list[str]) -> None:
    """In this order, each line ASCII, and as many as the header says."""
    header, found = json.loads(exported[0]), kinds(exported)

    assert [*header] == ["format", "runId", "head", "payments", "jobs", "run"]
    assert found == ["observation"] * header["head"]["seq"] + ["payment"] * 2 + ["job"] * 2
    assert (header["format"], header["payments"], header["jobs"]) == ("purser-audit/1", 2, 2)
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

    assert found(lines)


def found(lines: list[str]) -> bool:
    """Something is wrong with them, so much perhaps that they cannot be read."""
    try:
        return wrong(lines) is not None
    except (ValueError, KeyError, TypeError, AttributeError):
        return True


def test_a_dropped_observation_is_found_and_named(exported: list[str]) -> None:
    """First, last or in the middle; the last by the head."""
    length = kinds(exported).count("observation")
    for number in range(1, length + 1):
        said = wrong(exported[:number] + exported[number + 1 :])

        expected = "the trail does not end where the run says" if number == length else f"observation {number} is"
        assert said is not None
        assert said.startswith(expected)


def test_two_swapped_observations_are_found_and_named(exported: list[str]) -> None:
    """Neighbours or not."""
    for one, other in ((1, 2), (3, 9), (5, 6)):
        lines = [*exported]
        lines[one], lines[other] = lines[other], lines[one]

        assert wrong(lines) == f"observation {one} is missing, or does not follow the one before it"


@pytest.mark.parametrize(
    ("field", "value"),
    [("amount", 1.5), ("payTo", "0x00"), ("nonce", "0x00"), ("jobId", "0"), ("x402TxId", "0x00")],
)
def test_a_changed_payment_is_found(exported: list[str], field: str, value: object) -> None:
    """Its terms, and what became of it."""
    at = 1 + kinds(exported).index("payment")
    changed = json.loads(exported[at])
    changed["payment"][field] = value
    line = json.dumps(changed, separators=(",", ":"))

    assert str(wrong([*exported[:at], line, *exported[at + 1 :]])).startswith("the payments are not")
    assert str(wrong([*exported[:at], *exported[at + 1 :]])).startswith("the payments are not")


def test_a_trail_written_anew_does_not_fit_what_was_kept(exported: list[str]) -> None:
    """Sound in itself; another hash where the kept header has one."""
    header = json.loads(exported[0])
    other = [*exported]
    last = json.loads(other[header["head"]["seq"]])
    last["observation"]["hash"] = "0" * 64
    other[header["head"]["seq"]] = json.dumps(last)

    assert kept(header, exported)
    assert not kept(header, other)


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
    run = a_run()
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
    run = observe(a_run(), NOW, "job_log", "", {"n": number})
    (entry,) = run.outbox.observations
    text = json.dumps({"observations": [public_observation(entry)], "page": {"lastSeq": 1, "total": 1}})
    shown = PlainRun.model_validate(
        {"_id": str(run.id), "audit": {"seq": 1, "hash": entry.hash}, "reservations": {}}
    )
    records = Plain(run=shown, jobs=(), payments=())

    assert wrong([*export_lines(records, read_plainly(Chain, text).observations)]) is None


def test_text_with_half_a_surrogate_pair_never_enters_the_trail() -> None:
    """It has no UTF-8 and so no hash: it is refused where it would be written."""
    with pytest.raises(ValueError, match="surrogates"):
        observe(a_run(), NOW, "job_log", "\ud800")
