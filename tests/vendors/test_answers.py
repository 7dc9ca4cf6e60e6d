"""What an answer means, decided without I/O: before a payment whose move it is, after one whether it is clear."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

import httpx
import pytest

from tests.vendors.samples import QUOTE, REPORT, SUBMITTED, TRANSACTION, a_vendor, header, receipt_header
from vendors.answers import (
    MAX_BACKOFF,
    Call,
    read_quote,
    read_report,
    read_submission,
    wait_before_retry,
    without_answer,
)
from vendors.errors import ContractBroken, OutcomeUnknown, VendorError, VendorRefused, VendorUnavailable
from vendors.models import JobReport, Quote, Rejected, Submitted, Vendor
from x402.errors import MalformedHeader, NotX402, ResponseTooLarge
from x402.wire import Receipt

VENDOR = a_vendor()
RECEIPT = Receipt(success=True, transaction=TRANSACTION, network="eip155:84532")
REASON = {"error": {"code": "odd", "message": "because"}}


def answer(status: int, content: object = None, headers: Mapping[str, str] | None = None) -> httpx.Response:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return httpx.Response(status, content=body, headers=headers)


def unpaid_submission(vendor: Vendor, response: httpx.Response) -> Submitted | Rejected:
    return read_submission(vendor, response, paid=False)


Read = Callable[[Vendor, httpx.Response], Quote | JobReport | Submitted | Rejected]
UNPAID = pytest.mark.parametrize("read", [read_quote, read_report, unpaid_submission])


def test_good_answers_are_values() -> None:
    """Any 2xx will do: what counts is the body."""
    assert read_quote(VENDOR, answer(200, QUOTE)).price == 1_400_000
    assert read_report(VENDOR, answer(200, REPORT)).progress == 42.5
    assert read_submission(VENDOR, answer(202, SUBMITTED), paid=False) == Submitted("job_1", "queued", paid=False)


@UNPAID
@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599])
def test_unpaid_a_bad_moment_is_no_refusal(read: Read, status: int) -> None:
    """Statuses about the moment mean: nothing was bought, ask again."""
    with pytest.raises(
        VendorUnavailable, match=rf"^gpu_vendor_1 answered .* with {status}: because; .*again later"
    ):
        read(VENDOR, answer(status, REASON))


@UNPAID
@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 409, 410, 422, 451])
def test_unpaid_any_other_4xx_is_a_refusal(read: Read, status: int) -> None:
    """Asking again would get the same; the vendor's reason is kept."""
    with pytest.raises(VendorRefused) as caught:
        read(VENDOR, answer(status, REASON))
    assert caught.value.status == status
    assert caught.value.reason == "because"


@UNPAID
@pytest.mark.parametrize("status", [100, 199, 300, 304, 307, 308, 600, 999])
def test_unpaid_a_status_that_is_no_answer_breaks_the_contract(read: Read, status: int) -> None:
    """Redirects are not followed, and what is neither yes nor no is not guessed."""
    with pytest.raises(ContractBroken) as caught:
        read(VENDOR, answer(status, headers={"location": "https://elsewhere.example/"}))
    assert ("redirect" in caught.value.detail) == (300 <= status < 400)


@UNPAID
def test_unpaid_an_unreadable_body_breaks_the_contract(read: Read) -> None:
    """And says in what."""
    with pytest.raises(ContractBroken, match="not JSON") as caught:
        read(VENDOR, answer(200, b"<html>"))
    assert caught.value.detail == "the body is not readable: not JSON"
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize(
    ("read", "status", "advice"),
    [
        (read_quote, 401, "check that GPU_VENDOR_SECRET holds this vendor's token"),
        (read_report, 403, "check that GPU_VENDOR_SECRET holds this vendor's token"),
        (read_report, 404, "it does not know the job: ask again, and count it as failed if that lasts"),
        (unpaid_submission, 410, "nothing was bought: ask for a new quote"),
        (read_quote, 404, "change the request or use another vendor"),
    ],
)
def test_a_refusal_says_what_to_do(read: Read, status: int, advice: str) -> None:
    """The message ends in the next step."""
    with pytest.raises(VendorRefused) as caught:
        read(VENDOR, answer(status))
    assert str(caught.value).endswith(f"; {advice}")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("", None),
        ("-1", None),
        ("1.5", 1.5),
        ("9" * 5_000, None),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None),
    ],
)
def test_retry_after_is_read_where_it_is_a_number(value: str, seconds: float | None) -> None:
    """Seconds only: a date depends on whose clock is right."""
    with pytest.raises(VendorUnavailable) as caught:
        read_quote(VENDOR, answer(503, headers={"retry-after": value}))
    assert caught.value.retry_after == seconds


