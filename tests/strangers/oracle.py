"""The official SDK 2.25.0 as an oracle: what it reads, and what it knows, beside what Purser does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from agent.book.money import InvalidAmount, parse_usd
from net.strict_json import JsonObject, parse_object
from scripts.serve.servers import ROOT
from tests.interop.processes import server
from tests.strangers.environments import OFFICIAL, ask
from tests.strangers.orders import Order, orders
from tests.strangers.payments import desk, post
from tests.strangers.table import PASS, Result
from tests.strangers.texts import CASES
from x402.codec import decode_header, object_field
from x402.decode import challenge_from, decode_payment, decode_receipt
from x402.errors import X402Error
from x402.networks import ASSETS, V1_NAMES, chain_id
from x402.wire import CHALLENGE_HEADER, PAYMENT_HEADERS, RECEIPT_HEADERS, valid_payment_id

__all__ = ["orders_judged", "texts_read"]

_SECONDS: Final = 60.0


def texts_read(suite: str) -> list[Result]:
    """A result for each text, name and token; it passes where both say the same."""
    theirs = ask(OFFICIAL, "sdk_oracle.py", {"cases": CASES}, seconds=_SECONDS)
    ours: dict[str, Mapping[str, str | None]] = {
        kind: {name: _ours(kind, text) for name, text in cases.items()} for kind, cases in CASES.items()
    }
    ours["version 1 name"] = V1_NAMES
    ours["token"] = {
        f"{token.network} {token.address.lower()}": f"{token.name}, {token.version}, {token.decimals}, eip3009"
        for token in ASSETS
    }
    return [
        result
        for kind, mine in ours.items()
        for result in _compared(suite, kind, mine, object_field(theirs, kind))
    ]


def _compared(suite: str, kind: str, ours: Mapping[str, str | None], theirs: JsonObject) -> list[Result]:
    names = list(dict.fromkeys([*ours, *theirs]))
    results = []
    for name in names:
        mine, their = ours.get(name), theirs.get(name)
        outcome = PASS if mine == their else f"official {their or 'refuses'}, Purser {mine or 'refuses'}"
        results.append(Result(suite, f"{kind}: {name}", outcome))
    return results


def _ours(kind: str, text: str) -> str | None:
    try:
        return _READERS[kind](text)
    except (X402Error, InvalidAmount, ValueError):
        return None


def _challenge(text: str) -> str | None:
    """Read is a challenge with an entry that could be paid: a buyer passes over odd ones."""
    found = challenge_from(decode_header(CHALLENGE_HEADER, text), 2)
    return "read" if found.offers else None


def _receipt(text: str) -> str:
    decode_receipt(RECEIPT_HEADERS[2], text)
    return "read"


def _payment(text: str) -> str:
    decode_payment(PAYMENT_HEADERS[2], text)
    return "read"


def _network(text: str) -> str | None:
    number = chain_id(text)
    return None if number is None else str(number)


_READERS: Final[Mapping[str, Callable[[str], str | None]]] = {
    "challenge": _challenge,
    "receipt": _receipt,
    "payment": _payment,
    "payment id": lambda text: "valid" if valid_payment_id(text) else None,
    "network": _network,
    "price": lambda text: str(parse_usd(text)),
}


def orders_judged(suite: str) -> list[Result]:
    """The same orders to the official facilitator and to ours: /verify, then /settle; both must say the same."""
    official = server(str(OFFICIAL), str(ROOT / "tests/interop/python/facilitator.py"))
    with official as theirs, desk() as ours:
        return [_judged(suite, name, order, theirs, ours) for name, order in orders().items()]


def _judged(suite: str, name: str, order: Order, theirs: str, ours: str) -> Result:
    official, purser = (_verdict(url, order) for url in (theirs, ours))
    outcome = PASS if official.said == purser.said else f"official {official.said}, Purser {purser.said}"
    return Result(
        suite, name, outcome, f"official {official.reason or 'nothing'}, Purser {purser.reason or 'nothing'}"
    )


@dataclass(frozen=True, slots=True)
class _Verdict:
    """Whether an order is valid and settles, and the reason where it does not."""

    said: str
    reason: str


def _verdict(url: str, order: Order) -> _Verdict:
    told, reasons = [], []
    for path, good, why in (("/verify", "isValid", "invalidReason"), ("/settle", "success", "errorReason")):
        answer = post(url + path, order.as_json())
        if answer.status != 200:
            return _Verdict(f"answers {answer.status}", "")
        message = parse_object(answer.body)
        told.append(message.get(good) is True)
        reasons.append(str(message.get(why) or ""))
    if told[0] is not told[1]:
        return _Verdict(
            "settles it though invalid" if told[1] else "finds it valid and settles nothing", reasons[1]
        )
    return _Verdict("settles it" if told[0] else "refuses it", reasons[0])
