"""/api/keys: the API keys, for whoever has the scope admin."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query
from pydantic import Field, WithJsonSchema

from agent.book.api_key import Key, KeyScope, mint
from api._access import admin
from api._context import ContextOf
from api._fields import Answer, Moment, MomentIn, Name, RequestBody, Text, Usd, UsdIn, Whole
from api._json import ExactRoute
from api._paging import cursor_of, position
from api._problems import FieldError, ProblemError, responses

__all__ = ["router"]

router = APIRouter(route_class=ExactRoute, prefix="/api/keys", dependencies=[Depends(admin)], tags=["keys"])

KeyId = Annotated[str, Path(pattern=r"^[a-z2-7]{12}$", description="which key: the part of it before its secret")]


Rate = Annotated[
    Whole, Field(ge=1, le=100_000), WithJsonSchema({"type": "integer", "minimum": 1, "maximum": 100_000})
]


Running = Annotated[
    Whole, Field(ge=1, le=1_000), WithJsonSchema({"type": "integer", "minimum": 1, "maximum": 1_000})
]


class KeyBody(RequestBody):
    """A key to make."""

    user_id: Name = Field(description="whose runs it is for", examples=["u1"])
    name: Annotated[Text, Field(max_length=100)] = Field(description="what it is for", examples=["nightly job"])
    scopes: Annotated[list[KeyScope], Field(min_length=1, max_length=3)] = Field(
        ["run"], description="read, run (includes read), admin (includes both, for every user)"
    )
    max_per_day: UsdIn | None = Field(None, description="dollars that its runs may spend in a UTC day; null: any")
    max_total: UsdIn | None = Field(None, description="dollars that its runs may spend in all; null: any")
    max_running: Running | None = Field(
        None, description="runs of it that may be under way at once; null: as many as MAX_RUNNING_PER_KEY says"
    )
    requests_per_minute: Rate = Field(600, description="requests that it may make in a minute, over all servers")
    expires_at: MomentIn | None = Field(None, description="it lets nobody in from then on; null: until revoked")


class KeyOut(Answer):
    """A key. Its secret is not kept."""

    id: str = Field(alias="_id", description="its id")
    user_id: str = Field(description="whose runs it is for")
    name: str = Field(description="what it is for")
    scopes: list[KeyScope] = Field(description="what it may do")
    max_per_day: Usd | None = Field(description="dollars that its runs may spend in a UTC day; null: any")
    max_total: Usd | None = Field(description="dollars that its runs may spend in all; null: any")
    max_running: int | None = Field(
        description="runs of it that may be under way at once; null: as many as MAX_RUNNING_PER_KEY says"
    )
    requests_per_minute: int = Field(description="requests that it may make in a minute")
    created_at: Moment = Field(description="when it was made")
    expires_at: Moment | None = Field(description="when it ends; null: when it is revoked")
    revoked_at: Moment | None = Field(description="when it was revoked; null: it was not")


class NewKeyOut(KeyOut):
    """A key as it was made."""

    token: str = Field(description="what callers send as bearer token; it is shown this once")


class KeysQuery(RequestBody):
    """Which keys."""

    limit: int = Field(20, ge=1, le=100, description="keys at the most")
    cursor: str | None = Field(
        None, pattern=r"^[0-9]{1,14}-[a-z2-7]{12}$", description="nextCursor of the page before"
    )


class KeysAnswer(Answer):
    """A page of keys."""

    keys: list[KeyOut] = Field(description="newest first, revoked and expired ones too")
    next_cursor: str | None = Field(description="ask with cursor=... for the next page; null: this is the last")


_COMMON = ("unauthorized", "forbidden", "rate_limited", "not_configured", "store_unavailable")


@router.post(
    "",
    status_code=201,
    summary="Make an API key",
    responses=responses(
        *_COMMON, "invalid_json", "body_too_large", "body_too_slow", "unsupported_media_type", "invalid_request"
    ),
)
async def create_key(body: KeyBody, context: ContextOf) -> NewKeyOut:
    """Make a key. The answer holds its token, which is stored nowhere and shown this once."""
    now = context.world.now()
    if body.expires_at is not None and body.expires_at <= now:
        error = FieldError(field="expiresAt", message="is over; name a time to come")
        raise ProblemError("invalid_request", f"{error.field}: {error.message}", [error])
    shown, token = mint(context.world.random)
    key = Key(
        id=token.key_id,
        hash=token.digest,
        user_id=body.user_id,
        name=body.name,
        scopes=tuple(dict.fromkeys(body.scopes)),
        max_per_day=body.max_per_day,
        max_total=body.max_total,
        max_running=body.max_running,
        requests_per_minute=body.requests_per_minute,
        created_at=now,
        expires_at=body.expires_at,
    )
    await context.keys.add(key)
    return NewKeyOut.model_validate({**_public(key), "token": shown})


@router.get("", summary="List API keys", responses=responses(*_COMMON, "invalid_request"))
async def list_keys(context: ContextOf, asked: Annotated[KeysQuery, Query()]) -> KeysAnswer:
    """The keys, newest first."""
    older_than = position(asked.cursor) if asked.cursor else None
    found = await context.keys.page(asked.limit + 1, older_than=older_than)
    page = found[: asked.limit]
    return KeysAnswer(
        keys=[KeyOut.model_validate(_public(key)) for key in page],
        next_cursor=cursor_of(page[-1].created_at, page[-1].id) if len(found) > asked.limit else None,
    )


@router.delete(
    "/{key_id}",
    status_code=204,
    summary="Revoke an API key",
    responses=responses(*_COMMON, "key_not_found", "invalid_request"),
)
async def revoke_key(key_id: KeyId, context: ContextOf) -> None:
    """Revoke a key: it lets nobody in (after 5 s at most), and its runs buy nothing more. Harmless to repeat."""
    await context.keys.revoke(key_id, context.world.now())


def _public(key: Key) -> dict[str, object]:
    return {name: getattr(key, name) for name in KeyOut.model_fields}
