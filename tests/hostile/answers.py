"""Attacks by what is said: prices, terms, receipts, reports. Each at the call where it can be said."""

from __future__ import annotations

import base64
import json
from typing import Any, Final

from gpu_vendor_mock.catalog import WRONG_PAYEE
from tests.hostile.attacks import (
    BAD_ANSWER,
    INJECTION,
    ORDER,
    PAYMENT,
    QUOTE,
    STATUS,
    Table,
)
from tests.hostile.liar import Scene, Script
from tests.hostile.scripts import (
    body,
    edited,
    headed,
    raw,
    receipt,
    terms,
    text,
)

__all__ = ["TABLE"]

TABLE: Final = Table()
attack = TABLE.add
# Quotes: prices, and what else is in them

for _price in (
    "-1",
    "-0.000001",
    "0",
    "1e400",
    "1e-400",
    "NaN",
    "Infinity",
    "-Infinity",
    "true",
    "null",
    "[1]",
    "{}",
):
    attack(f"a price of {_price}", text(priceEstimate=_price), {QUOTE: "quote_failed"})
for _price in ('"free"', '"NaN"', '"-1"', '"1e2"', '" 1"', '"１"', "0.0000001", "9" * 100, "1000000.01"):
    attack(f"a price of {_price[:20]}", text(priceEstimate=_price), {QUOTE: "quote_failed"})
attack("no price", edited(lambda _, quote: quote.pop("priceEstimate") and None), {QUOTE: "quote_failed"})
attack("a price a millionth above the list", text(priceEstimate="1.400001"), {QUOTE: "quote_refused"})
attack("a price of a million", text(priceEstimate="1e6"), {QUOTE: "quote_refused"})
attack("a price below what is then asked", text(priceEstimate="0.7"), {QUOTE: "offer_refused"})
attack("a price as a string", text(priceEstimate='"1.4"'), {QUOTE: None})
attack("another currency", text(currency='"JPY"'), {QUOTE: "quote_failed"})
attack(
    "a template with instructions",
    edited(lambda _, quote: quote | {"vendorJobTemplateId": INJECTION}),
    {QUOTE: "quote_failed"},
)
attack("a template of 1 MB", text(vendorJobTemplateId=f'"{"a" * 10**6}"'), {QUOTE: "quote_failed"})
attack("done in a billion years", text(etaMinutes="1e18"), {QUOTE: None})

# Terms

Terms = dict[str, Any]


def _offer(**changes: object) -> Script:
    """The one offer of the terms, changed."""

    def change(_: Scene, message: Terms) -> None:
        message["accepts"][0] |= changes

    return terms(change)


_OFFER_REFUSED: Final = {ORDER: "offer_refused"}
attack("a millionth more", _offer(amount="1400001"), _OFFER_REFUSED)
attack("nothing at all", _offer(amount="0"), _OFFER_REFUSED)
for _amount in ("-1", "1e6", "0x1", "1.4", "１", " 1", "9" * 90, 1_400_000, None, INJECTION):
    attack(f"an amount of {str(_amount)[:9]!r}", _offer(amount=_amount), _OFFER_REFUSED)
