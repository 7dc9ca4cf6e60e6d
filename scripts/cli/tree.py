"""The `purser` command. It talks to the API over HTTP; modules are imported where used, so that it starts fast."""

from __future__ import annotations

import atexit
import gc
import sys
from typing import Final

import typer

from scripts.cli import local, pay, runs, store
from scripts.exits import MEANINGS

__all__ = ["command_line", "main"]

gc.set_threshold(100_000)  # most commands are over before there is garbage: it is not looked for while they start
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]  # httpx's own command, half of its import

_CODES = "\n".join(f"  {code.value:>3}  {meaning}" for code, meaning in MEANINGS.items())

_COMMANDS: Final = (
    *(runs.start, runs.tick, runs.watch, runs.status, runs.cancel, runs.runs, pay.pay),
    *(store.init, local.demo, local.dev, local.serve, local.worker),
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
        app.command(epilog=pay.EPILOG if command is pay.pay else None)(command)
    if not named:
        _add_groups(app)
    return app


def _add_groups(app: typer.Typer) -> None:
    from scripts.cli import audit, keys, vendors, wallet, x402

    app.add_typer(vendors.app, name="vendors")
    app.add_typer(keys.app, name="keys")
    app.add_typer(audit.app, name="audit")
    app.add_typer(wallet.app, name="wallet")
    app.add_typer(x402.app, name="x402")


def main() -> None:
    """Run the command; never returns."""
    atexit.register(gc.freeze)  # at its end Python looks for garbage in all that was imported: a sixth of `status`
    command_line(*sys.argv[1:2])(prog_name="purser")
