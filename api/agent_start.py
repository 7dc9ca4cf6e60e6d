"""POST /api/agent-start: a goal and a budget become a run."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header
from pydantic import Field, StringConstraints

from agent.book.models import Constraints
from agent.intake.runs import Order, start
from api._access import Runner
from api._context import ContextOf
from api._fields import VENDOR_ID, Hours, MomentIn, Name, RequestBody, Share, Text, UsdIn
from api._json import ExactRoute
from api._problems import FieldError, ProblemError, responses
from api._shapes import RunOut

__all__ = ["router"]

router = APIRouter(route_class=ExactRoute, tags=["runs"])

Label = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
VendorId = Annotated[str, StringConstraints(pattern=VENDOR_ID)]


class StartBody(RequestBody):
    """What the user wants and what it may cost."""

    user_id: Name = Field(description="whose run it is", examples=["u1"])
    goal: Annotated[Text, Field(max_length=4_000)] = Field(
        description="what is to be done", examples=["Fine-tune tiny-llm"]
    )
    budget_total: UsdIn = Field(description="dollars, at most 6 decimals", examples=[5])
    gpu_type: Label | None = Field(None, description="default: what the vendor offers first", examples=["A100"])
    job_type: Label | None = Field(None, description="default: fine_tune")
    max_hours: Hours | None = Field(None, description="hours per job; default 1")
    max_price_per_hour: UsdIn | None = Field(None, description="dollars")
    vendor_ids: Annotated[list[VendorId], Field(min_length=1, max_length=100)] | None = Field(
        None, description="use only these vendors"
    )
    deadline: MomentIn | None = Field(None, description="the run fails if it is not done by then")
    price_tolerance: Share = Field(0, validate_default=True, description="share that a price may exceed its quote")


@router.post(
    "/api/agent-start",
    status_code=201,
    summary="Start a run",
    responses=responses(
        "invalid_json",
        "unauthorized",
        "forbidden",
        "rate_limited",
        "too_many_runs",
        "idempotency_conflict",
        "run_unreadable",
        "body_too_large",
        "body_too_slow",
        "unsupported_media_type",
        "invalid_request",
        "not_configured",
        "store_unavailable",
    ),
)
async def agent_start(
    body: StartBody,
    caller: Runner,
    context: ContextOf,
    idempotency_key: Annotated[
        str | None, Header(pattern=r"^[\x21-\x7e]{1,200}$", description="the same key starts the same run once")
    ] = None,
) -> RunOut:
    """Create a run. It does nothing yet: ticks advance it. With an Idempotency-Key, repeating is harmless."""
    if caller.user_id not in (None, body.user_id):
        error = FieldError(field="userId", message=f"must be {caller.user_id}, whose API key this is")
        raise ProblemError("forbidden", f"{error.field}: {error.message}; or use one with scope admin", [error])
    if body.deadline is not None and body.deadline <= context.world.now():
        error = FieldError(field="deadline", message="is over; name a time to come")
        raise ProblemError("invalid_request", f"{error.field}: {error.message}", [error])
    constraints = Constraints(
        gpu_type=body.gpu_type,
        job_type=body.job_type,
        max_hours=body.max_hours,
        max_price_per_hour=body.max_price_per_hour,
        vendor_ids=tuple(body.vendor_ids) if body.vendor_ids else None,
        deadline=body.deadline,
        price_tolerance=body.price_tolerance,
    )
    order = Order(body.user_id, body.goal, body.budget_total, constraints, caller.key_id, caller.max_running)
    return RunOut.of(await start(context.runs, context.world, order, idempotency_key))
