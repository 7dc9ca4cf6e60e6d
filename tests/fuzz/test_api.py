"""The API holds to its own description, whatever is sent: no fault of ours, no answer that is not described.

All of schemathesis' checks, through ASGI. `make fuzz-api` sends more.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from schemathesis import Case

from tests.api.client import an_api
from tests.fuzz.aiming import Known, aim, unsent
from tests.fuzz.target import SCHEMA, TARGET

FUZZ = settings(
    max_examples=TARGET.per_operation,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


SEALING_KEY = base64.b64encode(bytes(range(32))).decode()


@pytest.fixture
def known() -> Iterator[Known]:
    """A fresh API with a run, two vendors, a token that may do everything, and a user's key."""

    async def made() -> Known:
        api = await an_api(
            api_token="token-of-the-operator", cron_secret="secret-of-the-cron", sealing_keys=SEALING_KEY
        )
        bearer = {"Authorization": "Bearer token-of-the-operator"}
        key = await api.post("/api/keys", {"userId": "u1", "name": "k", "requestsPerMinute": 100_000}, **bearer)
        run = await api.post("/api/agent-start", {"userId": "u1", "goal": "g", "budgetTotal": 5}, **bearer)
        TARGET.app = api.app
        return Known(
            run.json()["_id"], "gpu_vendor_1", "token-of-the-operator", key.json()["token"], "secret-of-the-cron"
        )

    before = TARGET.app
    yield asyncio.run(made())
    TARGET.app = before


@SCHEMA.parametrize()
@FUZZ
def test_with_a_token(case: Case[Any], known: Known) -> None:
    """Let in, and sent everything from a good order to garbage."""
    if unsent(case):
        return
    TARGET.cases += 1
    aim(case, known)
    case.call_and_validate(headers=known.bearer(case.path))


@SCHEMA.parametrize()
@FUZZ
def test_with_a_key_of_a_user(case: Case[Any], known: Known) -> None:
    """Let in to what is the user's own, and shut out of the rest, as described."""
    if unsent(case):
        return
    TARGET.cases += 1
    aim(case, known)
    case.call_and_validate(headers={"Authorization": f"Bearer {known.key}"})


@SCHEMA.parametrize()
@FUZZ
def test_without_a_token(case: Case[Any], known: Known) -> None:
    """Shut out, as described; health is open to all. What cannot be read may be refused as that first."""
    TARGET.cases += 1
    aim(case, known)
    response = case.call_and_validate()

    unread = response.status_code == 422 and response.json()["detail"].endswith(
        ("must be given once", "must be a JSON object")
    )
    assert response.status_code in (400, 401, 405, 413, 414, 415, 431) or unread or case.path == "/api/health"
