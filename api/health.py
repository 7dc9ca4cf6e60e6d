"""GET /api/health and /metrics: for monitors."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Depends, Response
from pydantic import Field

from agent.lifecycle import RUN
from api._context import ContextOf, token_required
from api._fields import Answer
from api._problems import responses

__all__ = ["router"]

router = APIRouter(tags=["operations"])


class HealthAnswer(Answer):
    """The process serves and its database answers."""

    status: Literal["ok"] = Field(description="always ok; anything else is a 503")
    store: Literal["embedded", "mongodb"] = Field(description="where runs live")


@router.get("/api/health", summary="Is it up?", responses=responses("not_configured", "store_unavailable"))
async def health(context: ContextOf) -> HealthAnswer:
    """200 if settings are complete and the database answers, else 503 with the reason."""
    await context.database.ping()
    return HealthAnswer(status="ok", store="embedded" if context.database.embedded else "mongodb")


@router.get(
    "/metrics",
    summary="Prometheus metrics",
    response_class=Response,
    dependencies=[Depends(token_required)],
    responses={
        200: {"content": {"text/plain": {}}},
        **responses("unauthorized", "not_configured", "store_unavailable"),
    },
)
async def metrics(context: ContextOf) -> Response:
    """Runs by status and how many are due, in Prometheus' text format. Counted in the database, so the same
    from every process."""
    statuses = sorted({"running", *RUN.values()})
    lines = ["# HELP purser_runs Runs by status.", "# TYPE purser_runs gauge"]
    lines += [f'purser_runs{{status="{status}"}} {await context.runs.count(status)}' for status in statuses]
    due = len(await context.runs.due(context.world.now(), 1_000))
    lines += [
        "# HELP purser_runs_due Runs whose next tick is due (counted to 1000).",
        "# TYPE purser_runs_due gauge",
        f"purser_runs_due {due}",
    ]
    return Response("\n".join(lines) + "\n", media_type="text/plain; version=0.0.4")
