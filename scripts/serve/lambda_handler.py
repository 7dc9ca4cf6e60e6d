"""AWS Lambda: `scripts.serve.lambda_handler.handler` is the function's handler string.

HTTP events (API Gateway, function URLs, ALB) go to the app through Mangum. Events of a schedule have no HTTP
shape, which Mangum does not understand: they tick the runs that are due. It lives outside `api/`, because Vercel
would take a `handler` there for one of its own (docs/architecture.md).

What fails the invocation, so that Lambda counts it and tries a schedule's event again: the database being away, a
setting that is missing, an event of another kind. A single run whose tick fails does not: it stays due, and the
next round has it again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from mangum import Mangum
from mangum.adapter import DEFAULT_TEXT_MIME_TYPES
from mangum.types import LambdaContext
from starlette.types import Receive, Scope, Send

from agent.dispatch.rounds import tick_due
from api._context import Context
from api.index import app

__all__ = ["RESERVE_SECONDS", "TICK_EVENT", "UnknownEvent", "handler"]

RESERVE_SECONDS: Final = 5.0
"""Time left for the answer, and for the platform, when ticking ends."""

TICK_EVENT: Final = {"purser": "tick"}
"""What `template.yaml` has the schedule send."""

_SCHEDULERS: Final = ("aws.events", "aws.scheduler")
"""Sources of what EventBridge sends where it is not told what to: of its rules, and of its scheduler."""

_MOST_NAMES: Final = 20


class UnknownEvent(Exception):
    """An event that is neither a request nor a schedule's. The message says what is taken."""


async def _as_sent(scope: Scope, receive: Receive, send: Send) -> None:
    """The app, told the path as the event has it: Mangum decodes it and keeps nothing else, so that an encoded
    slash would be a separator (`api._middleware`).
    """
    event = scope["aws.event"]
    path: str = event["requestContext"].get("http", event)["path"] or "/"
    await app({**scope, "raw_path": path.encode()}, receive, send)


# Mangum runs requests in the thread's current loop, and newer Pythons make none by themselves. The database client
# belongs to a loop, so everything runs in this one, which stays from one invocation to the next.
_loop: Final = asyncio.new_event_loop()
asyncio.set_event_loop(_loop)

# Lifespan off: Mangum would shut the app down after each event, and close the database under the next one.
# What it does not know as text it sends in base64, which a REST API hands to the client as it is.
_TEXTS: Final = [*DEFAULT_TEXT_MIME_TYPES, "application/problem+json"]
_http: Final = Mangum(_as_sent, lifespan="off", text_mime_types=_TEXTS)


def handler(event: Any, context: LambdaContext) -> dict[str, Any]:
    """Answer one event.

    Raises:
        UnknownEvent: it is neither a request nor a schedule's.
        StoreUnavailable, ConfigurationError: a scheduled round could not be done. Requests are answered 503.
    """
    asyncio.set_event_loop(_loop)  # of this thread, whichever it is
    if _is_schedule(event):
        return _loop.run_until_complete(_tick_due(context))
    if not _is_request(event):
        raise UnknownEvent(
            f"an event of another kind ({_shape(event)}): this function takes requests of API Gateway, function "
            f"URLs and load balancers, EventBridge's scheduled events, and {TICK_EVENT}"
        )
    return _http(event, context)


def _is_schedule(event: Any) -> bool:
    if not isinstance(event, Mapping):
        return False
    by_itself = event.get("source") in _SCHEDULERS and event.get("detail-type") == "Scheduled Event"
    return by_itself or event == TICK_EVENT


def _is_request(event: Any) -> bool:
    """Whether Mangum knows what to do with it. Edge functions' events are no concern of ours."""
    if not isinstance(event, Mapping) or not isinstance(event.get("requestContext"), Mapping):
        return False
    return "elb" in event["requestContext"] or "version" in event or "resource" in event


def _shape(event: Any) -> str:
    """What kind of thing it is; its values may be secrets."""
    if not isinstance(event, Mapping):
        return type(event).__name__
    return "with " + (", ".join(sorted(map(str, event))[:_MOST_NAMES])[:500] or "nothing in it")


async def _tick_due(context: LambdaContext) -> dict[str, Any]:
    here = app.state.context
    if not isinstance(here, Context):
        raise AssertionError("unreachable: create_app sets the context")
    seconds = context.get_remaining_time_in_millis() / 1_000 - RESERVE_SECONDS
    done = await tick_due(here.services(), seconds)
    return {
        "ticked": [{"runId": run_id, "message": text} for run_id, text in done.ticked],
        "failed": done.failed,
        "ticks": done.ticks,
        "failures": done.failures,
        "left": done.left,
    }
