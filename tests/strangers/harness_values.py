"""Every value that agent-security-harness sends, put where real x402 would carry it.

The harness's headers are no x402, so that a seller hardly looks at them. Here its values are recorded and read as
payments, receipts and orders, and its amounts, payees, networks and tokens become terms that are otherwise good.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from net.strict_json import Json, JsonObject, parse_object
from tests.strangers.environments import HARNESS, ask
from tests.strangers.payments import signed
from tests.strangers.table import PASS, Result
from tests.x402.samples import NETWORK, NOW, PAYEE, URL, USDC, entry
from x402.codec import object_field
from x402.decode import challenge_from, decode_receipt
from x402.errors import X402Error
from x402.policy import Policy, choose
from x402.selling.desk import FacilitatorDesk
from x402.selling.offline import MemoryLedger, OfflineFacilitator
from x402.selling.seller import read_payment
from x402.wire import PAYMENT_HEADERS, RECEIPT_HEADERS

__all__ = ["read_everywhere"]

_SECONDS: Final = 60.0
_MOST: Final = 10_000
_POLICY: Final = Policy(_MOST, frozenset({NETWORK}), payee=PAYEE, origin=URL)
_FEWEST: Final = 100
"""Values below which the harness has not been recorded rightly."""

_ELSEWHERE: Final = (
    "https://evil.com/verify",
    "https://gpu.example.evil.com/v1/rent",
    "https://gpu.example/v1/other",
)


def read_everywhere(suite: str) -> list[Result]:
    """Nothing is accepted, nothing moves, and nothing fails otherwise than it should."""
    challenge = {
        "x-payment-amount": str(_MOST),
        "x-payment-currency": "USDC",
        "x-payment-recipient": PAYEE,
        "x-payment-network": NETWORK,
    }
    recorded = _Recorded(ask(HARNESS, "harness_record.py", {"challenge": challenge}, seconds=_SECONDS))
    return [
        Result(
            suite, "values were recorded", PASS if len(recorded.all) >= _FEWEST else f"{len(recorded.all)} values"
        ),
        *_as_headers(suite, recorded),
        *asyncio.run(_at_the_desk(suite, recorded)),
        *_as_terms(suite, recorded),
    ]


class _Recorded:
    """The harness's values by header, and the members of the JSON objects that some of them hold."""

    def __init__(self, sent: JsonObject) -> None:
        self._sent = sent
        self._objects = [found for value in self._header("x-payment-authorization") if (found := _object(value))]
        self.all = list(dict.fromkeys(value for name in sent for value in self._header(name)))

    def named(self, header: str, *members: str) -> list[str]:
        """A header's values, and those that objects have under these names."""
        inside = (str(each[name]) for each in self._objects for name in members if name in each)
        return list(dict.fromkeys([*self._header(header), *inside]))

    def _header(self, name: str) -> list[str]:
        values = self._sent.get(name)
        return [str(value) for value in values] if isinstance(values, list) else []


def _object(value: str) -> dict[str, Json] | None:
    try:
        found = json.loads(base64.b64decode(value))
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _as_headers(suite: str, recorded: _Recorded) -> Iterator[Result]:
    def paid(name: str, value: str) -> object:
        return read_payment({name: value})

    for name in PAYMENT_HEADERS.values():
        wrong = [value for value in recorded.all if not _refused(paid, name, value)]
        yield _none(suite, f"read as {name}: refused", wrong)
    for name in RECEIPT_HEADERS.values():
        wrong = [value for value in recorded.all if not _refused(decode_receipt, name, value)]
        yield _none(suite, f"read as {name}: refused", wrong)


def _refused(read: Callable[[str, str], object], name: str, value: str) -> bool:
    """Whether it ends in an error of ours; any other is a fault, and an answer is an acceptance."""
    try:
        read(name, value)
    except X402Error:
        return True
    return False


async def _at_the_desk(suite: str, recorded: _Recorded) -> list[Result]:
    """In place of each part of a good order."""
    ledger = MemoryLedger()
    desk = FacilitatorDesk(OfflineFacilitator(ledger, lambda: float(NOW)))
    good = await asyncio.to_thread(signed, entry(), now=NOW)
    results = []
    for path, said in (("/verify", "isValid"), ("/settle", "success")):
        wrong = []
        for value in recorded.all:
            for order in _orders(good, value):
                status, answer = await desk.answer("POST", path, json.dumps(order).encode())
                if status != 200 or parse_object(answer).get(said) is not False:
                    wrong.append(value)
        results.append(_none(suite, f"in an order to {path}: refused", wrong))
    return [*results, _none(suite, "nothing moved", [transfer.transaction for transfer in ledger.journal])]


def _orders(good: JsonObject, value: str) -> Iterator[JsonObject]:
    """A good order with `value` in the place of one part of it, for each part; not where it says the same."""
    terms = entry()
    payload = object_field(good, "payload")
    authorization = object_field(payload, "authorization")
    payloads: list[Json] = [value, {**payload, "authorization": value}, {**payload, "signature": value}]
    for name, signed_for in authorization.items():
        if value != signed_for:
            payloads.append({**payload, "authorization": {**authorization, name: value}})
    messages: list[Json] = [value, *({**good, "payload": each} for each in payloads)]
    for message in messages:
        yield {"x402Version": 2, "paymentPayload": message, "paymentRequirements": terms}
    for name in ("scheme", "network", "asset", "amount", "payTo"):
        if value != terms[name]:
            yield {"x402Version": 2, "paymentPayload": good, "paymentRequirements": {**terms, name: value}}


def _as_terms(suite: str, recorded: _Recorded) -> Iterator[Result]:
    """A buyer takes a plain amount within its limit, and its own payee, network and token; nothing else."""
    yield Result(suite, "X4-001: plain terms are taken", PASS if _taken() else "refused")
    rows: dict[str, tuple[str, list[str], Callable[[str], bool]]] = {
        "X4-012, 026, 034, 035, 036": ("amount", recorded.named("x-payment-amount", "amount", "amt"), _plain),
        "X4-004, 005, 006": (
            "payTo",
            recorded.named("x-payment-recipient", "recipient", "payTo", "to"),
            lambda value: value.lower() == PAYEE.lower(),
        ),
        "X4-019, 040": (
            "network",
            recorded.named("x-payment-network", "network", "chain", "chain_id"),
            lambda value: value == NETWORK,
        ),
        "X4-003, 020, 032": (
            "asset",
            recorded.named("x-payment-currency", "currency", "token", "asset"),
            lambda value: value.lower() == USDC.lower(),
        ),
    }
    for row, (name, values, right) in rows.items():
        wrong = [value for value in values if _taken(**{name: value}) is not right(value)]
        yield _none(suite, f"{row}: {name}", wrong if values else ["no value was recorded"])
    yield _none(suite, "X4-031, 037: terms for elsewhere", [url for url in _ELSEWHERE if _taken(url)])


def _plain(amount: str) -> bool:
    return re.fullmatch("[1-9][0-9]{0,5}", amount, re.ASCII) is not None and int(amount) <= _MOST


def _taken(url: str = URL, **change: Json) -> bool:
    try:
        terms: JsonObject = {"x402Version": 2, "accepts": [entry(**change)], "resource": {"url": url}}
        choose(challenge_from(terms, 2), _POLICY)
    except (X402Error, ValueError):
        return False
    return True


def _none(suite: str, check: str, wrong: Sequence[str]) -> Result:
    said = ", ".join(repr(value[:60]) for value in wrong[:5])
    return Result(suite, check, f"{len(wrong)} wrong" if wrong else PASS, said)
