"""The API in this process, on a stage: real routes, real core, real mock vendors, a virtual clock."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import httpx
from fastapi import FastAPI

from agent.process.settings import Settings
from api._app import create_app
from api._context import Context
from tests.agent.stage import Stage, a_stage


@dataclass
class Api:
    """Requests to the API, and the stage behind it."""

    http: httpx.AsyncClient
    stage: Stage
    app: FastAPI

    async def post(self, path: str, body: object, **headers: str) -> httpx.Response:
        """Send JSON; text is sent as it is."""
        content = body if isinstance(body, str | bytes) else json.dumps(body)
        return await self.http.post(path, content=content, headers={"Content-Type": "application/json", **headers})

    async def started(self, **fields: object) -> dict[str, Any]:
        """A new run."""
        body = {"userId": "u1", "goal": "Fine-tune tiny-llm", "budgetTotal": 5, **fields}
        answer = await self.post("/api/agent-start", body)
        assert answer.status_code == 201, answer.text
        found: dict[str, Any] = answer.json()
        return found


class StageContext(Context):
    """A context whose services are the stage's."""

    def __init__(self, stage: Stage, settings: Settings) -> None:
        """Nothing else differs."""
        super().__init__(settings, stage.services.world, stage.database)
        self._stage = stage

    def services(self) -> Any:
        """As wired by the stage."""
        return self._stage.services


async def an_api(faults: str = "", **settings: object) -> Api:
    """The API with vendors that fail as `faults` says."""
    stage = await a_stage(faults, settings=settings)
    app = create_app(StageContext(stage, stage.services.settings))
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    return Api(httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1"), stage, app)
