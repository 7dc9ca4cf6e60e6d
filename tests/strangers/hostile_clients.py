"""hostile-facilitator's hostile_client against our facilitator and our sellers: one payment presented again.

The same bytes a second time, at once, or after a reply that nobody read. What is asked for: one settlement, no
"no" for what was paid, and the transaction's hash in each answer.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Sequence
from typing import Final

from gpu_vendor_mock.settings import LOCAL_SECRET
from net.strict_json import Json, JsonObject, parse_object
from tests.strangers.environments import HOSTILE, ask, results_in
from tests.strangers.payments import a_server, answered, desk, get, post, sellers, signed
from tests.strangers.table import PASS, Result
from tests.x402.samples import OTHER, PAYEE, entry
from x402.codec import decode_header, encode_header, text_field
from x402.decode import challenge_from
from x402.wire import CHALLENGE_HEADER, PAYMENT_HEADERS

__all__ = [
    "ACCESS",
    "PROBES",
    "at_sellers",
    "at_the_desk",
    "job_order",
    "presented_again",
    "sold_once",
    "under_other_terms",
]

PROBES: Final = ("re_present_same_auth", "abandoned_reply", "immediate_double_present")
"""All that the tool has."""

_SECONDS: Final = 60.0
_ABANDON_SECONDS: Final = 1.0
"""How long a seller gets to settle what nobody will hear of."""
_OTHER_TERMS: Final[dict[str, JsonObject]] = {
    "dearer": {"amount": str(10**8)},
    "of another payee": {"payTo": OTHER},
    "on another network": {"network": "eip155:8453"},
    "of another scheme": {"scheme": "upto"},
    "of another token name": {"extra": {"name": "Another Dollar", "version": "2"}},
}
ACCESS: Final = {"Authorization": f"Bearer {LOCAL_SECRET}", "x-vendor-id": "gpu_vendor_1"}


def at_the_desk(suite: str) -> list[Result]:
    """The facilitator that settles offline, over HTTP."""
    with desk() as url:
        found = presented_again(suite, url, [signed(entry()) for _ in PROBES], entry())
        found += under_other_terms(suite, url, signed(entry()), entry())
        return [*found, _settled(suite, "a transfer for each payment", _journal(url), len(PROBES) + 1)]


def presented_again(
    suite: str,
    facilitator: str,
    payments: Sequence[dict[str, Json]],
    terms: JsonObject,
    *,
    probes: Sequence[str] = PROBES,
    anvil: bool = False,
) -> list[Result]:
    """What the tool says of a facilitator, a payment for each of its probes. `anvil`: the network is our own."""
    told: dict[str, Json] = {
        "url": f"{facilitator}/settle",
        "payments": payments,
        "terms": terms,
        "probes": probes,
        "anvil": anvil,
    }
    return results_in(suite, ask(HOSTILE, "hostile_probe.py", told, seconds=_SECONDS))


def under_other_terms(suite: str, facilitator: str, payment: JsonObject, terms: JsonObject) -> list[Result]:
    """Ours, beside the tool: what was settled is no payment of terms that were never signed."""

    def settle(terms: JsonObject) -> dict[str, Json]:
        order: JsonObject = {"x402Version": 2, "paymentPayload": payment, "paymentRequirements": terms}
        return parse_object(post(f"{facilitator}/settle", order).body)

    first = settle(terms)
    results = [Result(suite, "settled: control", PASS if first.get("success") is True else "refused", str(first))]
    for name, change in _OTHER_TERMS.items():
        answer = settle({**terms, **change})
        refused = answer.get("success") is False and bool(answer.get("errorReason"))
        results.append(
            Result(suite, f"settled, terms {name}: refused", PASS if refused else "accepted", str(answer))
        )
    return results


def at_sellers(suite: str) -> list[Result]:
    """The interop tests' seller, with a payment id and without, and the mock vendor."""
    with sellers() as at:
        kinds: dict[str, Callable[[], _Order]] = {
            "goods, with a payment id": lambda: _Order(f"{at.goods}/goods", b"{}", {}, named=True),
            "goods, without a payment id": lambda: _Order(f"{at.goods}/goods", b"{}", {}),
            "vendor": lambda: _Order(f"{at.vendor}/submit-job", *job_order(at.vendor)),
        }
        results = []
        for kind, order in kinds.items():
            found = _probed(suite, [order() for _ in PROBES])
            results += [Result(suite, f"{kind}: {each.check}", each.outcome, each.detail) for each in found]
        moved = _journal(at.facilitator), parse_object(get(f"{at.vendor}/journal", ACCESS).body)["settlements"]
        return [
            *results,
            _settled(suite, "goods: a transfer for each payment", moved[0], 2 * len(PROBES)),
            _settled(suite, "vendor: a transfer for each payment", moved[1], len(PROBES)),
        ]


