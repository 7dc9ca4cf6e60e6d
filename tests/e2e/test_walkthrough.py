"""The walkthrough of the README, typed with curl: server and vendors are processes, all goes over sockets."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest
from pydantic import JsonValue

from gpu_vendor_mock.settings import LOCAL_SECRET
from scripts.client.api import Client
from scripts.seed import seed
from scripts.serve.servers import api_server, vendor_server
from tests.wire.given import drop, fresh_name, needs_server, server_uri

MOST_TICKS = 500
"""A run of the walkthrough takes far fewer, however fast they follow each other."""

Json = dict[str, JsonValue]


@dataclass(frozen=True)
class Place:
    """Where the two servers are."""

    api: str
    vendors: str

    def post(self, path: str, body: Json) -> tuple[int, str]:
        """Status and text of a POST, the way a user types it."""
        return _send(f"{self.api}{path}", json.dumps(body))

    def get(self, path: str) -> tuple[int, str]:
        """Status and text of a GET."""
        return _send(f"{self.api}{path}", None)

    def status(self, run_id: str) -> Json:
        """The run with all that belongs to it."""
        code, text = self.get(f"/api/agent-status?runId={run_id}&limit=500")
        assert code == 200
        return read(text)


def _send(url: str, body: str | None) -> tuple[int, str]:
    if shutil.which("curl") is None:
        with httpx.Client(trust_env=False, timeout=30) as http:
            headers = {"content-type": "application/json"}
            answer = http.get(url) if body is None else http.post(url, content=body, headers=headers)
            return answer.status_code, answer.text
    posting = [] if body is None else ["-X", "POST", "-H", "Content-Type: application/json", "-d", body]
    command = ["curl", "-sS", "--noproxy", "*", "--max-time", "30", "-w", "\n%{http_code}", *posting, url]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    text, _, code = done.stdout.rpartition("\n")
    return int(code), text


def read(text: str) -> Json:
    """The JSON object in an answer."""
    value = json.loads(text)
    assert isinstance(value, dict)
    return value


def dig(value: JsonValue, *path: str | int) -> JsonValue:
    """The value at `path`."""
    for step in path:
        if isinstance(step, str):
            assert isinstance(value, dict)
            value = value[step]
        else:
            assert isinstance(value, list)
            value = value[step]
    return value


def each(value: JsonValue, key: str) -> list[JsonValue]:
    """One field of every element of a list."""
    assert isinstance(value, list)
    return [dig(element, key) for element in value]


@pytest.fixture(scope="module")
def server_settings() -> Iterator[dict[str, str]]:
    """A database of our own on the server, gone afterwards."""
    name = fresh_name()
    yield {"MONGODB_URI": server_uri(), "MONGODB_DB_NAME": name}
    drop(name)


@pytest.fixture(scope="module", params=["embedded", pytest.param("server", marks=needs_server)])
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Both servers, the vendors seeded, gpu_vendor_1 set to fail; on the embedded store and on a real server."""
    empty = tmp_path_factory.mktemp("walkthrough")
    training = {"FAIL_VENDOR_ID": "gpu_vendor_1", "EPOCH_SECONDS": "0.05"}
    store = request.getfixturevalue("server_settings") if request.param == "server" else {}
    with vendor_server(empty, training) as vendors, api_server(empty, {"POLL_SECONDS": "0.05", **store}) as api:
        with Client(api.ready()) as client:
            seed(client, vendors.ready())
        yield Place(api.url, vendors.url)


