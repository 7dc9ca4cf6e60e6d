"""POST /api/agent-tick: advance one run by one step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.exceptions import RequestValidationError
from pydantic import Field, ValidationError

from api._access import Runner
from api._context import ContextOf
from api._fields import Answer, RequestBody, RunId
from api._json import ExactRoute
from api._problems import responses
from api._shapes import RunOut

if TYPE_CHECKING:
    from agent.engine.tick import TickResult

__all__ = ["RunBody", "TickAnswer", "router"]

router = APIRouter(route_class=ExactRoute, tags=["runs"])


class RunBody(RequestBody):
    """Which run."""

    run_id: RunId = Field(description="which run", examples=["66a1f0c2e4b0a1b2c3d4e5f6"])


class TickAnswer(Answer):
    """What the tick did."""

    message: str = Field(description="what happened, in a sentence", examples=["Job started"])
    action: dict[str, Any] | None = Field(
        description="the planner's action, where it was asked",
        examples=[{"action": "start_job", "vendorId": "gpu_vendor_1", "maxHours": 1, "reason": "..."}],
    )
    run: RunOut = Field(description="the run afterwards")

    @classmethod
    def of(cls, result: TickResult) -> TickAnswer:
        """The public form of a tick's result."""
        return cls(message=result.message, action=result.action, run=RunOut.of(result.run))


TICK_PROBLEMS = responses(
    "invalid_json",
    "unauthorized",
    "forbidden",
    "rate_limited",
    "run_not_found",
    "run_unreadable",
    "run_busy",
    "body_too_large",
    "body_too_slow",
    "unsupported_media_type",
    "invalid_request",
    "not_configured",
    "store_unavailable",
)


async def _named(
    request: Request,
    run_id: Annotated[
        RunId | None, Query(alias="runId", description="which run, where there is no body to name it")
    ] = None,
) -> RunId:
    """The run that the body names or, without one, the query."""
    if run_id is not None and not await request.body():
        return run_id
    try:
        return RunBody.model_validate(await request.json()).run_id
    except ValidationError as exc:
        errors = exc.errors(include_url=False)
        raise RequestValidationError([{**each, "loc": ("body", *each["loc"])} for each in errors]) from None


_BODY = {"required": True, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/RunBody"}}}}


@router.post(
    "/api/agent-tick",
    summary="Advance a run by one step",
    responses=TICK_PROBLEMS,
    openapi_extra={"requestBody": _BODY},
)
async def agent_tick(caller: Runner, context: ContextOf, run_id: Annotated[RunId, Depends(_named)]) -> TickAnswer:
    """Recover, observe, plan and act, once. A run that has ended stays as it is (200). With `runId` in the query
    the body may be left out; where there is one, it decides.
    """
    from agent.engine.tick import tick  # heavy: whoever only reads does not wait for it

    return TickAnswer.of(await tick(context.services(), run_id, caller.user_id))
