"""GET /api/parked-runs: the runs whose ticks keep failing, and why."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import Field

from api._access import admin
from api._context import ContextOf
from api._fields import Answer, Id, Name, RequestBody
from api._problems import responses
from api._shapes import StumbleOut

__all__ = ["router"]

router = APIRouter(dependencies=[Depends(admin)], tags=["operations"])


class ParkedQuery(RequestBody):
    """Which parked runs."""

    user_id: Name | None = Field(None, description="only this user's")
    limit: int = Field(20, ge=1, le=100, description="runs at the most")


class ParkedRunOut(Answer):
    """A parked run, as far as it can be read: its document may be what is wrong with it."""

    id: Id = Field(alias="_id", description="the run's id")
    user_id: str = Field(description="whose run it is")
    status: str = Field(description="running, or how it ended if only its last words are left to tell")
    stumble: StumbleOut = Field(description="why its ticks cannot be made, and when it is tried again")


class ParkedAnswer(Answer):
    """Parked runs."""

    runs: list[ParkedRunOut] = Field(description="those that failed most often first")


@router.get(
    "/api/parked-runs",
    summary="List runs whose ticks keep failing",
    responses=responses(
        "unauthorized", "forbidden", "rate_limited", "invalid_request", "not_configured", "store_unavailable"
    ),
)
async def parked_runs(context: ContextOf, asked: Annotated[ParkedQuery, Query()]) -> ParkedAnswer:
    """Runs of which ten ticks in a row could not be made. Each is tried again once an hour, and never dropped."""
    found = await context.due.parked(asked.limit, asked.user_id)
    return ParkedAnswer(
        runs=[
            ParkedRunOut.model_validate(
                {"_id": each.run_id, "user_id": each.user_id, "status": each.status, "stumble": each.stumble}
            )
            for each in found
        ]
    )
