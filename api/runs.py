"""GET /api/runs: the runs, newest first, a page at a time."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from bson import ObjectId
from fastapi import APIRouter, Query
from pydantic import Field

from agent.book.lifecycle import RunStatus
from api._access import Reader
from api._context import ContextOf
from api._fields import Answer, Name, RequestBody
from api._paging import cursor_of, position
from api._problems import responses
from api._shapes import RunOut

__all__ = ["router"]

router = APIRouter(tags=["runs"])


class RunsQuery(RequestBody):
    """Which runs."""

    user_id: Name | None = Field(None, description="only this user's")
    status: RunStatus | None = Field(None, description="only those with this status")
    limit: int = Field(20, ge=1, le=100, description="runs at the most")
    cursor: str | None = Field(
        None, pattern=r"^[0-9]{1,14}-[0-9a-f]{24}$", description="nextCursor of the page before"
    )


class RunsAnswer(Answer):
    """A page of runs."""

    runs: list[RunOut] = Field(description="newest first")
    unreadable: list[str] = Field(
        description="ids of runs that cannot be read; those without a date on the last page, the first 1000"
    )
    next_cursor: str | None = Field(description="ask with cursor=... for the next page; null: this is the last")


@router.get(
    "/api/runs",
    summary="List runs",
    responses=responses(
        "unauthorized", "forbidden", "rate_limited", "invalid_request", "not_configured", "store_unavailable"
    ),
)
async def list_runs(
    context: ContextOf,
    caller: Reader,
    asked: Annotated[RunsQuery, Query()],
) -> RunsAnswer:
    """Runs, newest first; `userId` and `status` narrow them. With an API key only its user's are there."""
    if caller.user_id is not None and asked.user_id not in (None, caller.user_id):
        return RunsAnswer(runs=[], unreadable=[], next_cursor=None)
    page = await context.runs.page(
        asked.limit,
        user_id=caller.user_id or asked.user_id,
        status=asked.status,
        older_than=_older_than(asked.cursor),
    )
    return RunsAnswer(
        runs=[RunOut.of(run) for run in page.runs],
        unreadable=page.unreadable,
        next_cursor=None if page.end is None else cursor_of(*page.end),
    )


def _older_than(cursor: str | None) -> tuple[datetime, ObjectId] | None:
    if cursor is None:
        return None
    moment, run_id = position(cursor)
    return moment, ObjectId(run_id)