attack("another payee", _offer(payTo=WRONG_PAYEE), _OFFER_REFUSED)
attack("a payee with instructions", _offer(payTo=INJECTION), _OFFER_REFUSED)
attack("another token", _offer(asset=WRONG_PAYEE), _OFFER_REFUSED)
attack("a token with instructions", _offer(asset=INJECTION), _OFFER_REFUSED)
attack("another chain", _offer(network="eip155:8453"), _OFFER_REFUSED)
attack("a chain with instructions", _offer(network=INJECTION), _OFFER_REFUSED)
attack("another scheme", _offer(scheme=f"upto {INJECTION}"), _OFFER_REFUSED)
attack("another domain", _offer(extra={"name": INJECTION, "version": "2"}), _OFFER_REFUSED)
attack("permit2", _offer(extra={"assetTransferMethod": "permit2"}), _OFFER_REFUSED)
attack("a second to pay", _offer(maxTimeoutSeconds=1), _OFFER_REFUSED)
attack("no time to pay", _offer(maxTimeoutSeconds=-1), _OFFER_REFUSED)
attack("ten years to pay", _offer(maxTimeoutSeconds=315_360_000), {ORDER: "payment_rejected"})
attack("terms for another place", terms(lambda s, m: m | {"resource": {"url": s.canary}}), _OFFER_REFUSED)
attack("no offer", terms(lambda _, m: m | {"accepts": []}), _OFFER_REFUSED)
attack("10,000 offers", terms(lambda _, m: m | {"accepts": [{}] * 10_000}), {ORDER: "contract_broken"}, heavy=True)
attack(
    "60 offers to others",
    terms(lambda _, m: m | {"accepts": [m["accepts"][0] | {"payTo": WRONG_PAYEE}] * 60}),
    _OFFER_REFUSED,
)
attack(
    "a decoy: the cheapest offer is for another payee",
    terms(lambda _, m: m | {"accepts": [m["accepts"][0] | {"payTo": WRONG_PAYEE, "amount": "1"}, *m["accepts"]]}),
    {ORDER: None},
)
attack(
    "40 KB to echo", terms(lambda _, m: m | {"extensions": {"x": {"info": {"y": "z" * 40_000}}}}), {ORDER: None}
)
attack(
    "instructions to echo",
    terms(lambda _, m: m | {"error": INJECTION, "extensions": {"x": INJECTION}}),
    {ORDER: None},
)
attack("terms of version 3", terms(lambda _, m: m | {"x402Version": 3}), {ORDER: "contract_broken"})
attack(
    "terms that are no base64",
    raw(headed(402, b"{}", f"PAYMENT-REQUIRED: {'%' * 99}")),
    {ORDER: "contract_broken"},
)
attack("terms of 90 KB", raw(headed(402, b"{}", f"PAYMENT-REQUIRED: {'A' * 90_000}")), {ORDER: "contract_broken"})
attack("a job for nothing", raw(headed(200, b'{"vendorJobId":"job_free"}')), {ORDER: "job_forgotten"})

# What answers a payment


def _echo(scene: Scene) -> str:
    return scene.headers["payment-signature"]


def _signature(scene: Scene) -> str:
    return str(json.loads(base64.b64decode(_echo(scene)))["payload"]["signature"])


attack("a receipt for another chain", receipt(lambda _, r: r | {"network": "eip155:1"}), {PAYMENT: None})
attack("a receipt of another payer", receipt(lambda _, r: r | {"payer": WRONG_PAYEE}), {PAYMENT: None})
attack("a receipt for less", receipt(lambda _, r: r | {"amount": "1"}), {PAYMENT: None})
attack("a receipt for more", receipt(lambda _, r: r | {"amount": "9" * 70}), {PAYMENT: None})
attack("a receipt with instructions", receipt(lambda _, r: r | {"transaction": INJECTION}), {PAYMENT: None})
attack(
    "a receipt of failure", receipt(lambda _, r: r | {"success": False, "errorReason": INJECTION}), {PAYMENT: None}
)
attack("a receipt of 40 KB", receipt(lambda _, r: r | {"transaction": "a" * 40_000}), {PAYMENT: None})
attack("no job id", text(vendorJobId="null"), {PAYMENT: "payment_unresolved"})
attack(
    "a job id with instructions",
    edited(lambda _, j: j | {"vendorJobId": INJECTION}),
    {PAYMENT: "payment_unresolved"},
)
attack("a job id of 1 MB", text(vendorJobId=f'"{"a" * 10**6}"'), {PAYMENT: "payment_unresolved"})
attack("a job id that is a path", text(vendorJobId='"../../admin?x=&y#z"'), {PAYMENT: "job_forgotten"})
attack("a word for its state with instructions", edited(lambda _, j: j | {"status": INJECTION}), {PAYMENT: None})
attack(
    "the signature as job id",
    edited(lambda s, j: j | {"vendorJobId": _signature(s)}),
    {PAYMENT: "payment_unresolved"},
)
attack(
    "the signature as transaction",
    receipt(lambda s, r: r | {"transaction": _signature(s), "network": "eip155:84532"}),
    {PAYMENT: None},
)
attack("the payment as reason", edited(lambda s, j: {"error": _echo(s)}), {PAYMENT: "payment_unresolved"})

# What a job is said to do

_RUNNING: Final = {"status": "running", "progress": 1, "logs": ["fine"]}
_DONE: Final = {"status": "completed", "progress": 100, "logs": []}


