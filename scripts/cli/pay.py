"""`purser pay`: a curl that pays."""

from __future__ import annotations

import json as jsons
import re
from typing import TYPE_CHECKING, Annotated, Final

import typer

from scripts.cli.options import dollars, networks_named
from scripts.cli.session import failing, settings_now

if TYPE_CHECKING:
    import httpx

    from scripts.pay.values import Outcome, PayExit, Priced

__all__ = ["EPILOG", "pay"]

EPILOG: Final = """\b
Exit codes:
    0  paid, or free
    2  the command line cannot be understood
    3  above --max-usd or MAX_PER_PAYMENT; nothing was signed
    4  no offer may be paid: network, asset, payee, host, scheme, terms, plain http; nothing was signed
    5  the vendor failed, refused the payment, or cannot be reached
    6  the outcome is unknown: the same command sends the same payment again
    7  no wallet, one that cannot pay or does not sign, a node that does not answer, a bad setting, a journal that
       cannot be written
"""

_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE: Final = re.compile(r"[\t\x20-\x7e]*")
_METHOD: Final = re.compile(r"[A-Z]{1,32}")
_IDEMPOTENCY_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")
_OURS: Final = frozenset(
    {
        "payment-signature",
        "x-payment",
        "host",
        "content-length",
        "transfer-encoding",
        "connection",
        "accept-encoding",
    }
)


def pay(
    method: Annotated[str, typer.Argument(metavar="METHOD", help="GET, POST, ...")],
    url: Annotated[str, typer.Argument(metavar="URL", help="https, or http on this machine")],
    max_usd: Annotated[
        int, typer.Option(parser=dollars, metavar="USD", help="the most that may be paid, in dollars")
    ],
    json: Annotated[str | None, typer.Option(metavar="BODY", help="a JSON body")] = None,
    header: Annotated[list[str] | None, typer.Option("--header", "-H", help="'Name: value' (repeatable)")] = None,
    network: Annotated[
        list[str] | None, typer.Option(help="pay on this network only (repeatable); default: X402_NETWORKS")
    ] = None,
    idempotency_key: Annotated[
        str | None, typer.Option(help="names the purchase, and is sent along: the same name never buys twice")
    ] = None,
    new_purchase: Annotated[
        bool, typer.Option("--new-purchase", help="pay anew, though an earlier payment of this request is open")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="show the offer, sign nothing")] = False,
    json_output: Annotated[
        bool, typer.Option("--json-output", help="print one JSON object and nothing else")
    ] = False,
) -> None:
    """Send a request, and pay for it over x402 if the vendor asks for no more than --max-usd.

    The body goes to stdout, offer and receipt to stderr. A payment is kept in $PURSER_HOME/payments before it is
    sent; when its answer is lost, the same command sends the same payment again, and never signs a second one.
    """
    with failing(json_output):
        import asyncio
        from functools import partial

        from agent.book.limits import allowed
        from agent.wallet.chains import register_assets
        from scripts.http_client import http_client
        from scripts.pay.buy import pay as carry_out
        from scripts.pay.journal import Journal
        from scripts.pay.values import Order
        from scripts.wallets import became_of, held_by, open_own_signer

        settings = settings_now()
        register_assets(settings)
        limits = settings.limits
        order = Order(
            method=_method(method),
            url=_url(url),
            max_amount=allowed(limits, max_usd),
            networks=networks_named(network) if network else settings.networks,
            assets=limits.assets,
            payees=limits.payees,
            hosts=limits.hosts,
            headers=_headers(header or [], json is not None, idempotency_key),
            body=None if json is None else _body(json),
            name=idempotency_key,
            new_purchase=new_purchase,
            dry_run=dry_run,
        )

        async def run() -> PayExit:
            async with http_client() as http:
                return await carry_out(
                    order,
                    Journal(settings.purser_home),
                    partial(open_own_signer, settings),
                    partial(_deliver, as_json=json_output, dry_run=dry_run),
                    http=http,
                    look=partial(held_by, settings, dry_run),
                    fate=partial(became_of, settings),
                    show=(lambda _: None) if json_output else _show,
                )

        code = asyncio.run(run())
    raise typer.Exit(code)


def _show(offers: tuple[Priced, ...]) -> None:
    from scripts.pay.view import offer_lines

    for line in offer_lines(offers):
        typer.echo(line, err=True)


def _deliver(outcome: Outcome, *, as_json: bool, dry_run: bool) -> None:
    """Print what came of it; what cannot be printed was not delivered."""
    from scripts.pay import view as pay_view

    if as_json:
        pay_view.write_body(jsons.dumps(pay_view.as_json(outcome)).encode() + b"\n")
        return
    if outcome.response is not None:
        pay_view.write_body(outcome.response.content)
    for line in pay_view.outcome_lines(outcome, dry_run=dry_run):
        typer.echo(line, err=True)


def _method(text: str) -> str:
    if not _METHOD.fullmatch(text.upper()):
        raise typer.BadParameter("not a method of HTTP", param_hint="METHOD")
    return text.upper()


def _url(text: str) -> httpx.URL:
    import httpx

    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as exc:
        raise typer.BadParameter(str(exc), param_hint="URL") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise typer.BadParameter("must be absolute, http or https", param_hint="URL")
    if url.userinfo:
        raise typer.BadParameter("must hold no user or password: send them with -H", param_hint="URL")
    return url.copy_with(fragment=None)


def _body(text: str) -> bytes:
    from net.strict_json import load_json

    try:
        load_json(text)
    except ValueError as exc:
        raise typer.BadParameter(f"the body is {exc}", param_hint="--json") from None
    return text.encode()


def _headers(lines: list[str], has_json: bool, name: str | None) -> tuple[tuple[str, str], ...]:
    """The request's headers; a bad one is not quoted, it may hold a token."""
    found: list[tuple[str, str]] = []
    for number, line in enumerate(lines, start=1):
        key, colon, value = line.partition(":")
        if not colon or not _NAME.fullmatch(key) or not _VALUE.fullmatch(value):
            raise typer.BadParameter(f"header {number} is not 'Name: value' in ASCII", param_hint="--header")
        if key.lower() in _OURS:
            raise typer.BadParameter(f"{key} is set by purser itself", param_hint="--header")
        found.append((key, value.strip()))
    given = {key.lower() for key, _ in found}
    if has_json and "content-type" not in given:
        found.append(("Content-Type", "application/json"))
    if name is not None:
        if not _IDEMPOTENCY_KEY.fullmatch(name) or "idempotency-key" in given:
            raise typer.BadParameter(
                "1 to 255 visible ASCII characters, given once", param_hint="--idempotency-key"
            )
        found.append(("Idempotency-Key", name))
    return tuple(found)
