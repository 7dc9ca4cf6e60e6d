"""Options and arguments that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

if TYPE_CHECKING:
    from pydantic import JsonValue

__all__ = [
    "MOCK_ENDPOINT",
    "Budget",
    "JsonFlag",
    "Price",
    "PricePerHour",
    "RunArgument",
    "SomeDollars",
    "dollars",
    "dollars_or_zero",
    "given",
    "networks_named",
    "number",
    "user_path",
]

MOCK_ENDPOINT: Final = "http://127.0.0.1:4001"
"""Where `make vendor` and `make dev` serve the mock vendors."""


def dollars(text: str) -> int:
    """Dollars on the command line, as micro-dollars."""
    return _amount(text, zero=False)


def dollars_or_zero(text: str) -> int:
    """The same, where nothing at all is an amount too."""
    return _amount(text, zero=True)


def _amount(text: str, *, zero: bool) -> int:
    from agent.book.money import InvalidAmount, parse_usd

    try:
        return parse_usd(text, zero=zero)
    except InvalidAmount as exc:
        raise typer.BadParameter(str(exc)) from exc


def number(text: str) -> float:
    """A number on the command line that money is multiplied with."""
    from x402.codec import decimal_text

    try:
        return float(decimal_text(text))
    except ValueError as exc:
        raise typer.BadParameter(str(exc)) from exc


def given(**fields: JsonValue) -> dict[str, JsonValue]:
    """The fields that were given a value, as a request body."""
    return {name: value for name, value in fields.items() if value is not None}


def networks_named(names: list[str]) -> frozenset[str]:
    """Networks on the command line, `base` or `eip155:8453`, as CAIP-2 ids."""
    from x402.networks import V1_NAMES, chain_id

    found = frozenset(V1_NAMES.get(name, name) for name in names)
    if strange := sorted(name for name in found if chain_id(name) is None):
        raise typer.BadParameter(f"{strange[0]} is no network such as base or eip155:8453", param_hint="--network")
    return found


def user_path(path: Path | str) -> Path:
    """A file named on the command line: `./purser` goes to the checkout before it starts Python."""
    from scripts.cli.session import settings_now

    return Path(settings_now().purser_called_from) / Path(path).expanduser()


JsonFlag = Annotated[bool, typer.Option("--json", help="print the API's JSON and nothing else")]
RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="the run's id")]
Budget = Annotated[int, typer.Option(parser=dollars, metavar="USD", help="dollars that the run may spend")]
Price = Annotated[int, typer.Option(parser=dollars, metavar="USD", help="list price per hour, in dollars")]
SomeDollars = Annotated[
    int | None, typer.Option(parser=dollars, metavar="USD", help="dollars at the most; default: no limit")
]
PricePerHour = Annotated[
    int | None, typer.Option(parser=dollars, metavar="USD", help="dollars per hour at the most")
]
