"""GET /api/health and /metrics: for monitors."""

from __future__ import annotations

from typing import Final, Literal

from fastapi import APIRouter, Depends, Response
from pydantic import Field

from agent.book.lifecycle import RUN
from api._access import Overseer, admin
from api._context import ContextOf
from api._fields import Answer
from api._problems import responses

__all__ = ["router"]

router = APIRouter(tags=["operations"])

_COUNTED: Final = 1_000
"""Runs that are counted at the most: beyond it a monitor knows enough."""


class HealthAnswer(Answer):
    """The process serves and its database answers. For all but the operator the rest is left out."""

    status: Literal["ok"] = Field(description="always ok; anything else is a 503")
    store: Literal["embedded", "mongodb"] | None = Field(None, description="where runs live")
    clock: str | None = Field(
        None,
        description="why the clock of this process must be wrong, so that it signs nothing; null: it need not be",
    )
    restored: str | None = Field(
        None,
        description="why the database counts as a restored backup: nothing is bought until its operator has said "
        "what was spent since; null: it does not",
    )
    parked_runs: int | None = Field(
        None, description="runs whose ticks keep failing, counted to 1000; GET /api/parked-runs says which and why"
    )


@router.get(
    "/api/health",
    summary="Is it up?",
    responses=responses("not_configured", "store_unavailable"),
    response_model_exclude_unset=True,
    openapi_extra={"security": [{}]},  # a token or none
)
async def health(context: ContextOf, overseer: Overseer) -> HealthAnswer:
    """200 if settings are complete and the database answers, else 503 with the reason. How things stand it tells
    to the operator's token and to keys with the scope admin; to all others, that it is up.
    """
    await context.database.ping()
    if not overseer:
        return HealthAnswer(status="ok")
    parked, held = await context.due.count_parked(_COUNTED), await context.restored.held()
    return HealthAnswer(
        status="ok",
        store="embedded" if context.database.embedded else "mongodb",
        clock=context.world.clocks.wrong(context.world.now()),
        restored=None if held is None else held.why,
        parked_runs=parked,
    )


@router.get(
    "/metrics",
    summary="Prometheus metrics",
    response_class=Response,
    dependencies=[Depends(admin)],
    responses={
        200: {"content": {"text/plain": {}}},
        **responses("unauthorized", "forbidden", "rate_limited", "not_configured", "store_unavailable"),
    },
)
async def metrics(context: ContextOf) -> Response:
    """Runs by status, how many are parked and how many are due, in Prometheus' text format.

    Counted in the database, so the same from every process.
    """
    statuses = sorted({"running", *RUN.values()})
    lines = ["# HELP purser_runs Runs by status.", "# TYPE purser_runs gauge"]
    lines += [f'purser_runs{{status="{status}"}} {await context.runs.count(status)}' for status in statuses]
    due = await context.due.count(context.world.now(), _COUNTED)
    lines += [
        f"# HELP purser_runs_parked Runs whose ticks keep failing (counted to {_COUNTED}).",
        "# TYPE purser_runs_parked gauge",
        f"purser_runs_parked {await context.due.count_parked(_COUNTED)}",
        f"# HELP purser_runs_due Runs whose next tick is due (counted to about {_COUNTED}).",
        "# TYPE purser_runs_due gauge",
        f"purser_runs_due {due}",
    ]
    return Response("\n".join(lines) + "\n", media_type="text/plain; version=0.0.4")