def _report(**fields: object) -> Script:
    return edited(lambda _, __: _RUNNING | fields)


attack("runs for ever", _report(), {STATUS: "stalled"})
attack("fails with instructions", _report(status="failed", errorMessage=INJECTION), {STATUS: "vendor_failed"})
attack("fails with a novel", _report(status="failed", errorMessage="ha " * 10**6), {STATUS: "vendor_failed"})
attack("logs with instructions", edited(lambda _, r: r | {"logs": [INJECTION] * 50}), {STATUS: None})
attack(
    "a log line of 10 MB", body(b'{"logs":["' + b"a " * 5 * 1024 * 1024 + b'"]}'), {STATUS: "overtime"}, heavy=True
)
attack(
    "a log line of 3 MB",
    edited(lambda _, r: r | {"logs": ["é" * 500_000 + INJECTION]}),
    {STATUS: None},
    heavy=True,
)
attack(
    "50,000 log lines",
    edited(lambda _, r: r | {"logs": ["line of log, with commas, of a job"] * 50_000}),
    {STATUS: None},
    heavy=True,
)
attack(
    "250 log lines of 2,000 characters",
    edited(lambda _, r: _RUNNING | {"logs": ["é\u4e2d" * 250 + " \U0001f600" * 750] * 250}),
    {STATUS: "stalled"},
    heavy=True,
)
attack(
    "300,000 log lines",
    body(b'{"status":"running","progress":1,"logs":[' + b'"",' * 300_000 + b'""]}'),
    {STATUS: "overtime"},
    heavy=True,
)
attack("logs that are no text", _report(logs=[1, None, {}]), {STATUS: "stalled"})
for _progress in ("NaN", "-1", "101", "1e400", "true", '"50"', "null", "[]"):
    attack(f"progress of {_progress}", text(progress=_progress), {STATUS: None})
for _state in ('"paid"', '"COMPLETED"', "null", "1", '"__proto__"'):
    attack(f"a state of {_state}", text(status=_state), {STATUS: "overtime"})
attack("cost so far of 1e400", text(costSoFar="1e400"), {STATUS: None})
attack("cost so far of a million", text(costSoFar="1000000"), {STATUS: None})
attack("a negative cost", text(costSoFar="-5"), {STATUS: None})
attack(
    "a script for an artifact",
    edited(lambda _, __: _DONE | {"artifactUrl": "javascript:alert(1)"}),
    {STATUS: None},
)
attack(
    "a file for an artifact",
    edited(lambda _, __: _DONE | {"artifactUrl": "file:///etc/passwd"}),
    {STATUS: None},
)
attack("an artifact with instructions", edited(lambda _, __: _DONE | {"artifactUrl": INJECTION}), {STATUS: None})
attack(
    "metrics with instructions",
    edited(lambda _, __: _DONE | {"finalMetrics": {"loss": INJECTION}}),
    {STATUS: None},
)
attack(
    "metrics named by an operator",
    edited(lambda _, __: _DONE | {"finalMetrics": {"$where": 1}}),
    {STATUS: None},
)
attack("metrics with dots", edited(lambda _, __: _DONE | {"finalMetrics": {"a.b": 1}}), {STATUS: None})
attack(
    "10,000 metrics",
    edited(lambda _, __: _DONE | {"finalMetrics": {f"m{n}": n for n in range(10_000)}}),
    {STATUS: None},
)


def _token(scene: Scene) -> str:
    return scene.headers["authorization"].removeprefix("Bearer ")


attack(
    "our token wherever text can stand",
    edited(
        lambda s, _: (
            _DONE
            | {
                "logs": [_token(s), f"x{_token(s)}x"],
                "errorMessage": _token(s),
                "artifactUrl": f"https://example.com/{_token(s)}",
                "finalMetrics": {"loss": _token(s)},
            }
        )
    ),
    {STATUS: None},
)
attack("our token as reason", edited(lambda s, _: {"error": _token(s)}), {**BAD_ANSWER, ORDER: None})
attack(
    "a signature in an artifact's URL",
    edited(lambda _, __: _DONE | {"artifactUrl": f"https://example.com/0x{'5f' * 65}"}),
    {STATUS: None},
)
