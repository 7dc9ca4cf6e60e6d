"""Who is calling, and what they may do: the operator with API_TOKEN, or somebody with an API key.

With no API_TOKEN set the API is open to this machine alone (`api._local`).
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import Depends, Request

from agent.book.api_key import SCOPES, KeyScope, granted, parse
from agent.book.errors import ConfigurationError, NotAdmitted, RateLimited
from api._context import CHALLENGE, Bearer, Context, ContextOf
from api._local import why_not_local
from api._problems import ProblemError

__all__ = ["Admin", "Caller", "Overseer", "Reader", "Runner", "admin"]


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever sent the request. `user_id` is whose runs are theirs to see and to start; None: everybody's.
    `max_running` is how many runs of the key may be under way; None: there is no key, and no bound."""

    user_id: str | None
    key_id: str | None
    scopes: frozenset[KeyScope]
    max_running: int | None = None


_OPERATOR: Final = Caller(user_id=None, key_id=None, scopes=SCOPES["admin"])


def _needs(scope: KeyScope) -> Callable[..., Awaitable[Caller]]:
    async def let_in(request: Request, context: ContextOf, bearer: Bearer) -> Caller:
        caller = await _caller(request, context, "" if bearer is None else bearer.credentials)
        if scope not in caller.scopes:
            raise ProblemError(
                "forbidden",
                f"this API key lacks the scope {scope}; use one that has it",
                headers={"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{scope}"'},
            )
        return caller

    return let_in


reader, runner, admin = _needs("read"), _needs("run"), _needs("admin")

Reader = Annotated[Caller, Depends(reader)]
"""A route's parameter: whoever calls, who may read."""
Runner = Annotated[Caller, Depends(runner)]
"""A route's parameter: whoever calls, who may start, tick and cancel runs."""
Admin = Annotated[Caller, Depends(admin)]
"""A route's parameter: whoever calls, who may do everything."""


async def _overseer(request: Request, context: ContextOf, bearer: Bearer) -> bool:
    context.settings  # noqa: B018  whatever is missing is said to everybody
    try:
        caller = await _caller(request, context, "" if bearer is None else bearer.credentials)
    except (ProblemError, ConfigurationError, RateLimited):
        return False
    return "admin" in caller.scopes


Overseer = Annotated[bool, Depends(_overseer)]
"""A route's parameter: whether whoever calls may see what concerns everybody's runs. It refuses nobody."""


async def _caller(request: Request, context: Context, sent: str) -> Caller:
    token = context.settings.api_token
    if token is None:
        if why := why_not_local(request):
            raise ConfigurationError(f"API_TOKEN is not set, and without it only this machine is served: {why}")
        if parse(sent) is None:
            return _OPERATOR
    elif hmac.compare_digest(sent.encode(), token.get_secret_value().encode()):
        return _OPERATOR
    try:
        key = await context.turnstile.admit(sent)
    except NotAdmitted as exc:
        raise ProblemError("unauthorized", str(exc), headers=CHALLENGE) from None
    scopes = granted(key.scopes)
    most = context.settings.max_running_per_key if key.max_running is None else key.max_running
    return Caller(None if "admin" in scopes else key.user_id, key.id, scopes, most)
