"""`purser start`, `tick`, `watch`, `status`, `cancel`, `runs`: what users do with runs."""

from __future__ import annotations

from typing import Annotated

import typer

from scripts.cli.options import Budget, JsonFlag, PricePerHour, RunArgument, number
from scripts.cli.session import say, session
from scripts.exits import Exit

__all__ = ["cancel", "runs", "start", "status", "tick", "watch"]


def start(
    goal: Annotated[str, typer.Argument(help="what is to be done")],
    budget: Budget,
    user: Annotated[str, typer.Option(help="whose run it is")] = "local",
    gpu_type: Annotated[str | None, typer.Option(help="for example A100")] = None,
    job_type: Annotated[str | None, typer.Option(help="default: fine_tune")] = None,
    max_hours: Annotated[
        float | None, typer.Option(parser=number, metavar="HOURS", help="for each job; default: 1")
    ] = None,
    max_price_per_hour: PricePerHour = None,
    vendor: Annotated[list[str] | None, typer.Option(help="use only this vendor (repeatable)")] = None,
    deadline: Annotated[str | None, typer.Option(help="for example 2026-12-01T12:00:00Z")] = None,
    price_tolerance: Annotated[
        float | None,
        typer.Option(parser=number, metavar="SHARE", help="by how much a price may exceed its quote; default: 0"),
    ] = None,
    idempotency_key: Annotated[str | None, typer.Option(help="the same key starts the same run once")] = None,
    json: JsonFlag = False,
) -> None:
    """Start a run. It does nothing yet: `watch` or `tick` advance it, or a cron."""
    from agent.book.money import usd_json
    from scripts.cli.options import given

    order = given(
        userId=user,
        goal=goal,
        budgetTotal=usd_json(budget),
        gpuType=gpu_type,
        jobType=job_type,
        maxHours=max_hours,
        maxPricePerHour=None if max_price_per_hour is None else usd_json(max_price_per_hour),
        vendorIds=[*vendor] if vendor else None,
        deadline=deadline,
        priceTolerance=price_tolerance,
    )
    with session(json) as here:
        reply = here.client.start(order, idempotency_key)
        if json:
            print(reply.text)
            return
        from scripts.view.runs import run_line
        from scripts.view.text import said

        say(run_line(reply.value), said(f"follow it with: ./purser watch {reply.value.id}", "dim"))


def tick(run: RunArgument, json: JsonFlag = False) -> None:
    """Advance a run by one step."""
    with session(json) as here:
        reply = here.client.tick(run)
        if json:
            print(reply.text)
        else:
            from scripts.view.runs import ticked

            say(ticked(reply.value))
    _end_as(reply.value.run.status)


def watch(run: RunArgument, json: JsonFlag = False) -> None:
    """Follow a run to its end, ticking it when a tick is due. With --json: its status, when it has ended."""
    with session(json) as here:
        from scripts.watch import follow

        if json:
            follow(here.client, run, lambda _: None)
            reply = here.client.status(run)
            print(reply.text)
        else:
            from scripts.audit.books import books_of
            from scripts.view.runs import books
            from scripts.view.screen import Screen
            from scripts.view.text import console_for

            console = console_for()
            with Screen(console) as screen:
                reply = follow(here.client, run, screen.show)
            say("", books(books_of(reply.value.run, reply.value.payments)))
    _end_as(reply.value.run.status)


def status(
    run: RunArgument,
    limit: Annotated[int, typer.Option(min=1, max=500, help="newest observations to show")] = 20,
    json: JsonFlag = False,
) -> None:
    """Show a run: its jobs, its books and the newest of its trail."""
    with session(json) as here:
        reply = here.client.status(run, limit=limit)
        if json:
            print(reply.text)
            return
        from datetime import UTC, datetime

        from scripts.audit.books import books_of
        from scripts.view.runs import status_view

        sums = books_of(reply.value.run, reply.value.payments)
        say(status_view(reply.value, sums, datetime.now(UTC)))


def cancel(run: RunArgument, json: JsonFlag = False) -> None:
    """Stop a run. What is reserved is settled or released first, so its end may come with a later tick."""
    with session(json) as here:
        reply = here.client.cancel(run)
        if json:
            print(reply.text)
            return
        from scripts.view.runs import ticked

        say(ticked(reply.value))


def runs(
    user: Annotated[str | None, typer.Option(help="only this user's")] = None,
    status: Annotated[str | None, typer.Option(help="running, completed, failed or cancelled")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100)] = 20,
    cursor: Annotated[str | None, typer.Option(help="where the page before ended")] = None,
    parked: Annotated[bool, typer.Option("--parked", help="those whose ticks keep failing, and why")] = False,
    json: JsonFlag = False,
) -> None:
    """List runs, newest first; with --parked those whose ticks keep failing."""
    if parked and (status or cursor):
        raise typer.BadParameter("--parked goes with --user and --limit only")
    if parked:
        _parked(user, limit, json)
        return
    with session(json) as here:
        reply = here.client.runs(user, status, limit, cursor)
        if json:
            print(reply.text)
            return
        from scripts.view.tables import runs_table

        say(runs_table(reply.value))


def _parked(user: str | None, limit: int, json: bool) -> None:
    with session(json) as here:
        reply = here.client.parked(user, limit)
        if json:
            print(reply.text)
            return
        from scripts.view.tables import parked_table

        say(parked_table(reply.value))


def _end_as(status: str) -> None:
    """Exit 1 where the run has failed or was cancelled."""
    if status in ("failed", "cancelled"):
        raise typer.Exit(Exit.FAILED)
