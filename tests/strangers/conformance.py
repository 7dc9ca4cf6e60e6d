"""x402-conformance 1.6.0 at our facilitator and at our sellers' challenges.

Its payments are stand-ins for a Solana transaction (`tx`, `memo`, `mint`, `dest`, `amount`); here each becomes a
signed EIP-3009 authorization: the memo is the nonce, the transaction which of several signatures over that nonce.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from dataclasses import dataclass, field
from typing import Final

from net.strict_json import Json, JsonObject, parse_object
from tests.strangers.environments import CONFORMANCE, ask, results_in
from tests.strangers.hostile_clients import job_order
from tests.strangers.payments import Answer, authorized, get, post, sellers
from tests.strangers.table import Result
from tests.x402.samples import PAYER, entry
from x402.codec import object_field, text_field
from x402.wire import CHALLENGE_HEADER, Authorization

__all__ = ["checked"]

_SECONDS: Final = 60.0
_ANOTHER_NETWORK: Final = "eip155:8453"
_ATOMIC: Final = re.compile(r"[1-9][0-9]*", re.ASCII)
_BASE_SECONDS: Final = 60


def checked(suite: str) -> list[Result]:
    """S0-S5, P1-P7 and F1-F14, over HTTP."""
    with sellers() as at:
        body, headers = job_order(at.vendor)
        job = post(f"{at.vendor}/submit-job", body, headers)
        told: dict[str, Json] = {
            "facilitator": at.facilitator,
            "terms": entry(),
            "challenges": {
                "seller": _seen(post(f"{at.goods}/goods", b"{}")),
                "vendor": _seen(job),
                "vendor, version 1": _seen(job, without=CHALLENGE_HEADER.lower()),
            },
        }
        adapter = _Adapter(at.facilitator)
        return results_in(suite, ask(CONFORMANCE, "conformance.py", told, seconds=_SECONDS, answer=adapter.answer))


def _seen(answer: Answer, *, without: str = "") -> dict[str, Json]:
    headers: dict[str, Json] = {name: value for name, value in answer.headers.items() if name != without}
    return {"status": answer.status, "headers": headers, "body": answer.body.decode()}


@dataclass(frozen=True, slots=True)
class _Adapter:
    """Turns what the tool sends into x402 and hands the facilitator's answer back."""

    facilitator: str
    began: int = field(default_factory=lambda: int(time.time()))
    run: str = field(default_factory=lambda: secrets.token_hex(8))
    """Makes the memos of this run nonces of their own."""

    def answer(self, question: JsonObject) -> JsonObject:
        path = text_field(question, "path")
        if path == "/supported":
            return parse_object(get(self.facilitator + path).body)
        payment, terms = object_field(question, "payment"), object_field(question, "terms")
        message = self._signed(payment) if payment.get("tx") else payment
        order: JsonObject = {"x402Version": 2, "paymentPayload": message, "paymentRequirements": terms}
        return parse_object(post(self.facilitator + path, order).body)

    def _signed(self, payment: JsonObject) -> JsonObject:
        """An amount that is no plain number cannot be signed: it stands in the message only."""
        mint, network, amount = (payment[key] for key in ("mint", "net", "amount"))
        plain = isinstance(amount, int) or (isinstance(amount, str) and _ATOMIC.fullmatch(amount) is not None)
        terms = entry(payTo=payment["dest"], amount=str(amount) if plain else "10000")
        terms["network"] = network if str(network).startswith("eip155:") else _ANOTHER_NETWORK
        if str(mint).startswith("0x"):
            terms["asset"] = mint
        which = int.from_bytes(hashlib.sha256(text_field(payment, "tx").encode()).digest()) % _BASE_SECONDS
        authorization = Authorization(
            payer=PAYER,
            payee=text_field(terms, "payTo"),
            value=int(text_field(terms, "amount")),
            valid_after=self.began - 600 - which,
            valid_before=self.began + 300 - which,
            nonce="0x" + hashlib.sha256((self.run + text_field(payment, "memo")).encode()).hexdigest(),
        )
        message = authorized(terms, authorization)
        if plain:
            return message
        payload = object_field(message, "payload")
        spoken = {**object_field(payload, "authorization"), "value": amount}
        return {
            **message,
            "accepted": {**terms, "amount": amount},
            "payload": {**payload, "authorization": spoken},
        }
