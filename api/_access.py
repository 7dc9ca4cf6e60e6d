"""Who is calling, and what they may do: the operator with API_TOKEN, or somebody with an API key.

With no API_TOKEN set the API is open to this machine alone: the connection must have come in on a loopback
address, ask for a loopback name (a web page whose name was made to lead here asks for its own), and show no sign
of a proxy.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Annotated, Final

from fastapi import Depends, Request

from agent.access import SCOPES, KeyScope, granted, parse
from agent.errors import ConfigurationError, NotAdmitted
from api._context import CHALLENGE, Bearer, Context, ContextOf
from api._problems import ProblemError

__all__ = ["Admin", "Caller", "Reader", "Runner", "admin"]

_FORWARDED: Final = ("forwarded", "via", "x-real-ip")
_FORWARDED_BY: Final = "x-forwarded-"


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever sent the request. `user_id` is whose runs are theirs to see and to start; None: everybody's."""

    user_id: str | None
    key_id: str | None
    scopes: frozenset[KeyScope]


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


async def _caller(request: Request, context: Context, sent: str) -> Caller:
    token = context.settings.api_token
    if token is None:
        if why := _from_elsewhere(request):
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
    return Caller(None if "admin" in scopes else key.user_id, key.id, scopes)


def _from_elsewhere(request: Request) -> str | None:
    """Why this request may have come from another machine, or None."""
    server = request.scope.get("server")
    if server is None or not _loopback(str(server[0])):
        return "the request came in on another address than 127.0.0.1 or ::1"
    if not _loopback_host(request.headers.get("host", "")):
        return "the request is for another host than localhost, 127.0.0.1 or [::1]"
    if any(name in _FORWARDED or name.startswith(_FORWARDED_BY) for name in request.headers):
        return "the request was forwarded by a proxy"
    return None


def _loopback_host(host: str) -> bool:
    name = host.partition("]")[0].removeprefix("[") if host.startswith("[") else host.partition(":")[0]
    return name.lower() == "localhost" or _loopback(name)


def _loopback(text: str) -> bool:
    try:
        address = ip_address(text)
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped.is_loopback
    return address.is_loopback
