"""Real runs as the API shows them, for tests that tamper with what it shows."""

from __future__ import annotations

import asyncio
import copy
import json
from dataclasses import dataclass
from functools import cache
from typing import Any

from bson import ObjectId

from scripts.audit.export import evidence_of
from scripts.audit.judge import Audited, judge
from scripts.audit.money import Spent
from tests.api.client import an_api

__all__ = ["STORIES", "Shown", "judged", "shown"]

STORIES = {
    "completed after a failure": "gpu_vendor_1:fail_at_epoch=2",
    "written off": "gpu_vendor_1:reject_but_cash",
    "overcharged, nothing signed": "gpu_vendor_1:price_above_quote=10",
    "not clear yet": "gpu_vendor_1:drop_before_payment",
    "just started": "",
    "at work": "",
    "called off": "",
    "nobody took it": "gpu_vendor_1:malformed_json=quote,gpu_vendor_2:malformed_json=quote",
}
_TICKS = {"not clear yet": 2, "just started": 0, "at work": 2, "called off": 1}
_CANCELLED = ("called off",)


@dataclass
class Shown:
    """A run as the API shows it, with its whole trail."""

    answer: dict[str, Any]

    @property
    def run(self) -> dict[str, Any]:
        """The run."""
        found: dict[str, Any] = self.answer["run"]
        return found

    @property
    def trail(self) -> list[dict[str, Any]]:
        """Its observations."""
        found: list[dict[str, Any]] = self.answer["observations"]
        return found


def shown(story: str) -> Shown:
    """A copy of its own of this story's run."""
    return Shown(copy.deepcopy(_lived(story)))


def judged(seen: Shown, spent: Spent | None = None) -> Audited:
    """The audit of what is shown."""
    return judge(evidence_of(json.dumps(seen.answer)), seen.trail, spent or Spent())


@cache
def _lived(story: str) -> dict[str, Any]:
    return asyncio.run(_live(STORIES[story], _TICKS.get(story), cancel=story in _CANCELLED))


async def _live(faults: str, ticks: int | None, *, cancel: bool) -> dict[str, Any]:
    api = await an_api(faults)
    run_id = (await api.started())["_id"]
    if ticks is None:
        await api.stage.finish(await api.stage.services.runs.get(ObjectId(run_id)))
    for _ in range(ticks or 0):
        await api.post("/api/agent-tick", {"runId": run_id})
        api.stage.clock.pass_(20)
    if cancel:
        assert (await api.post("/api/agent-cancel", {"runId": run_id})).json()["run"]["status"] == "cancelled"
    answer = await api.http.get("/api/agent-status", params={"runId": run_id, "limit": 500})
    found: dict[str, Any] = answer.json()
    return found