def sold_once(suite: str) -> list[Result]:
    """One payment three times to a seller of ours, whose facilitator settles again whatever it has settled."""

    def sold(question: JsonObject) -> JsonObject:
        command = ("tests.interop.purser_seller", text_field(question, "facilitator"), PAYEE)
        with a_server("seller", *command, health="/runs") as goods:
            order = _Order(f"{goods}/goods", b"{}", {})
            for _ in range(3):
                order.send()
            return {"delivered": get(f"{goods}/runs").message}

    told: dict[str, Json] = {"modes": ["clean", "5xx_after_settle", "double_402"]}
    return results_in(suite, ask(HOSTILE, "hostile_settler.py", told, seconds=_SECONDS, answer=sold))


def _journal(facilitator: str) -> Json:
    return get(f"{facilitator}/journal").message


def _settled(suite: str, check: str, journal: Json, wanted: int) -> Result:
    count = len(journal) if isinstance(journal, list) else 0
    return Result(suite, check, PASS if count == wanted else f"{count} transfers")


class _Order:
    """One request to a seller and the payment that its challenge asked for."""

    def __init__(self, url: str, body: bytes, headers: dict[str, str], *, named: bool = False) -> None:
        self._url, self._body, self._headers = url, body, headers
        asked = decode_header(CHALLENGE_HEADER, post(url, body, headers).headers[CHALLENGE_HEADER.lower()])
        payment_id = f"probe_{secrets.token_hex(12)}" if named else None
        self.payment = answered(challenge_from(asked, 2), payment_id=payment_id)

    def send(self) -> None:
        """Send it, paid."""
        post(self._url, self._body, self._paid())

    def as_json(self) -> dict[str, Json]:
        return {"url": self._url, "body": self._body.decode(), "headers": self._paid()}

    def _paid(self) -> dict[str, str]:
        return self._headers | {
            PAYMENT_HEADERS[2]: encode_header(self.payment),
            "Content-Type": "application/json",
        }


def job_order(vendor: str) -> tuple[bytes, dict[str, str]]:
    """Body and headers of an order for `/submit-job` at the mock vendor, which has given its price."""
    wanted: JsonObject = {"jobType": "fine_tune", "gpuType": "A100", "maxHours": 1}
    quote = parse_object(post(f"{vendor}/quote", wanted, ACCESS).body)
    order = {"vendorJobTemplateId": text_field(quote, "vendorJobTemplateId"), "jobParams": {"gpuType": "A100"}}
    return json.dumps(order).encode(), ACCESS | {"Idempotency-Key": secrets.token_hex(8)}


def _probed(suite: str, orders: list[_Order]) -> list[Result]:
    told: dict[str, Json] = {
        "url": "",
        "payments": [order.payment for order in orders],
        "probes": PROBES,
        "orders": [order.as_json() for order in orders],
        "terms": {"network": "eip155:84532"},
        "abandon_seconds": _ABANDON_SECONDS,
    }
    return results_in(suite, ask(HOSTILE, "hostile_probe.py", told, seconds=_SECONDS))
