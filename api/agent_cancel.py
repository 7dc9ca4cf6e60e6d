"""POST /api/agent-cancel: stop a run."""

from __future__ import annotations

from fastapi import APIRouter, Depends

from agent.runs import cancel
from api._context import token_required
from api._json import ExactRoute
from api._services import ServicesOf
from api.agent_tick import TICK_PROBLEMS, RunBody, TickAnswer

__all__ = ["router"]

router = APIRouter(route_class=ExactRoute, dependencies=[Depends(token_required)], tags=["runs"])


@router.post("/api/agent-cancel", summary="Stop a run", responses=TICK_PROBLEMS)
async def agent_cancel(body: RunBody, services: ServicesOf) -> TickAnswer:
    """Stop a run. What is reserved is settled or released first, so the end may come with a later tick."""
    return TickAnswer.of(await cancel(services, body.run_id))