def test_the_walkthrough_and_on_to_the_end_of_the_run(place: Place) -> None:
    """Start, tick and status answer in the promised shapes; the run then fails over and completes."""
    order: Json = {"userId": "u1", "goal": "Fine-tune tiny-llm", "budgetTotal": 5}
    code, text = place.post("/api/agent-start", order)
    run = read(text)
    run_id = str(run["_id"])

    assert code == 201
    assert re.fullmatch(r"[0-9a-f]{24}", run_id)
    assert (run["userId"], run["goal"], run["status"]) == ("u1", "Fine-tune tiny-llm", "running")
    assert '"budgetTotal":5,"budgetRemaining":5,' in text

    code, text = place.post("/api/agent-tick", {"runId": run_id})
    ticked = read(text)
    action = ticked["action"]

    assert (code, ticked["message"]) == (200, "Job started")
    assert isinstance(action, dict)
    assert isinstance(action.pop("reason"), str)
    assert action == {"action": "start_job", "vendorId": "gpu_vendor_1", "maxHours": 1}
    assert '"action":{"action":"start_job","vendorId":"gpu_vendor_1","maxHours":1,"reason":"' in text
    assert dig(ticked, "run", "_id") == run_id

    code, text = place.get(f"/api/agent-status?runId={run_id}")
    status = read(text)

    assert code == 200
    assert {"run", "jobs", "payments", "observations"} <= status.keys()
    assert dig(status, "run", "status") == "running"
    assert '"budgetRemaining":3.6,' in text
    assert each(status["jobs"], "vendorId") == ["gpu_vendor_1"]
    assert each(status["payments"], "amount") == [1.4]
    assert re.fullmatch(r"0x[0-9a-f]{64}", str(dig(status, "payments", 0, "x402TxId")))

    _tick_to_the_end(place, run_id)
    _check_the_end(place, run_id)


def _tick_to_the_end(place: Place, run_id: str) -> None:
    """A tick may come early: then it only looks. So nothing has to be waited for."""
    for _ in range(MOST_TICKS):
        code, text = place.post("/api/agent-tick", {"runId": run_id})
        assert code == 200, text
        run = read(text)["run"]
        if dig(run, "status") != "running":
            return
        assert dig(run, "nextTickAt") is not None
    raise AssertionError(f"the run has not ended after {MOST_TICKS} ticks")


def _check_the_end(place: Place, run_id: str) -> None:
    status = place.status(run_id)
    run, jobs, payments = status["run"], status["jobs"], status["payments"]

    books = ("budgetTotal", "budgetRemaining", "budgetReserved", "budgetSpent")
    assert [dig(run, name) for name in ("status", "phase", *books)] == ["completed", "success", 5, 1.8, 0, 3.2]
    assert (each(jobs, "vendorId"), each(jobs, "status")) == (
        ["gpu_vendor_1", "gpu_vendor_2"],
        ["failed", "completed"],
    )
    assert str(dig(jobs, 1, "artifactUrl")).startswith("https://")
    assert (each(payments, "amount"), each(payments, "status")) == ([1.4, 1.8], ["completed"] * 2)
    assert each(status["observations"], "seq") == list(range(1, len(each(status["observations"], "seq")) + 1))
    reasoned = [entry for entry in _entries(status) if entry["type"] == "agent_reasoning"]
    assert [dig(entry["data"], "action", "vendorId") for entry in reasoned] == ["gpu_vendor_1", "gpu_vendor_2"]

    journal = httpx.get(
        f"{place.vendors}/journal", headers={"authorization": f"Bearer {LOCAL_SECRET}"}, trust_env=False
    ).json()
    assert each(journal["settlements"], "transaction") == each(payments, "x402TxId")
    assert each(journal["jobs"], "vendorJobId") == each(jobs, "vendorJobId")


def _entries(status: Json) -> list[Json]:
    found = status["observations"]
    assert isinstance(found, list)
    return [entry for entry in found if isinstance(entry, dict)]


def test_a_finished_run_stays_as_it_is(place: Place) -> None:
    """Tick on a finished run: 200, says so, does nothing."""
    order: Json = {"userId": "u1", "goal": "too dear", "budgetTotal": 0.000001}
    run_id = str(read(place.post("/api/agent-start", order)[1])["_id"])
    _tick_to_the_end(place, run_id)
    before = place.status(run_id)

    code, text = place.post("/api/agent-tick", {"runId": run_id})

    assert (code, dig(before, "run", "status")) == (200, "failed")
    assert "nothing left to do" in str(read(text)["message"])
    assert place.status(run_id) == before
