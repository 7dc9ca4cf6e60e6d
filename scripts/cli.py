"""The `purser` command. It talks to the API over HTTP; modules are imported where used, so that it starts fast."""

from __future__ import annotations

import atexit
import gc
import sys
from typing import Annotated, Final

import typer

from scripts import cli_local, cli_pay
from scripts.exits import MEANINGS, Exit
from scripts.options import Budget, JsonFlag, PricePerHour, RunArgument
from scripts.session import say, session

__all__ = ["command_line", "main"]

gc.set_threshold(100_000)  # most commands are over before there is garbage: it is not looked for while they start
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]  # httpx's own command, half of its import

_CODES = "\n".join(f"  {code.value:>3}  {meaning}" for code, meaning in MEANINGS.items())


def start(
    goal: Annotated[str, typer.Argument(help="what is to be done")],
    budget: Budget,
    user: Annotated[str, typer.Option(help="whose run it is")] = "local",
    gpu_type: Annotated[str | None, typer.Option(help="for example A100")] = None,
    job_type: Annotated[str | None, typer.Option(help="default: fine_tune")] = None,
    max_hours: Annotated[float | None, typer.Option(help="hours per job; default: 1")] = None,
    max_price_per_hour: PricePerHour = None,
    vendor: Annotated[list[str] | None, typer.Option(help="use only this vendor (repeatable)")] = None,
    deadline: Annotated[str | None, typer.Option(help="for example 2026-12-01T12:00:00Z")] = None,
    price_tolerance: Annotated[float, typer.Option(help="share that a price may exceed its quote")] = 0,
    idempotency_key: Annotated[str | None, typer.Option(help="the same key starts the same run once")] = None,
    json: JsonFlag = False,
) -> None:
    """Start a run. It does nothing yet: `watch` or `tick` advance it, or a cron."""
    from agent.money import usd_json
    from scripts.options import given

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
        priceTolerance=price_tolerance or None,
    )
    with session(json) as here:
        reply = here.client.start(order, idempotency_key)
        if json:
            print(reply.text)
            return
        from scripts.text import said
        from scripts.view import run_line

        say(run_line(reply.value), said(f"follow it with: ./purser watch {reply.value.id}", "dim"))


def tick(run: RunArgument, json: JsonFlag = False) -> None:
    """Advance a run by one step."""
    with session(json) as here:
        reply = here.client.tick(run)
        if json:
            print(reply.text)
        else:
            from scripts.view import ticked

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
            from scripts.books import books_of
            from scripts.screen import Screen
            from scripts.text import console_for
            from scripts.view import books

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
        from scripts.books import books_of
        from scripts.view import status_view

        say(status_view(reply.value, books_of(reply.value.run, reply.value.payments)))


def cancel(run: RunArgument, json: JsonFlag = False) -> None:
    """Stop a run. What is reserved is settled or released first, so its end may come with a later tick."""
    with session(json) as here:
        reply = here.client.cancel(run)
        if json:
            print(reply.text)
            return
        from scripts.view import ticked

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
        from scripts.tables import runs_table

        say(runs_table(reply.value))


def _parked(user: str | None, limit: int, json: bool) -> None:
    with session(json) as here:
        reply = here.client.parked(user, limit)
        if json:
            print(reply.text)
            return
        from scripts.tables import parked_table

        say(parked_table(reply.value))


def _end_as(status: str) -> None:
    """Exit 1 where the run has failed or was cancelled."""
    if status in ("failed", "cancelled"):
        raise typer.Exit(Exit.FAILED)


_COMMANDS: Final = (
    *(start, tick, watch, status, cancel, runs, cli_pay.pay),
    *(cli_local.init, cli_local.demo, cli_local.dev, cli_local.serve, cli_local.worker),
)


def command_line(first: str = "") -> typer.Typer:
    """The `purser` command.

    Where `first`, its first argument, names a command that is in no group, that one is all there is: to load and
    build the others takes a tenth of its time.
    """
    app = typer.Typer(
        callback=lambda: None,  # so that one command alone is still called by its name
        help="Purser: an agent with a wallet. Commands talk to the server at PURSER_URL (default http://127.0.0.1:3000).",
        epilog=f"\b\nExit codes:\n{_CODES}",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    named = [command for command in _COMMANDS if command.__name__ == first]
    for command in named or _COMMANDS:
        app.command(epilog=cli_pay.EPILOG if command is cli_pay.pay else None)(command)
    if not named:
        _add_groups(app)
    return app


def _add_groups(app: typer.Typer) -> None:
    from scripts import cli_audit, cli_keys, cli_vendors, cli_wallet, cli_x402

    app.add_typer(cli_vendors.app, name="vendors")
    app.add_typer(cli_keys.app, name="keys")
    app.add_typer(cli_audit.app, name="audit")
    app.add_typer(cli_wallet.app, name="wallet")
    app.add_typer(cli_x402.app, name="x402")


def main() -> None:
    """Run the command; never returns."""
    atexit.register(gc.freeze)  # at its end Python looks for garbage in all that was imported: a sixth of `status`
    command_line(*sys.argv[1:2])(prog_name="purser")


if __name__ == "__main__":
    main()
