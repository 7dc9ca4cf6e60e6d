"""AWS Lambda: `scripts.lambda_handler.handler` is the function's handler string.

HTTP events (API Gateway, function URLs, ALB) go to the app through Mangum. Events of an EventBridge schedule have
no HTTP shape, which Mangum does not understand: they tick the runs that are due. It lives outside `api/`, because
Vercel would take a `handler` there for one of its own (docs/architecture.md).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from mangum import Mangum
from mangum.types import LambdaContext

from agent.runs import tick_due
from api._context import Context
from api.index import app

__all__ = ["handler"]

RESERVE_SECONDS: Final = 5.0
"""Time left for the answer, and for the platform, when ticking ends."""

_SCHEDULERS: Final = ("aws.events", "aws.scheduler")


# Mangum runs requests in the thread's current loop, and newer Pythons make none by themselves. The database client
# binds to a loop, so everything runs in this one.
_loop: Final = asyncio.new_event_loop()
asyncio.set_event_loop(_loop)

# Lifespan off: Mangum would shut the app down after each event, and close the database under the next one.
_http: Final = Mangum(app, lifespan="off")


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer one event. What a scheduled round raises goes out: Lambda sees the failure and tries again."""
    if _is_schedule(event):
        return _loop.run_until_complete(_tick_due(context))
    return _http(event, context)


def _is_schedule(event: Mapping[str, Any]) -> bool:
    return event.get("source") in _SCHEDULERS and event.get("detail-type") == "Scheduled Event"


async def _tick_due(context: LambdaContext) -> dict[str, Any]:
    here = app.state.context
    if not isinstance(here, Context):
        raise AssertionError("unreachable: create_app sets the context")
    seconds = context.get_remaining_time_in_millis() / 1_000 - RESERVE_SECONDS
    done = await tick_due(here.services(), seconds)
    return {"ticked": [{"runId": run_id, "message": text} for run_id, text in done.ticked], "failed": done.failed}
