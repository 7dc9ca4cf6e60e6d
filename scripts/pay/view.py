"""What `purser pay` prints: the vendor's words are data, whatever they hold."""

from __future__ import annotations

import base64
import sys
from typing import TYPE_CHECKING

from agent.book.money import usd_text
from scripts.pay.values import Outcome, Priced
from scripts.view.text import plain
from x402.networks import asset, v1_name
from x402.wire import Offer

if TYPE_CHECKING:
    from pydantic import JsonValue

__all__ = ["as_json", "body_bytes", "offer_lines", "outcome_lines", "write_body"]


def offer_lines(offers: tuple[Priced, ...]) -> list[str]:
    """The offers, one line each."""
    lines = []
    for number, each in enumerate(offers, start=1):
        offer = each.offer
        network = v1_name(offer.network)
        where = offer.network if network is None else f"{network} ({offer.network})"
        verdict = (
            "will be paid" if each.chosen else f"refused: {each.refused}" if each.refused else "not the cheapest"
        )
        lines.append(plain(f"offer {number}: {_price(offer)} on {where} to {offer.pay_to}: {verdict}"))
    return lines or ["the vendor makes no offer that can be read"]


def outcome_lines(outcome: Outcome, *, dry_run: bool) -> list[str]:
    """The receipt, what else there is to know, and the error if there is one."""
    lines = [f"note: {plain(note)}" for note in outcome.notes]
    if (outcome.signed is not None and outcome.refusal is None) or outcome.transaction is not None:
        lines += _receipt(outcome, dry_run)
    elif dry_run and outcome.refusal is None and outcome.priced:
        lines.append("dry run: nothing was signed")
    elif outcome.refusal is None and outcome.response is not None:
        lines.append("nothing was paid: the vendor asked for no payment")
    if outcome.refusal is not None:
        lines.append(f"{outcome.refusal.code}: {plain(outcome.refusal)}")
    return lines


def _receipt(outcome: Outcome, dry_run: bool) -> list[str]:
    if outcome.signed is None:
        raise AssertionError("unreachable: a receipt is one for what was signed")
    signed = outcome.signed.authorization
    if dry_run:
        return [f"dry run: {usd_text(signed.amount)} USD signed before would be sent again"]
    again = " (signed before)" if outcome.again else ""
    return [
        f"paid {usd_text(signed.amount)} USD{again}"
        if outcome.transaction
        else f"sent {usd_text(signed.amount)} USD",
        f"  transaction {plain(outcome.transaction or 'none shown')}",
        f"  network     {signed.network}",
        f"  payer       {signed.payer}",
        f"  payee       {signed.pay_to}",
    ]


def as_json(outcome: Outcome) -> dict[str, JsonValue]:
    """The outcome as one JSON object. Amounts are decimal strings."""
    refusal = outcome.refusal
    return {
        "exitCode": int(outcome.exit_code),
        "error": None if refusal is None else {"code": refusal.code, "detail": str(refusal)},
        "offers": [_offer(each) for each in outcome.priced],
        "payment": _payment(outcome),
        "response": _response(outcome),
        "notes": [*outcome.notes],
    }


def body_bytes(content: bytes, *, terminal: bool) -> bytes:
    """A body as it goes to stdout: as it is into a pipe, without anything that steers a terminal onto one."""
    if not terminal:
        return content
    shown = (c if c.isprintable() or c in "\n\t" else "\ufffd" for c in content.decode("utf-8", "replace"))
    return "".join(shown).encode("utf-8", "replace")


def write_body(content: bytes) -> None:
    """Print a body, and see it off. Raises `OSError` where it cannot be printed."""
    terminal = sys.stdout.isatty()
    sys.stdout.flush()
    sys.stdout.buffer.write(body_bytes(content, terminal=terminal))
    if terminal and content and not content.endswith(b"\n"):
        sys.stdout.buffer.write(b"\n")
    sys.stdout.buffer.flush()


def _price(offer: Offer) -> str:
    token = asset(offer.network, offer.asset)
    if token is None:
        return f"{offer.amount} atomic units of {offer.asset}"
    return f"{usd_text(offer.amount)} {token.symbol}"


def _offer(each: Priced) -> dict[str, JsonValue]:
    offer = each.offer
    token = asset(offer.network, offer.asset)
    return {
        "scheme": offer.scheme,
        "network": offer.network,
        "asset": offer.asset,
        "amount": str(offer.amount),
        "amountUsd": usd_text(offer.amount) if token else None,
        "payTo": offer.pay_to,
        "chosen": each.chosen,
        "refused": each.refused,
    }


def _payment(outcome: Outcome) -> dict[str, JsonValue] | None:
    if outcome.signed is None:
        return None
    signed = outcome.signed.authorization
    return {
        "transaction": outcome.transaction,
        "network": signed.network,
        "payer": signed.payer,
        "payTo": signed.pay_to,
        "asset": signed.asset,
        "amount": str(signed.amount),
        "amountUsd": usd_text(signed.amount),
        "nonce": signed.nonce,
        "validBefore": signed.valid_before,
        "signedBefore": outcome.again,
    }


def _response(outcome: Outcome) -> dict[str, JsonValue] | None:
    if outcome.response is None:
        return None
    told: dict[str, JsonValue] = {
        "status": outcome.response.status_code,
        "contentType": outcome.response.headers.get("Content-Type"),
        "location": outcome.response.headers.get("Location"),
    }
    try:
        return told | {"body": outcome.response.content.decode()}
    except UnicodeDecodeError:
        return told | {"bodyBase64": base64.b64encode(outcome.response.content).decode()}
