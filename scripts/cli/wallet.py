"""`purser wallet ...`: the key that pays. It is never printed, and never taken from the command line."""

from __future__ import annotations

import json as jsons
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scripts.cli.options import JsonFlag, networks_named, user_path
from scripts.cli.session import failing, say, settings_now

if TYPE_CHECKING:
    from pydantic import JsonValue

    from agent.process.settings import Settings
    from x402.secp256k1 import SigningKey

__all__ = ["app"]

app = typer.Typer(
    help="The wallet that pays: a keystore file, a key in the settings, or Coinbase.", no_args_is_help=True
)

Output = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE", help="default: $PURSER_HOME/keystore.json")
]


@app.command()
def new(output: Output = None, json: JsonFlag = False) -> None:
    """Make a key and write it to a keystore file, encrypted under a password."""
    with failing(json):
        from x402.secp256k1 import SigningKey

        settings = settings_now()
        _keep(SigningKey.generate(), output, settings, json)


@app.command("import")
def import_key(output: Output = None, json: JsonFlag = False) -> None:
    """Write a key of yours to a keystore file. It is read from stdin, or asked for where that is a terminal."""
    with failing(json):
        settings = settings_now()  # before the key is here: with them the process is closed to others
        _keep(_key_of_the_user(), output, settings, json)


@app.command()
def address(json: JsonFlag = False) -> None:
    """Show the address that pays. A keystore stays locked."""
    with failing(json):
        from scripts.wallets import own_address

        found = own_address(settings_now())
        _answer({"address": found}, found, json)


@app.command()
def balance(
    network: Annotated[
        list[str] | None,
        typer.Option(help="on this network (repeatable); default: each one that X402_RPC_URLS names"),
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Ask the chain what the wallet holds, through the nodes in X402_RPC_URLS."""
    wanted = None if network is None else networks_named(network)
    with failing(json):
        import asyncio

        from scripts.view.text import usd
        from scripts.wallets import balances, own_address

        settings = settings_now()
        owner = own_address(settings)
        held = asyncio.run(balances(settings, owner, wanted))
        entries: list[JsonValue] = [each.as_json() for each in held]
        lines = [f"{usd(each.amount)} as {each.token.symbol} on {each.token.network}" for each in held]
        _answer({"address": owner, "balances": entries}, "\n".join([owner, *lines]), json)


def _keep(key: SigningKey, output: Path | None, settings: Settings, json: bool) -> None:
    from scripts.wallets import default_keystore, keep

    path = default_keystore(settings) if output is None else user_path(output)
    keep(key, path, settings)
    used = output is None and not settings.has_wallet
    hint = "" if used else f"; set X402_KEYSTORE={path} to pay with it"
    _answer({"address": key.address, "keystore": str(path)}, f"{key.address} is in {path}{hint}", json)


def _key_of_the_user() -> SigningKey:
    from scripts.wallets import ask_password
    from x402.secp256k1 import SigningKey

    try:
        if _at_a_terminal():
            return SigningKey.from_hex(ask_password("Private key: ").get_secret_value().strip())
        return SigningKey.from_hex(sys.stdin.readline(200).strip())
    except ValueError as exc:
        raise typer.BadParameter(str(exc), param_hint="the key") from None


def _at_a_terminal() -> bool:
    return sys.stdin.isatty()


def _answer(document: dict[str, JsonValue], text: str, as_json: bool) -> None:
    from rich.text import Text

    if as_json:
        print(jsons.dumps(document))
    else:
        say(Text(text))
