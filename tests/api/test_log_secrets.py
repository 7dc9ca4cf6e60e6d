"""No secret that these tests know is in any line of a log, whoever logs it and however loudly."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from bson import ObjectId

from agent.book.errors import StoreUnavailable
from agent.process import logs
from agent.process.settings import Settings
from agent.store import open_database
from scripts.client.api import Client
from scripts.seed import seed
from scripts.serve.servers import ServerProcess, clean, vendor_server
from tests.agent.stage import KEY
from tests.api.client import Api, an_api

MONGO_PASSWORD = "hunter2-of-mongo"
MONGODB_URI = f"mongodb://purser:{MONGO_PASSWORD}@127.0.0.1:1/?serverSelectionTimeoutMS=50"
FAULTS = ("", "gpu_vendor_1:drop_before_payment", "gpu_vendor_1:reject_payment", "gpu_vendor_1:fail_at_epoch=1")
SECRETS = {
    "api_token": "token-of-the-operator",
    "cron_secret": "secret-of-the-cron",
    "gpu_vendor_secret": "mock-vendor-secret",
    "fireworks_api_key": "fw_key-of-fireworks",
    "nonce_secret": "secret-of-nonces-that-is-long-enough",
    "x402_private_key": KEY,
    "sealing_keys": base64.b64encode(b"sealing key of 32 bytes, no less").decode(),
}
API_KEY = "purser_7Gx2abcd_Zm9vYmFyYmF6cXV4cXV1eA"


class Lines(logging.Handler):
    """What goes out, line by line, and what came in."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []
        self.raw: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """One more."""
        self.said.append(record.getMessage())


class Raw(logging.Handler):
    """What would be in the log without the redaction."""

    def __init__(self, lines: Lines) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        """Formatted as logging does, with its traceback."""
        self._lines.raw.append(self.format(record))


@pytest.fixture
def lines() -> Iterator[Lines]:
    """All of it, from everybody, from DEBUG."""
    root, lines = logging.getLogger(), Lines()
    level, handlers = root.level, [logs.Rendering(lines), Raw(lines)]
    root.setLevel(logging.DEBUG)
    for handler in handlers:
        root.addHandler(handler)
    yield lines
    root.setLevel(level)
    for handler in handlers:
        root.removeHandler(handler)


def planted(authorizations: list[str]) -> list[str]:
    """Every secret of a run: what the settings hold, and what was signed, as it is and within its header."""
    inside = [str(json.loads(base64.b64decode(each))["payload"]["signature"]) for each in authorizations]
    return [*SECRETS.values(), API_KEY, MONGO_PASSWORD, *authorizations, *inside]


async def run_to_its_end(faults: str) -> tuple[Api, list[str]]:
    """With vendors that fail like this; the payment headers that were signed, logged as the driver would."""
    api, signed = await an_api(faults, **SECRETS), []
    bearer = {"Authorization": f"Bearer {SECRETS['api_token']}"}
    body = {"userId": "u1", "goal": f"train with {API_KEY}", "budgetTotal": 5}
    run_id = (await api.post("/api/agent-start", body, **bearer)).json()["_id"]
    while (await api.post("/api/agent-tick", {"runId": run_id}, **bearer)).json()["run"]["nextTickAt"]:
        run = await api.stage.services.runs.get(ObjectId(run_id))
        signed += [each.authorization.header_value for each in run.reservations.values() if each.authorization]
        logging.getLogger("pymongo.command").debug("Command started %s", run.model_dump())
        api.stage.clock.pass_(15)
    return api, signed


async def test_in_no_line_of_whole_runs(lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs that go well, that lose answers, that end in faults; and a fault of ours that quotes every secret."""
    logs.keep_out(*Settings.model_validate({**SECRETS, "mongodb_uri": MONGODB_URI}).secrets)
    ended = [await run_to_its_end(faults) for faults in FAULTS]
    api, signed = ended[-1][0], [header for _, headers in ended for header in headers]
    assert signed
    secrets = planted(signed)

    async def broken() -> None:
        raise RuntimeError(" and ".join(secrets))

    monkeypatch.setattr(api.stage.database, "ping", broken)
    await api.http.get("/api/runs", headers={"X-Request-Id": API_KEY, "Authorization": f"Bearer {API_KEY}"})
    answer = await api.http.get("/api/health")

    assert answer.status_code == 500
    assert any("RuntimeError" in line and "Traceback" in line for line in lines.said)
    missing = [secret for secret in secrets if not any(secret in raw for raw in lines.raw)]
    assert missing == [], "a secret that nobody logged proves nothing"
    assert [secret for secret in secrets if any(secret in line for line in lines.said)] == []
    assert [secret for secret in secrets if secret in answer.text] == []
    assert all(json.loads(line)["event"] for line in lines.said)
    ticks = [json.loads(line) for line in lines.said if '"ticked: ' in line]
    assert ticks
    assert all(tick["runId"] and tick["requestId"] for tick in ticks)


async def test_in_no_line_of_a_database_that_is_away(lines: Lines) -> None:
    """The driver at its most talkative, and the error with its traceback."""
    database = open_database(Settings.model_validate({"mongodb_uri": MONGODB_URI}))
    try:
        await database.ping()
    except StoreUnavailable:
        logging.getLogger("agent").exception("away: %s", MONGODB_URI)
    await database.close()

    assert any('"logger": "pymongo' in line for line in lines.said)
    assert any(MONGO_PASSWORD in raw for raw in lines.raw)
    assert not any(MONGO_PASSWORD in line for line in lines.said)


def test_in_no_line_of_a_server_of_its_own(tmp_path: Path) -> None:
    """uvicorn at trace level, httpx and httpcore at debug, real sockets, settings from the environment."""
    said: list[str] = []
    environment = {name.upper(): value for name, value in SECRETS.items()} | {
        "POLL_SECONDS": "0.05",
        "LOOPBACK_VENDORS": "allow",
    }
    server = ServerProcess("API", ["tests.api.loud"], "/api/health", tmp_path, clean(environment), said.append)
    with vendor_server(tmp_path, {"EPOCH_SECONDS": "0.05"}) as vendors, server as api:
        with Client(api.ready(), SECRETS["api_token"]) as client:
            seed(client, vendors.ready())
            run = client.start({"userId": "u1", "goal": f"train with {API_KEY}", "budgetTotal": 5}).value
            while client.tick(run.id).value.run.next_tick_at:
                pass
        httpx.get(
            f"{api.url}/api/runs?key={API_KEY}", headers={"Authorization": f"Bearer {API_KEY}"}, trust_env=False
        )

    loggers = {json.loads(line)["logger"].partition(".")[0] for line in said if line.startswith("{")}
    assert {"agent", "api", "httpcore", "httpx", "uvicorn"} <= loggers
    text = "".join(said)
    assert [secret for secret in (*SECRETS.values(), API_KEY) if secret in text] == []
    assert '"signature' not in text.replace('"signature": "[redacted]"', "")
