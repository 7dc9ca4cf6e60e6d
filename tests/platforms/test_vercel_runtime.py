"""The function in Vercel's own Python runtime: what its cron and its users get."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import httpx
from pymongo import MongoClient

from scripts.seed import catalog
from scripts.serve.servers import vendor_server
from tests.platforms.shipped import CONFIGURED, CRON_SECRET, ROUNDS, SECRETS, needs_runtimes
from tests.platforms.vercel import VercelFunction
from tests.scripts.lambda_events import TOKEN
from tests.wire.given import needs_server

pytestmark = needs_runtimes


@needs_server
def test_a_run_is_ticked_to_its_end_by_the_cron(tmp_path: Path, store: dict[str, str]) -> None:
    """Started by a user with the token, ticked with the cron's secret, paid at vendors that cash."""
    (tmp_path / "function").mkdir()
    as_user, as_cron = ({"Authorization": f"Bearer {secret}"} for secret in (TOKEN, CRON_SECRET))
    with (
        vendor_server(tmp_path, {"EPOCH_SECONDS": "0.02"}) as vendors,
        VercelFunction(tmp_path / "function", {**CONFIGURED, **store}) as function,
    ):
        for vendor in catalog(vendors.ready()):
            assert function.http.post("/api/vendors", json=vendor, headers=as_user).status_code == 201
        order = {"userId": "u1", "goal": "Fine-tune tiny-llm", "budgetTotal": 5}
        run_id = function.http.post("/api/agent-start", json=order, headers=as_user).json()["_id"]
        seen: dict[str, Any] = {"run": {"status": "running"}}
        for _ in range(ROUNDS):
            assert function.http.get("/api/cron-tick", headers=as_cron).status_code == 200
            seen = function.http.get("/api/agent-status", params={"runId": run_id}, headers=as_user).json()
            if seen["run"]["status"] != "running":
                break
        assert function.http.get("/api/cron-tick", headers=as_user).status_code == 401
        said = _logged(function)

    assert (seen["run"]["status"], len(seen["payments"])) == ("completed", 1)
    with MongoClient[dict[str, Any]](store["MONGODB_URI"]) as client:
        assert client[store["MONGODB_DB_NAME"]].runs.count_documents({"status": "completed"}) == 1
    assert '"path": "/api/cron-tick"' in said
    assert not [name for name, secret in SECRETS.items() if secret in said]


def test_a_function_that_nobody_configured_serves_nobody(tmp_path: Path) -> None:
    """Requests reach it from this machine, where the runtime is: it must not take them for local ones."""
    with VercelFunction(tmp_path, {}) as function:
        forwarded = function.http.get("/api/runs")
        bare = httpx.get(f"{function.http.base_url}/api/runs", trust_env=False)
        health = function.http.get("/api/health")

    for answer in (forwarded, bare, health):
        assert (answer.status_code, answer.json()["code"]) == (503, "not_configured")
        assert "strict-transport-security" in answer.headers
        for name in ("MONGODB_URI", "X402_PRIVATE_KEY", "GPU_VENDOR_SECRET", "API_TOKEN", "CRON_SECRET"):
            assert name in answer.json()["detail"]


def _logged(function: VercelFunction) -> str:
    """The log up to the end of the last request, as the platform gets it."""
    function.http.get("/api/health", headers={"X-Vercel-Internal-Invocation-Id": "last"})
    text = []
    for message in function.messages():
        payload = message["payload"]
        if message["type"] == "log":
            text.append(base64.b64decode(payload["message"]).decode())
        if message["type"] == "end" and payload["context"]["invocationId"] == "last":
            return "".join(text)
    raise AssertionError("unreachable: messages end with an error")