def test_paid_and_accepted_with_a_receipt() -> None:
    """The one good end: a job, and the transaction that paid for it."""
    found = read_submission(VENDOR, answer(200, SUBMITTED, receipt_header()), paid=True)
    assert found == Submitted("job_1", "queued", paid=True, receipt=RECEIPT)


@pytest.mark.parametrize(
    ("headers", "problem"),
    [
        ({}, "no receipt"),
        ({"PAYMENT-RESPONSE": "%%%"}, "cannot be read"),
        ({"PAYMENT-RESPONSE": header({"success": "yes"})}, "cannot be read"),
        (receipt_header(success=False), "payment failed: insufficient_funds"),
        ({"PAYMENT-RESPONSE": header({"success": False})}, "payment failed: no reason given"),
        (receipt_header(transaction=""), "no transaction"),
    ],
)
def test_paid_and_accepted_without_a_receipt_that_counts(headers: Mapping[str, str], problem: str) -> None:
    """The job is there, the settlement is not shown: both are said, and neither is made up."""
    found = read_submission(VENDOR, answer(200, SUBMITTED, headers), paid=True)
    assert isinstance(found, Submitted)
    assert found.vendor_job_id == "job_1"
    assert found.receipt is None
    assert found.receipt_problem is not None
    assert problem in found.receipt_problem


def test_a_receipt_for_a_job_that_was_not_paid_is_not_believed() -> None:
    """No payment left us, so none was settled."""
    found = read_submission(VENDOR, answer(200, SUBMITTED, receipt_header()), paid=False)
    assert found == Submitted("job_1", "queued", paid=False)


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 410, 412, 422])
def test_paid_and_refused(status: int) -> None:
    """A clear no is a value and no error: the authorization is still out, so no money is free."""
    assert read_submission(VENDOR, answer(status, REASON), paid=True) == Rejected("because", status)


def test_paid_and_refused_says_why() -> None:
    """A 402 has its reason in the terms it repeats, or in the receipt of the settlement that failed."""
    terms = {"x402Version": 2, "error": "nonce\x1b[31m already used", "accepts": []}
    found = read_submission(VENDOR, answer(402, {}, {"PAYMENT-REQUIRED": header(terms)}), paid=True)
    assert isinstance(found, Rejected)
    assert found.reason.startswith("nonce")
    assert "\x1b" not in found.reason
    assert read_submission(VENDOR, answer(402, {}, receipt_header(success=False)), paid=True) == Rejected(
        "insufficient_funds", 402
    )


def test_paid_and_refused_but_settled() -> None:
    """A vendor that cashes and says no has shown it: the receipt comes along."""
    assert read_submission(VENDOR, answer(402, {}, receipt_header()), paid=True) == Rejected(
        "no reason given", 402, RECEIPT
    )


