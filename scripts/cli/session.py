"""What the commands share: the client made from the settings, what goes to stdout, and errors as exit codes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NoReturn

import typer

from scripts.exits import Exit

if TYPE_CHECKING:
    from rich.console import RenderableType

    from agent.process.settings import Settings
    from scripts.client.api import Client
    from scripts.client.errors import Refused

__all__ = ["LOCAL_URL", "Session", "failing", "say", "session", "settings_now"]

LOCAL_URL: Final = "http://127.0.0.1:3000"
"""Where `make dev` and `purser serve` listen: what PURSER_URL is where it is not set."""


@dataclass(frozen=True, slots=True)
class Session:
    """A connected command. `as_json`: stdout is for programs."""

    client: Client
    as_json: bool

    def answer(self, text: str, *shown: RenderableType) -> None:
        """Print the API's answer as it came, or what is made of it for people."""
        if self.as_json:
            print(text)
        else:
            say(*shown)


def say(*shown: RenderableType) -> None:
    """Print for people."""
    from scripts.view.text import console_for

    console = console_for()
    for each in shown:
        console.print(each, soft_wrap=True)


def settings_now() -> Settings:
    """The settings, read from the environment and `.env`."""
    from agent.process.settings import load_settings

    return load_settings()


@contextmanager
def session(as_json: bool) -> Iterator[Session]:
    """A client of the server that PURSER_URL names; errors inside end the command with their exit code."""
    with failing(as_json):
        from agent.process.environment import environment
        from scripts.client.api import Client

        told = environment()
        with Client(told.get("PURSER_URL", LOCAL_URL), told.get("API_TOKEN")) as client:
            yield Session(client, as_json)


@contextmanager
def failing(as_json: bool) -> Iterator[None]:
    """Turn the errors that a user can do something about into a message on stderr and an exit code.

    Ctrl-C is Typer's, which ends with `Exit.INTERRUPTED`.
    """
    from agent.book.errors import ConfigurationError, RestoreRefused, StoreUnavailable
    from scripts.client.errors import Busy, NotFound, Refused, Unreachable
    from scripts.serve.servers import ServerFailed
    from x402.errors import ChainError

    try:
        yield
    except Refused as exc:
        code = (
            Exit.NOT_FOUND if isinstance(exc, NotFound) else Exit.BUSY if isinstance(exc, Busy) else Exit.REFUSED
        )
        _refused(code, exc, as_json)
    except (Unreachable, StoreUnavailable, ChainError) as exc:
        _fail(Exit.UNREACHABLE, "unreachable", exc, as_json)
    except RestoreRefused as exc:
        _fail(Exit.REFUSED, "restore_refused", exc, as_json)
    except (ConfigurationError, ServerFailed) as exc:
        _fail(Exit.SETUP, "setup", exc, as_json)


def _refused(code: Exit, exc: Refused, as_json: bool) -> NoReturn:
    from scripts.view.runs import problem
    from scripts.view.text import console_for

    if as_json:
        typer.echo(exc.text, err=True)
    else:
        console_for(stderr=True).print(problem(exc), soft_wrap=True)
    raise typer.Exit(code) from exc


def _fail(code: Exit, name: str, exc: Exception, as_json: bool) -> NoReturn:
    from scripts.view.text import console_for, said

    if as_json:
        typer.echo(json.dumps({"code": name, "detail": str(exc)}), err=True)
    else:
        console = console_for(stderr=True)
        for line in str(exc).splitlines():
            console.print(said(line), soft_wrap=True)
    raise typer.Exit(code) from exc
