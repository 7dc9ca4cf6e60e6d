"""`purser x402 ...`: tools for those who debug an integration. They reach no network."""

from __future__ import annotations

import json as jsons
import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from scripts.cli.options import JsonFlag, user_path
from scripts.exits import Exit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from net.strict_json import Json

__all__ = ["app"]

app = typer.Typer(help="Read and check x402 messages; nothing is sent anywhere.", no_args_is_help=True)


@app.command()
def decode(
    header: Annotated[
        str, typer.Argument(metavar="HEADER", help="a value, 'Name: value' or a body's JSON; - is stdin")
    ],
    show_signature: Annotated[
        bool, typer.Option("--show-signature", help="also what makes a payment worth money")
    ] = False,
) -> None:
    """Show any x402 header as JSON, and what is wrong with it. A payment's signature is left out.

    Exits with 1 where a strict reader would refuse it.
    """
    from scripts.x402_tools import decode as decoded
    from x402.errors import MalformedHeader

    try:
        found = decoded(_given(header))
    except MalformedHeader as exc:
        _print({"kind": "unknown", "message": None, "problems": [str(exc)]})
        raise typer.Exit(Exit.FAILED) from None
    _print(found.as_json(signature=show_signature))
    if found.problems:
        raise typer.Exit(Exit.FAILED)


@app.command()
def verify(
    requirements: Annotated[
        str, typer.Option(metavar="FILE", help="the terms: a challenge, or entries of its accepts; header or JSON")
    ],
    payment: Annotated[str, typer.Option(metavar="HEADER", help="the payment's header; - is stdin")],
    at: Annotated[float | None, typer.Option(metavar="UNIX", help="the time to check for; default: now")] = None,
    json: JsonFlag = False,
) -> None:
    """Hold a payment against the terms it answers: valid, or which check failed and why (exit code 1).

    Everything is checked that needs no chain. The payer's balance, whether the nonce was used, and smart wallets
    are not.
    """
    from scripts.view.text import plain
    from scripts.x402_tools import read_requirements
    from scripts.x402_tools import verify as verified

    try:
        terms = read_requirements(user_path(requirements).read_text("utf-8"))
    except OSError as exc:
        raise typer.BadParameter(f"{requirements}: {exc.strerror}", param_hint="--requirements") from None
    except ValueError as exc:
        raise typer.BadParameter(f"{requirements}: {exc}", param_hint="--requirements") from None
    verdict = verified(terms, _given(payment), time.time() if at is None else at)
    if json:
        _print(verdict.as_json())
    elif verdict.failure is None:
        print("valid (balance and nonce were not looked up)")
    else:
        print(plain(f"invalid: {verdict.failure.value}: {verdict.message}"))
    if verdict.failure is not None:
        raise typer.Exit(Exit.FAILED)


def _given(text: str) -> str:
    return sys.stdin.read() if text == "-" else text


def _print(document: Mapping[str, Json]) -> None:
    print(jsons.dumps(document, indent=2))
