"""`purser keys ...`: API keys, for whoever has the operator's token or a key with the scope admin."""

from __future__ import annotations

import json as jsons
from typing import Annotated

import typer

from scripts.cli.options import JsonFlag, SomeDollars, given
from scripts.cli.session import say, session

__all__ = ["app"]

app = typer.Typer(help="API keys: who may call the server, for which user, and what for.", no_args_is_help=True)


@app.command()
def create(
    user: Annotated[str, typer.Option(help="whose runs it is for")],
    name: Annotated[str, typer.Option(help="what it is for")],
    scope: Annotated[
        list[str] | None, typer.Option(help="read, run or admin (repeatable); default: run, which includes read")
    ] = None,
    max_per_day: SomeDollars = None,
    max_total: SomeDollars = None,
    max_running: Annotated[
        int | None, typer.Option(min=1, max=1_000, help="runs under way at once; default: the server's")
    ] = None,
    requests_per_minute: Annotated[int | None, typer.Option(min=1, help="over all servers; default: 600")] = None,
    expires: Annotated[str | None, typer.Option(help="for example 2027-01-01T00:00:00Z; default: never")] = None,
    json: JsonFlag = False,
) -> None:
    """Make a key and show it, this once.

    The runs that are started with it spend no more than --max-per-day (a UTC day) and --max-total together.
    """
    from agent.book.money import usd_json

    per_day, total = (None if each is None else usd_json(each) for each in (max_per_day, max_total))
    body = given(
        userId=user,
        name=name,
        scopes=[*scope] if scope else None,
        maxPerDay=per_day,
        maxTotal=total,
        maxRunning=max_running,
        requestsPerMinute=requests_per_minute,
        expiresAt=expires,
    )
    with session(json) as here:
        from scripts.client.keys import create_key

        reply = create_key(here.client, body)
        if json:
            print(reply.text)
            return
        from scripts.view.tables import new_key

        say(new_key(reply.value))


@app.command("list")
def list_(
    limit: Annotated[int, typer.Option(min=1, max=100)] = 20,
    cursor: Annotated[str | None, typer.Option(help="where the page before ended")] = None,
    json: JsonFlag = False,
) -> None:
    """List the keys, newest first, revoked ones too."""
    with session(json) as here:
        from scripts.client.keys import list_keys

        reply = list_keys(here.client, limit, cursor)
        if json:
            print(reply.text)
            return
        from scripts.view.tables import keys_table

        say(keys_table(reply.value))


@app.command()
def revoke(
    key: Annotated[str, typer.Argument(metavar="KEY", help="the key's id")], json: JsonFlag = False
) -> None:
    """Revoke a key: it lets nobody in any more, and its runs buy nothing more."""
    with session(json) as here:
        from scripts.client.keys import revoke_key

        revoke_key(here.client, key)
        here.answer(jsons.dumps({"keyId": key}), f"revoked {key}")
