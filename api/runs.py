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
from api._fields import Answer
from api._problems import FieldError, ProblemError, responses
from api._shapes import RunOut

__all__ = ["router"]

router = APIRouter(dependencies=[Depends(token_required)], tags=["runs"])

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


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
    user_id: Annotated[str | None, Query(alias="userId", max_length=100)] = None,
    status: RunStatus | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: Annotated[str | None, Query(pattern=r"^[0-9]{1,15}-[0-9a-f]{24}$")] = None,
) -> RunsAnswer:
    """Runs, newest first; `userId` and `status` narrow them."""
    found = await context.runs.page(
        limit + 1, user_id=user_id, status=status, older_than=_position(cursor) if cursor else None
    )
    page = found[:limit]
    return RunsAnswer(
        runs=[RunOut.of(run) for run in page], next_cursor=_cursor(page[-1]) if len(found) > limit else None
    )


def _cursor(run: Run) -> str:
    return f"{(run.created_at - _EPOCH) // timedelta(milliseconds=1)}-{run.id}"


def _position(cursor: str) -> tuple[datetime, ObjectId]:
    millis, _, run_id = cursor.partition("-")
    try:
        return _EPOCH + timedelta(milliseconds=int(millis)), ObjectId(run_id)
    except OverflowError:
        error = FieldError(field="query.cursor", message="is not a cursor of ours")
        raise ProblemError("invalid_request", "query.cursor: is not a cursor of ours", [error]) from None
