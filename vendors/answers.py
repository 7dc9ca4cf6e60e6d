"""What a vendor's answer means: a value, or the error that it is. Decisions only, no I/O.

Before a payment has left us a failure costs nothing and says whose move it is. Once one has, only two answers are
clear: a job, and a no. Everything else may have moved money, and is `OutcomeUnknown`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum
from functools import partial
from typing import Final, TypeVar

import httpx

from net.retry_after import seconds_to_wait
from vendors import bodies
from vendors.errors import ContractBroken, OutcomeUnknown, VendorError, VendorRefused, VendorUnavailable
from vendors.models import JobReport, Quote, Rejected, Submitted, Vendor
from vendors.text import clean
from x402.errors import MalformedHeader, NotX402, UnsupportedVersion, X402Error
from x402.negotiation import read_challenge, read_receipt, rejection_reason
from x402.wire import Receipt

__all__ = [
    "CUT",
    "MAX_BACKOFF",
    "TX_ID_HEADER",
    "Call",
    "asks_for_x402",
    "read_quote",
    "read_report",
    "read_submission",
    "read_unpaid",
    "tx_id",
    "wait_before_retry",
    "without_answer",
]

CUT: Final = "purser.cut"
"""Extension of a response whose body was longer than may be read: what is there is its beginning."""

MAX_BACKOFF: Final = 0.3
"""Most seconds between two tries, unless the vendor asks for another wait. Longer ones are for a later tick."""

_T = TypeVar("_T")

_NOT_NOW: Final = frozenset({408, 425, 429})
"""4xx statuses that are about the moment and not about the request."""

_STILL_BUSY: Final = _NOT_NOW | {409}
"""The same once paid: a vendor may answer 409 while the first request with this key is still running."""

TX_ID_HEADER: Final = "x402-tx-id"
_TX_ID: Final = re.compile(r"[\x21-\x7e]{1,128}")
_MAX_TROUBLE: Final = 200


class Call(Enum):
    """The calls of the contract, by their path."""

    QUOTE = "/quote"
    SUBMIT = "/submit-job"
    STATUS = "/job-status"

    @property
    def later(self) -> str:
        """What to do when it could not be made."""
        return _LATER[self]


_LATER: Final = {
    Call.QUOTE: "nothing was bought: ask again later, or another vendor",
    Call.SUBMIT: "nothing was bought: order again later, or from another vendor",
    Call.STATUS: "the job may still be running: ask again later",
}

_REFUSED_ADVICE: Final = {
    (Call.SUBMIT, 410): "nothing was bought: ask for a new quote",
    (Call.STATUS, 404): "it does not know the job: ask again, and count it as failed if that lasts",
    (Call.STATUS, 410): "it no longer knows the job: count it as failed",
}


def read_quote(vendor: Vendor, response: httpx.Response) -> Quote:
    """The answer to `/quote`.

    Raises:
        VendorUnavailable, VendorRefused, ContractBroken
    """
    return _read(vendor, Call.QUOTE, response, bodies.read_quote)


def read_report(vendor: Vendor, response: httpx.Response) -> JobReport:
    """The answer to `/job-status`.

    Raises:
        VendorUnavailable, VendorRefused, ContractBroken
    """
    return _read(vendor, Call.STATUS, response, partial(bodies.read_report, cut=CUT in response.extensions))


def read_submission(vendor: Vendor, response: httpx.Response, *, paid: bool) -> Submitted | Rejected:
    """The answer to `/submit-job`; `paid` when a payment was in the request that it answers.

    Raises:
        VendorUnavailable, VendorRefused, ContractBroken: not paid, nothing was bought.
        OutcomeUnknown: paid, and neither a job nor a clear no.
    """
    if not paid:
        return read_unpaid(vendor, response)
    receipt, problem = _receipt(response)
    if response.is_client_error and response.status_code not in _STILL_BUSY:
        return Rejected(_reason(response), response.status_code, receipt)
    if not response.is_success:
        raise OutcomeUnknown(
            vendor.vendor_id, f"answered with {response.status_code}: {_reason(response)}", receipt
        )
    try:
        job_id, status = bodies.read_submission(response.content, cut=CUT in response.extensions)
    except bodies.Unreadable as exc:
        raise OutcomeUnknown(vendor.vendor_id, f"gave an unreadable answer: {exc}", receipt) from exc
    named = tx_id(vendor, response)
    return Submitted(job_id, status, paid=True, receipt=receipt, receipt_problem=problem, tx_id=named)


def read_unpaid(vendor: Vendor, response: httpx.Response) -> Submitted:
    """The answer to an order that carried no payment. Raises as `read_submission` does for such."""
    job_id, status = _read(vendor, Call.SUBMIT, response, bodies.read_submission)
    return Submitted(job_id, status, paid=False, tx_id=tx_id(vendor, response))


def asks_for_x402(response: httpx.Response) -> bool:
    """Whether a 402 has terms of x402, be they readable or not."""
    try:
        read_challenge(response.headers, response.content)
    except NotX402:
        return False
    except (MalformedHeader, UnsupportedVersion):
        pass  # what is wrong with them is said where they are to be paid
    return True


def tx_id(vendor: Vendor, response: httpx.Response) -> str | None:
    """What a vendor from before x402 names a payment with, where the operator allows it to be one. No proof."""
    said = response.headers.get(TX_ID_HEADER, "") if vendor.allow_tx_id else ""
    return said if _TX_ID.fullmatch(said) else None


def without_answer(
    vendor: Vendor, call: Call, exc: Exception, *, paid: bool, heads: httpx.Response | None = None
) -> VendorError:
    """The error of a call that ended in `exc`, an error of httpx, of x402 or of the deadline.

    `heads` is the response whose body did not arrive whole: its headers may show a settlement.
    """
    happened = _trouble(call, exc)
    if paid:
        return OutcomeUnknown(vendor.vendor_id, happened, None if heads is None else _receipt(heads)[0])
    if isinstance(exc, X402Error):
        return _broken(vendor, call, clean(str(exc), _MAX_TROUBLE))
    return VendorUnavailable(vendor.vendor_id, happened, call.later)


def wait_before_retry(exc: Exception, left: float) -> bool | float:
    """Whether to repeat an idempotent call: True after the usual backoff, a number after so many seconds.

    False where it would not help, or where the next try could not begin in the `left` seconds.
    """
    if not isinstance(exc, VendorUnavailable) or left <= max(exc.retry_after or 0, MAX_BACKOFF):
        return False
    return exc.retry_after or True


def _read(vendor: Vendor, call: Call, response: httpx.Response, reader: Callable[[bytes], _T]) -> _T:
    """What an unpaid call answered."""
    if not response.is_success:
        raise _failure(vendor, call, response)
    try:
        return reader(response.content)
    except bodies.Unreadable as exc:
        raise _broken(vendor, call, str(exc)) from exc


def _failure(vendor: Vendor, call: Call, response: httpx.Response) -> VendorError:
    """The error that a status other than 2xx is to an unpaid call."""
    status = response.status_code
    said = f"{status}: {_reason(response)}"
    if status in _NOT_NOW or response.is_server_error:
        pause = seconds_to_wait(response.headers.get("retry-after"))
        return VendorUnavailable(vendor.vendor_id, f"answered {call.value} with {said}", call.later, pause)
    if response.is_client_error:
        advice = _REFUSED_ADVICE.get((call, status), "change the request or use another vendor")
        if status in (401, 403):
            advice = f"check that {vendor.secret_ref or 'its sealed secret'} holds this vendor's token"
        return VendorRefused(
            vendor.vendor_id, f"refused {call.value} with {said}", advice, status=status, reason=_reason(response)
        )
    if response.is_redirect:
        return _broken(vendor, call, "it redirects, which is not followed; register the final URL")
    return _broken(vendor, call, f"it answered with status {status}")


def _broken(vendor: Vendor, call: Call, detail: str) -> ContractBroken:
    return ContractBroken(
        vendor.vendor_id,
        f"broke the contract of {call.value}: {detail}",
        f"tell the vendor; {call.later}",
        detail=detail,
    )


def _reason(response: httpx.Response) -> str:
    """Why the vendor says no. A 402 has its reason in the terms that it asks anew."""
    if response.status_code == httpx.codes.PAYMENT_REQUIRED:
        return clean(rejection_reason(response.headers, response.content), _MAX_TROUBLE)
    return bodies.read_error(response.content)


def _receipt(response: httpx.Response) -> tuple[Receipt | None, str | None]:
    """The settlement that an answer shows, or why it shows none that counts."""
    try:
        receipt = read_receipt(response.headers)
    except MalformedHeader as exc:
        return None, f"the receipt cannot be read: {exc}"
    if receipt is None:
        return None, "the answer has no receipt"
    if not receipt.success:
        reason = clean(receipt.error_reason or "no reason given", _MAX_TROUBLE)
        return None, f"the receipt says that the payment failed: {reason}"
    if not receipt.transaction:
        return None, "the receipt names no transaction"
    return receipt, None


def _trouble(call: Call, exc: Exception) -> str:
    """What happened to a call without an answer. Quotes the far end only where no secret of ours can be in it."""
    if isinstance(exc, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout):
        return f"could not be reached for {call.value} ({clean(str(exc), _MAX_TROUBLE) or 'timed out'})"
    if isinstance(exc, httpx.TimeoutException | TimeoutError):
        return f"gave no answer to {call.value} in time"
    if isinstance(exc, httpx.RemoteProtocolError | X402Error):
        said = str(exc).partition(":")[0]  # after a colon h11 quotes what it was sent
        return f"gave no usable answer to {call.value} ({clean(said, _MAX_TROUBLE)})"
    return f"gave no answer to {call.value} ({type(exc).__name__})"