@pytest.mark.parametrize("status", [100, 204, 301, 307, 408, 409, 425, 429, 500, 502, 503, 504, 600])
@pytest.mark.parametrize("receipt", [None, RECEIPT])
def test_paid_and_neither_yes_nor_no(status: int, receipt: Receipt | None) -> None:
    """Money may have moved. A settlement that was shown is kept; 409 may be our own first try, still running."""
    headers = receipt_header() if receipt else {}
    with pytest.raises(OutcomeUnknown, match="never sign another") as caught:
        read_submission(VENDOR, answer(status, b"", headers), paid=True)
    assert caught.value.receipt == receipt
    assert (TRANSACTION in str(caught.value)) == (receipt is not None)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[" * 100_000, b'{"vendorJobId":null}', b'{"status":"queued"}'])
def test_paid_and_an_unreadable_yes(body: bytes) -> None:
    """A 200 that names no job may still be a job: unknown, not broken, and the receipt is kept."""
    with pytest.raises(OutcomeUnknown) as caught:
        read_submission(VENDOR, answer(200, body, receipt_header()), paid=True)
    assert caught.value.receipt == RECEIPT
    assert caught.value.__cause__ is not None


REQUEST = httpx.Request("POST", "https://gpu.example/submit-job")
TROUBLES: list[tuple[Exception, str]] = [
    (httpx.ConnectError("Connection refused"), "could not be reached for /submit-job (Connection refused)"),
    (httpx.ConnectTimeout(""), "could not be reached for /submit-job (timed out)"),
    (httpx.PoolTimeout(""), "could not be reached for /submit-job (timed out)"),
    (httpx.ReadTimeout(""), "gave no answer to /submit-job in time"),
    (TimeoutError(), "gave no answer to /submit-job in time"),
    (httpx.ReadError("secret"), "gave no answer to /submit-job (ReadError)"),
    (httpx.LocalProtocolError("illegal value b'Bearer secret'"), "(LocalProtocolError)"),
    (httpx.RemoteProtocolError("illegal \x1b[31mheader line: bytearray(b'secret')"), "(illegal header line)"),
]


@pytest.mark.parametrize(("exc", "said"), TROUBLES)
def test_unpaid_no_answer_means_nothing_was_bought(exc: Exception, said: str) -> None:
    """Whatever broke, it broke before a payment was sent."""
    error = without_answer(VENDOR, Call.SUBMIT, exc, paid=False)
    assert isinstance(error, VendorUnavailable)
    assert said in str(error)
    assert "nothing was bought" in str(error)
    assert "secret" not in str(error)


@pytest.mark.parametrize(
    ("exc", "said"), [*TROUBLES, (ResponseTooLarge("more than 9 bytes"), "(more than 9 bytes)")]
)
def test_paid_no_answer_means_nothing_is_known(exc: Exception, said: str) -> None:
    """The same errors, once a payment left us: not even a refused connection says what an earlier try did."""
    error = without_answer(VENDOR, Call.SUBMIT, exc, paid=True)
    assert isinstance(error, OutcomeUnknown)
    assert said in str(error)
    assert error.receipt is None
    assert "secret" not in str(error)


def test_paid_and_broken_off_after_the_receipt() -> None:
    """The headers came, the body did not: what they prove is kept."""
    heads = httpx.Response(200, headers=receipt_header())
    error = without_answer(VENDOR, Call.SUBMIT, httpx.ReadError(""), paid=True, heads=heads)
    assert isinstance(error, OutcomeUnknown)
    assert error.receipt == RECEIPT


@pytest.mark.parametrize("exc", [NotX402("no terms"), MalformedHeader("not base64"), ResponseTooLarge("too much")])
def test_unpaid_terms_that_cannot_be_read_break_the_contract(exc: Exception) -> None:
    """A 402 that nobody can pay, and an answer too long to read, are errors of the vendor."""
    error = without_answer(VENDOR, Call.SUBMIT, exc, paid=False)
    assert isinstance(error, ContractBroken)
    assert error.detail == str(exc)


@pytest.mark.parametrize("call", list(Call))
def test_every_message_names_the_vendor_and_the_next_step(call: Call) -> None:
    """Who, what, and what now: an operator acts on the message alone."""
    error: VendorError = without_answer(VENDOR, call, httpx.ReadTimeout(""), paid=False)
    assert error.vendor_id == "gpu_vendor_1"
    assert str(error) == f"gpu_vendor_1 gave no answer to {call.value} in time; {call.later}"


UNAVAILABLE = VendorUnavailable("v", "is down", "wait")


@pytest.mark.parametrize(
    ("exc", "left", "decision"),
    [
        (UNAVAILABLE, MAX_BACKOFF + 0.1, True),
        (UNAVAILABLE, MAX_BACKOFF, False),
        (UNAVAILABLE, -1, False),
        (VendorUnavailable("v", "is down", "wait", 2.0), 2.1, 2.0),
        (VendorUnavailable("v", "is down", "wait", 2.0), 2.0, False),
        (VendorUnavailable("v", "is down", "wait", 0.0), 2.0, True),
        (OutcomeUnknown("v", "is silent"), 9, False),
        (VendorError("v", "is odd", "wait"), 9, False),
        (ValueError(), 9, False),
    ],
)
def test_only_an_absence_is_waited_for_and_only_in_time(
    exc: Exception, left: float, decision: bool | float
) -> None:
    """As long as the vendor asks, if that fits; never for an outcome that is unknown."""
    found = wait_before_retry(exc, left)
    assert (found, type(found)) == (decision, type(decision))
