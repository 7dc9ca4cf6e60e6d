"""GET /api/cron-tick: tick what is due. A platform's cron sends `Authorization: Bearer $CRON_SECRET`."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Depends
from pydantic import Field

from agent.runs import tick_due
from api._context import cron_only
from api._fields import Answer
from api._problems import responses
from api._services import ServicesOf

__all__ = ["router"]

router = APIRouter(dependencies=[Depends(cron_only)], tags=["operations"])

ROUND_SECONDS: Final = 55.0
"""How long a round may take: less than a minute, so that a cron of every minute does not overlap itself."""


class TickedRun(Answer):
    """One tick of one run."""

    run_id: str = Field(description="which run")
    message: str = Field(description="what happened, in a sentence")


class CronAnswer(Answer):
    """What the round did."""

    ticked: list[TickedRun] = Field(description="what was done, in order")
    failed: list[str] = Field(description="runs whose tick could not be done; they stay due")


@router.get(
    "/api/cron-tick",
    summary="Tick all due runs",
    responses=responses("unauthorized", "not_configured", "store_unavailable"),
)
async def cron_tick(services: ServicesOf) -> CronAnswer:
    """Tick due runs, the longest waiting first, within a time limit. Overlapping rounds share the work."""
    done = await tick_due(services, max(ROUND_SECONDS, services.settings.tick_deadline_seconds))
    return CronAnswer(
        ticked=[TickedRun(run_id=run_id, message=message) for run_id, message in done.ticked], failed=done.failed
    )
