"""`purser vendors ...`: the registry of vendors."""

from __future__ import annotations

import json as jsons
import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from scripts.cli.options import MOCK_ENDPOINT, JsonFlag, Price, PricePerHour, given, user_path
from scripts.cli.session import say, session
from scripts.exits import Exit

__all__ = ["app"]

_MOST_READ: Final = 5_000
"""Characters of a file with a token, which has 4,096 at the most and the end of a line."""

SecretFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="a file with its bearer token, to be sealed in the registry; - for stdin"),
]
VendorId = Annotated[str, typer.Argument(metavar="VENDOR", help="the vendor's id")]

app = typer.Typer(help="The registry of vendors.", no_args_is_help=True)


@app.command("list")
def list_vendors(json: JsonFlag = False) -> None:
    """List the vendors with their records."""
    with session(json) as here:
        from scripts.client.registry import list_vendors

        reply = list_vendors(here.client)
        if json:
            print(reply.text)
            return
        from scripts.view.tables import vendors_table

        say(vendors_table(reply.value))


@app.command()
def add(
    vendor: VendorId,
    endpoint: Annotated[str, typer.Option(help="https, or http on this machine")],
    price: Price,
    gpu: Annotated[list[str], typer.Option(help="a GPU type that it offers (repeatable)")],
    name: Annotated[str | None, typer.Option(help="default: the id")] = None,
    reliability: Annotated[float, typer.Option(help="0 to 1: what is believed before it has a record")] = 0.9,
    pay_to: Annotated[str | None, typer.Option(help="payee; default: pinned at the first payment")] = None,
    secret_ref: Annotated[str | None, typer.Option(help="the variable with its bearer token")] = None,
    secret_file: SecretFile = None,
    allow_tx_id: Annotated[
        bool, typer.Option("--allow-tx-id", help="it may be a vendor from before x402")
    ] = False,
    json: JsonFlag = False,
) -> None:
    """Register a vendor."""
    from agent.book.money import usd_json

    body = given(
        vendorId=vendor,
        name=name or vendor,
        endpoint=endpoint,
        basePricePerHour=usd_json(price),
        reliabilityScore=reliability,
        supportedGpuTypes=[*gpu],
        payTo=pay_to,
        secretRef=secret_ref,
        secret=_secret(secret_file),
        allowTxId=allow_tx_id or None,
    )
    with session(json) as here:
        from scripts.client.registry import add_vendor

        here.answer(add_vendor(here.client, body).text, f"added {vendor}")


@app.command()
def update(
    vendor: VendorId,
    endpoint: Annotated[str | None, typer.Option()] = None,
    price: PricePerHour = None,
    gpu: Annotated[list[str] | None, typer.Option(help="its GPU types from now on (repeatable)")] = None,
    name: Annotated[str | None, typer.Option()] = None,
    pay_to: Annotated[str | None, typer.Option(help="payee")] = None,
    secret_ref: Annotated[str | None, typer.Option(help="the variable with its bearer token")] = None,
    secret_file: SecretFile = None,
    allow_tx_id: Annotated[bool | None, typer.Option(help="whether it may be a vendor from before x402")] = None,
    json: JsonFlag = False,
) -> None:
    """Change a vendor: what is given changes, its record stays."""
    from agent.book.money import usd_json

    body = given(
        name=name,
        endpoint=endpoint,
        basePricePerHour=None if price is None else usd_json(price),
        supportedGpuTypes=[*gpu] if gpu else None,
        payTo=pay_to,
        secretRef=secret_ref,
        secret=_secret(secret_file),
        allowTxId=allow_tx_id,
    )
    if not body:
        raise typer.BadParameter("give at least one thing to change")
    with session(json) as here:
        from scripts.client.registry import change_vendor

        here.answer(change_vendor(here.client, vendor, body).text, f"changed {vendor}")


@app.command()
def remove(vendor: VendorId, json: JsonFlag = False) -> None:
    """Strike a vendor off. Its running jobs fail; what was paid stays paid."""
    with session(json) as here:
        from scripts.client.registry import remove_vendor

        remove_vendor(here.client, vendor)
        here.answer(jsons.dumps({"vendorId": vendor}), f"removed {vendor}")


@app.command()
def reseal(json: JsonFlag = False) -> None:
    """Seal every secret in the registry with the first of the server's SEALING_KEYS."""
    with session(json) as here:
        from rich.text import Text

        from scripts.client.registry import reseal_vendors

        reply = reseal_vendors(here.client)
        done = reply.value
        lines = [f"sealed {done.resealed} anew, {done.current} were up to date"]
        lines += [f"{each.vendor_id} stays as it is: {each.reason}" for each in done.failed]
        here.answer(reply.text, Text("\n".join(lines)))
        if done.failed:
            raise typer.Exit(Exit.FAILED)


@app.command()
def seed(
    endpoint: Annotated[str, typer.Option(help="where the mock vendors are")] = MOCK_ENDPOINT,
    json: JsonFlag = False,
) -> None:
    """Register the mock vendors gpu_vendor_1 and gpu_vendor_2.

    A vendor that is there already stays as it is.
    """
    with session(json) as here:
        from scripts import seed as seeds
        from scripts.client.registry import list_vendors
        from scripts.view.tables import vendors_table

        seeds.seed(here.client, endpoint)
        reply = list_vendors(here.client)
        here.answer(reply.text, vendors_table(reply.value))


def _secret(file: Path | None) -> str | None:
    """The token in a file, without the end of its line; never from the command line, which other users can see."""
    if file is None:
        return None
    from agent.book.errors import ConfigurationError
    from agent.process.private_files import read_private

    try:
        if str(file) == "-":
            text = sys.stdin.read(_MOST_READ)
        else:
            text = read_private(user_path(file), _MOST_READ).decode()
    except ConfigurationError as exc:
        raise typer.BadParameter(str(exc), param_hint="--secret-file") from None
    except (OSError, UnicodeDecodeError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else "it is not text"
        raise typer.BadParameter(f"cannot be read: {why}", param_hint="--secret-file") from None
    secret = text.removesuffix("\n").removesuffix("\r")
    from vendors.models import is_token

    if not is_token(secret):
        raise typer.BadParameter("must hold 1 to 4096 visible ASCII characters", param_hint="--secret-file")
    return secret
