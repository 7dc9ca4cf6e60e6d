"""GET /api/agent-status: a run with its jobs, payments and trail."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from api._access import Reader
from api._context import ContextOf
from api._fields import Answer, RequestBody, RunId
from api._problems import responses
from api._shapes import JobOut, ObservationOut, PaymentOut, RunOut

__all__ = ["router"]

router = APIRouter(tags=["runs"])


class StatusQuery(RequestBody):
    """Which run, and which part of its trail."""

    run_id: RunId = Field(description="which run")
    limit: int = Field(100, ge=1, le=500, description="observations at the most")
    before: int | None = Field(None, ge=1, description="only observations before this number")
    after: int | None = Field(None, ge=0, description="only observations after this number")


class Page(Answer):
    """Which observations these are. Ask `before=firstSeq` for older ones, `after=lastSeq` for newer ones."""

    first_seq: int | None = Field(description="number of the first one here")
    last_seq: int | None = Field(description="number of the last one here")
    total: int = Field(description="how many there are in all")


class StatusAnswer(Answer):
    """All that is known of a run."""

    run: RunOut = Field(description="its money, its state and the head of its trail")
    jobs: list[JobOut] = Field(description="its purchases, oldest first")
    payments: list[PaymentOut] = Field(description="its authorizations and what became of them, oldest first")
    observations: list[ObservationOut] = Field(description="oldest first, newest last")
    page: Page = Field(description="which observations these are")


@router.get(
    "/api/agent-status",
    summary="Show a run",
    responses=responses(
        "unauthorized",
        "forbidden",
        "rate_limited",
        "run_not_found",
        "run_unreadable",
        "invalid_request",
        "not_configured",
        "store_unavailable",
    ),
)
async def agent_status(
    context: ContextOf,
    caller: Reader,
    asked: Annotated[StatusQuery, Query()],
) -> StatusAnswer:
    """The run, its jobs and payments, and a page of its trail: the newest, or those before or after a number."""
    run = await context.runs.get(asked.run_id, caller.user_id)
    observations = await context.runs.observations(run, asked.limit, before=asked.before, after=asked.after)
    return StatusAnswer(
        run=RunOut.of(run),
        jobs=[JobOut.of(job) for job in await context.runs.jobs(run)],
        payments=[PaymentOut.of(payment) for payment in await context.runs.payments(run)],
        observations=[ObservationOut.of(entry) for entry in observations],
        page=Page(
            first_seq=observations[0].seq if observations else None,
            last_seq=observations[-1].seq if observations else None,
            total=run.audit.seq,
        ),
    )
