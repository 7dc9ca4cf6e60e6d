"""POST /api/agent-cancel: stop a run."""

from __future__ import annotations

from fastapi import APIRouter

from agent.intake.runs import cancel
from api._access import Runner
from api._context import ContextOf
from api._json import ExactRoute
from api.agent_tick import TICK_PROBLEMS, RunBody, TickAnswer

__all__ = ["router"]

router = APIRouter(route_class=ExactRoute, tags=["runs"])


@router.post("/api/agent-cancel", summary="Stop a run", responses=TICK_PROBLEMS)
async def agent_cancel(body: RunBody, caller: Runner, context: ContextOf) -> TickAnswer:
    """Stop a run. What is reserved is settled or released first, so the end may come with a later tick."""
    return TickAnswer.of(await cancel(context.services(), body.run_id, caller.user_id))
