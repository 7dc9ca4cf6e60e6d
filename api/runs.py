"""GET /api/runs: the runs, newest first, a page at a time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

from bson import ObjectId
from fastapi import APIRouter, Depends, Query
from pydantic import Field

from agent.lifecycle import RunStatus
from agent.models import Run
from api._context import ContextOf, token_required
from api._fields import Answer, RequestBody
from api._problems import responses
from api._shapes import RunOut

__all__ = ["router"]

router = APIRouter(dependencies=[Depends(token_required)], tags=["runs"])

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class RunsQuery(RequestBody):
    """Which runs."""

    user_id: str | None = Field(None, max_length=100, description="only this user's")
    status: RunStatus | None = Field(None, description="only those with this status")
    limit: int = Field(20, ge=1, le=100, description="runs at the most")
    cursor: str | None = Field(
        None, pattern=r"^[0-9]{1,14}-[0-9a-f]{24}$", description="nextCursor of the page before"
    )


class RunsAnswer(Answer):
    """A page of runs."""

    runs: list[RunOut] = Field(description="newest first")
    next_cursor: str | None = Field(description="ask with cursor=... for the next page; null: this is the last")


@router.get(
    "/api/runs",
    summary="List runs",
    responses=responses("unauthorized", "invalid_request", "not_configured", "store_unavailable"),
)
async def list_runs(
    context: ContextOf,
    asked: Annotated[RunsQuery, Query()],
) -> RunsAnswer:
    """Runs, newest first; `userId` and `status` narrow them."""
    older_than = _position(asked.cursor) if asked.cursor else None
    found = await context.runs.page(
        asked.limit + 1, user_id=asked.user_id, status=asked.status, older_than=older_than
    )
    page = found[: asked.limit]
    return RunsAnswer(
        runs=[RunOut.of(run) for run in page], next_cursor=_cursor(page[-1]) if len(found) > asked.limit else None
    )


def _cursor(run: Run) -> str:
    return f"{(run.created_at - _EPOCH) // timedelta(milliseconds=1)}-{run.id}"


def _position(cursor: str) -> tuple[datetime, ObjectId]:
    millis, _, run_id = cursor.partition("-")
    return _EPOCH + timedelta(milliseconds=int(millis)), ObjectId(run_id)
