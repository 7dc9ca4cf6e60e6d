"""GET /api/cron-tick: tick what is due. A platform's cron sends `Authorization: Bearer $CRON_SECRET`."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Depends
from pydantic import Field

from api._context import ContextOf, cron_only
from api._fields import Answer
from api._problems import responses

__all__ = ["router"]

router = APIRouter(dependencies=[Depends(cron_only)], tags=["operations"])

ROUND_SECONDS: Final = 55.0
"""How long a round may take: less than a minute, so that a cron of every minute does not overlap itself."""

STARTING_SECONDS: Final = 5.0
"""A round is longer than a tick may take by at least so much, or none could be begun."""


class TickedRun(Answer):
    """One tick of one run."""

    run_id: str = Field(description="which run")
    message: str = Field(description="what happened, in a sentence")


class CronAnswer(Answer):
    """What the round did."""

    ticked: list[TickedRun] = Field(description="what was done, in order: the first 1000 ticks")
    failed: list[str] = Field(
        description="runs whose tick could not be made, the first 1000; they are tried again"
    )
    ticks: int = Field(description="ticks made, all of them counted")
    failures: int = Field(description="ticks that could not be made, all of them counted")
    busy: int = Field(description="runs that were passed over because another tick was at them")
    cut_off: int = Field(description="ticks that were under way when the time was over; others take them up")
    left: bool = Field(description="more runs are due: a denser cron, or several at once, would keep up")


@router.get(
    "/api/cron-tick",
    summary="Tick all due runs",
    responses=responses("unauthorized", "not_configured", "store_unavailable"),
)
async def cron_tick(context: ContextOf) -> CronAnswer:
    """Tick due runs, the longest waiting first and each user's in turn, within a time limit.

    Overlapping rounds share the work.
    """
    from agent.dispatch.rounds import tick_due  # heavy: whoever only reads does not wait for it

    services = context.services()
    seconds = max(ROUND_SECONDS, services.settings.tick_deadline_seconds + STARTING_SECONDS)
    done = await tick_due(services, seconds)
    return CronAnswer(
        ticked=[TickedRun(run_id=run_id, message=message) for run_id, message in done.ticked],
        failed=done.failed,
        ticks=done.ticks,
        failures=done.failures,
        busy=done.busy,
        cut_off=done.cut_off,
        left=done.left,
    )
