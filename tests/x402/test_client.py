"""The exchange over httpx: driven by hand, and over real sockets."""

from __future__ import annotations

import gzip
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from email.utils import format_datetime

import httpx
import pytest

from tests.x402.samples import NOW, URL, entry, header_for, offer
from tests.x402.server import Reply, Seen, serving
from x402.client import READ_ON, BoundedTransport, PaymentAuth
from x402.codec import encode_header
from x402.errors import (
    EncodedResponse,
    InsecureTransport,
    NotX402,
    PolicyRefused,
    RedirectRefused,
    ResponseRefused,
    ResponseTooLarge,
)
from x402.wire import Challenge, PaymentHeader

TERMS = {"PAYMENT-REQUIRED": encode_header({"x402Version": 2, "accepts": [entry()]})}
NAME = "PAYMENT-SIGNATURE"


class Wallet:
    """Authorizes by handing out one header, and counts how often it was asked."""

    def __init__(self, header: PaymentHeader) -> None:
        self.header = header
        self.asked: list[Challenge] = []

    async def __call__(self, terms: Challenge) -> PaymentHeader:
        self.asked.append(terms)
        return self.header


@pytest.fixture
async def wallet() -> Wallet:
    return Wallet(await header_for(offer()))


async def refuse(terms: Challenge) -> PaymentHeader:
    raise PolicyRefused(["too dear"])


def now() -> float:
    return NOW


async def test_a_request_is_sent_unpaid_then_paid(wallet: Wallet) -> None:
    """Driven by hand: request out, 402 in, the same request out with the payment, answer in."""
    auth, request = PaymentAuth(wallet), httpx.Request("POST", URL, content=b"order")
    flow = auth.async_auth_flow(request)
    first = await flow.__anext__()
    assert NAME not in first.headers
    assert first.headers["Cache-Control"] == "no-store"
    assert not auth.paid
    second = await flow.asend(httpx.Response(402, headers=TERMS, request=request))
    assert auth.paid
    assert (second.url, second.content) == (request.url, b"order")
    assert second.headers[NAME] == wallet.header.value
    assert second.headers["Cache-Control"] == "no-store"
    with pytest.raises(StopAsyncIteration):
        await flow.asend(httpx.Response(200, request=request))
    assert len(wallet.asked) == 1


async def test_a_second_402_is_an_answer_and_not_a_challenge(wallet: Wallet) -> None:
    """x402#3148, #3223: a refused payment looks like unpaid; it is never paid again."""
    seen: list[Seen] = []

    async def shop(request: Seen) -> Reply:
        seen.append(request)
        return Reply(402, TERMS)

    auth = PaymentAuth(wallet)
    async with serving(shop) as url, httpx.AsyncClient() as http:
        answer = await http.post(url, content=b"order", auth=auth)
    assert answer.status_code == 402
    assert [NAME.lower() in request.headers for request in seen] == [False, True]
    assert len(wallet.asked) == 1
    assert auth.paid


async def test_stored_bytes_are_sent_at_once_and_never_replaced(wallet: Wallet) -> None:
    """Recovery re-sends what was stored; a 402 then is an answer, and nobody is asked to sign."""
    seen: list[Seen] = []

    async def shop(request: Seen) -> Reply:
        seen.append(request)
        return Reply(402, TERMS)

    auth = PaymentAuth(wallet, wallet.header)
    async with serving(shop) as url, httpx.AsyncClient() as http:
        answer = await http.post(url, content=b"order", auth=auth)
    assert answer.status_code == 402
    assert [(request.headers[NAME.lower()], request.body) for request in seen] == [(wallet.header.value, b"order")]
    assert wallet.asked == []
    assert auth.paid


@pytest.mark.parametrize("status", [200, 401, 404, 500])
async def test_an_answer_that_is_no_402_is_handed_over_unpaid(wallet: Wallet, status: int) -> None:
    """Only a 402 asks for money."""

    async def shop(request: Seen) -> Reply:
        return Reply(status, TERMS)

    auth = PaymentAuth(wallet)
    async with serving(shop) as url, httpx.AsyncClient() as http:
        assert (await http.get(url, auth=auth)).status_code == status
    assert not auth.paid
    assert wallet.asked == []


async def test_a_refusal_of_the_callback_passes_through_and_nothing_is_paid() -> None:
    """What the callback raises is the caller's own."""
    seen: list[Seen] = []

    async def shop(request: Seen) -> Reply:
        seen.append(request)
        return Reply(402, TERMS)

    auth = PaymentAuth(refuse)
    async with serving(shop) as url, httpx.AsyncClient() as http:
        with pytest.raises(PolicyRefused, match="too dear"):
            await http.post(url, auth=auth)
    assert len(seen) == 1
    assert not auth.paid


async def test_a_402_without_terms_is_its_own_error(wallet: Wallet) -> None:
    """Typed, so that nobody retries it; terms in the body need the opt-in."""
    v2_body = encode_header({})  # not JSON

    async def shop(request: Seen) -> Reply:
        return Reply(402, {}, v2_body.encode())

    async with serving(shop) as url, httpx.AsyncClient() as http:
        with pytest.raises(NotX402):
            await http.get(url, auth=PaymentAuth(wallet))


async def test_terms_in_the_body_are_read_after_an_opt_in(wallet: Wallet) -> None:
    """Some servers put version 2 there (x402#2207)."""

    async def shop(request: Seen) -> Reply:
        if NAME.lower() in request.headers:
            return Reply(200)
        return Reply(402, {}, b'{"x402Version":2,"accepts":[]}')

    async with serving(shop) as url, httpx.AsyncClient() as http:
        assert (await http.get(url, auth=PaymentAuth(wallet, body_terms=True))).status_code == 200


async def test_a_streamed_body_is_sent_again_whole(wallet: Wallet) -> None:
    """x402#2847: the first try must not use it up."""
    seen: list[Seen] = []

    async def parts() -> AsyncIterator[bytes]:
        yield b"or"
        yield b"der"

    async def shop(request: Seen) -> Reply:
        seen.append(request)
        return Reply(200 if NAME.lower() in request.headers else 402, TERMS)

    async with serving(shop) as url, httpx.AsyncClient() as http:
        request = http.build_request("POST", url, content=parts(), headers={"Content-Length": "5"})
        assert (await http.send(request, auth=PaymentAuth(wallet))).status_code == 200
    assert [request.body for request in seen] == [b"order", b"order"]


async def test_an_answer_that_never_comes_leaves_the_outcome_unknown(wallet: Wallet) -> None:
    """`paid` is what tells "nothing was bought" from "reconcile"."""

    async def shop(request: Seen) -> Reply:
        return Reply(402, TERMS) if NAME.lower() not in request.headers else Reply(body=None)

    auth = PaymentAuth(wallet)
    async with serving(shop) as url, httpx.AsyncClient() as http:
        with pytest.raises(httpx.TransportError):
            await http.post(url, auth=auth)
    assert auth.paid


async def test_an_auth_pays_for_one_request(wallet: Wallet) -> None:
    """A payment must not be sent along with another request by mistake."""

    async def shop(request: Seen) -> Reply:
        return Reply(200)

    auth = PaymentAuth(wallet, wallet.header)
    async with serving(shop) as url, httpx.AsyncClient() as http:
        await http.post(url, auth=auth)
        with pytest.raises(RuntimeError, match="one request"):
            await http.post(f"{url}/other", auth=auth)


def test_a_blocking_client_is_told_that_it_cannot_pay() -> None:
    """Better an error than an unpaid request."""
    with (
        httpx.Client(transport=httpx.MockTransport(lambda request: httpx.Response(402))) as http,
        pytest.raises(RuntimeError, match="AsyncClient"),
    ):
        http.get(URL, auth=PaymentAuth(refuse))


@pytest.mark.parametrize("url", ["http://gpu.example/", "http://10.0.0.5/", "http://localhost.example/"])
async def test_no_payment_travels_in_the_clear(wallet: Wallet, url: str) -> None:
    """Whoever sees an authorization can cash it; neither a new one nor a stored one is sent over plain http."""
    seen: list[httpx.Request] = []

    def shop(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(402, headers=TERMS)

    async with httpx.AsyncClient(transport=httpx.MockTransport(shop)) as http:
        for auth in (PaymentAuth(wallet), PaymentAuth(wallet, wallet.header)):
            with pytest.raises(InsecureTransport, match="use https"):
                await http.post(url, auth=auth)
            assert not auth.paid
        assert wallet.asked == []
        assert all(NAME not in request.headers for request in seen)
        opted_in = PaymentAuth(wallet, plain_http=True)
        await http.post(url, auth=opted_in)
        assert opted_in.paid


@pytest.mark.parametrize(
    "url",
    ["https://gpu.example/", "http://127.0.0.1/", "http://[::1]/", "http://localhost/"],
)
async def test_payments_travel_encrypted_or_stay_on_this_machine(wallet: Wallet, url: str) -> None:
    """Loopback needs no encryption."""
    async with httpx.AsyncClient(transport=httpx.MockTransport(lambda request: httpx.Response(200))) as http:
        auth = PaymentAuth(wallet, wallet.header)
        assert (await http.get(url, auth=auth)).status_code == 200
        assert auth.paid


@pytest.mark.parametrize(
    ("date", "warned"),
    [
        (format_datetime(datetime.fromtimestamp(NOW + 31, UTC), usegmt=True), True),
        (format_datetime(datetime.fromtimestamp(NOW - 31, UTC)), True),
        (format_datetime(datetime.fromtimestamp(NOW + 30, UTC), usegmt=True), False),
        ("Fri, 15 Jan 2027 08:00:00 -0000", False),
        ("yesterday", False),
        ("Mon, 01 Jan 99999999999999999999 00:00:00 GMT", False),
        ("", False),
    ],
)
async def test_a_clock_that_is_far_off_is_warned_of(
    wallet: Wallet, caplog: pytest.LogCaptureFixture, date: str, warned: bool
) -> None:
    """x402#208: a payment that is "not yet valid" to the seller is hard to explain otherwise."""

    def shop(request: httpx.Request) -> httpx.Response:
        return httpx.Response(402, headers=TERMS | {"Date": date})

    with caplog.at_level(logging.WARNING, "x402.client"):
        async with httpx.AsyncClient(transport=httpx.MockTransport(shop)) as http:
            await http.get(URL, auth=PaymentAuth(wallet, clock=now))
    assert [record.message for record in caplog.records if "clock of gpu.example" in record.message] == (
        [f"the clock of gpu.example differs from ours by {31 if '00:31' in date else -31} s"] if warned else []
    )


async def test_payments_are_not_logged(wallet: Wallet, caplog: pytest.LogCaptureFixture) -> None:
    """At no level, by us or by httpx."""

    async def shop(request: Seen) -> Reply:
        return Reply(200 if NAME.lower() in request.headers else 402, TERMS)

    with caplog.at_level(logging.DEBUG):
        async with serving(shop) as url, httpx.AsyncClient() as http:
            await http.post(url, auth=PaymentAuth(wallet))
    assert caplog.records
    assert wallet.header.value[:60] not in caplog.text


def bounded(limit: int = 1000) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=BoundedTransport(httpx.AsyncHTTPTransport(), limit), follow_redirects=True)


@pytest.mark.parametrize("stored", [True, False])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_never_carries_a_payment(wallet: Wallet, status: int, stored: bool) -> None:
    """wevm/mppx#893: not even by a client that follows redirects; it is known that the payment left."""
    seen: list[Seen] = []

    async def shop(request: Seen) -> Reply:
        seen.append(request)
        if NAME.lower() not in request.headers:
            return Reply(402, TERMS)
        return Reply(status, {"Location": "/elsewhere"})

    auth = PaymentAuth(wallet, wallet.header if stored else None)
    async with serving(shop) as url, bounded() as http:
        with pytest.raises(RedirectRefused, match="not followed"):
            await http.post(f"{url}/here", auth=auth)
    assert {request.path for request in seen} == {"/here"}
    assert auth.paid


async def test_an_unpaid_redirect_is_the_clients_own_affair(wallet: Wallet) -> None:
    """Nothing of value travels with it."""

    async def shop(request: Seen) -> Reply:
        return Reply(307, {"Location": "/new"}) if request.path == "/old" else Reply(200)

    async with serving(shop) as url, bounded() as http:
        assert (await http.get(f"{url}/old")).status_code == 200
        assert (await http.get(f"{url}/old", auth=PaymentAuth(wallet))).status_code == 200


@pytest.mark.parametrize("headers", [{}, {"Transfer-Encoding": "chunked"}])
@pytest.mark.parametrize(("size", "limit"), [(1001, 1000), (100_000, 1000)])
async def test_a_body_is_read_up_to_the_limit(headers: dict[str, str], size: int, limit: int) -> None:
    """Announced or not, what is longer is not read."""

    async def shop(request: Seen) -> Reply:
        return Reply(200, headers, b"x" * (limit if request.path == "/fits" else size))

    async with serving(shop) as url, bounded(limit) as http:
        with pytest.raises(ResponseTooLarge, match=f"127.0.0.1 sent more than {limit} bytes"):
            await http.get(url)
        assert len((await http.get(f"{url}/fits")).content) == limit


async def test_an_absurd_length_is_refused_before_reading() -> None:
    """More digits than a number should have. Where the beginning counts too, the body is counted as it comes."""

    def shop(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"Content-Length": "9" * 5000}, stream=httpx.ByteStream(b"ok"))

    async with httpx.AsyncClient(transport=BoundedTransport(httpx.MockTransport(shop))) as http:
        with pytest.raises(ResponseTooLarge):
            await http.get(URL)
        assert (await http.get(URL, extensions={READ_ON: True})).content == b"ok"


@pytest.mark.parametrize("headers", [{"Content-Encoding": "gzip"}, {"Content-Length": "9"}])
async def test_the_headers_of_an_answer_that_is_refused_are_seen(headers: dict[str, str]) -> None:
    """They may hold the receipt of a payment, and where the goods are."""

    def shop(request: httpx.Request) -> httpx.Response:
        return httpx.Response(
            200, headers={"Location": "/goods", **headers}, stream=httpx.ByteStream(b"too large")
        )

    transport = BoundedTransport(httpx.MockTransport(shop), 4)
    async with httpx.AsyncClient(transport=transport) as http, http.stream("GET", URL) as response:
        assert response.headers["Location"] == "/goods"
        with pytest.raises(ResponseRefused):
            await response.aread()


async def test_compressed_answers_are_refused() -> None:
    """`identity` is asked for; a small compressed body could unpack to any size."""
    asked: list[str] = []

    async def shop(request: Seen) -> Reply:
        asked.append(request.headers["accept-encoding"])
        if request.path == "/plain":
            return Reply(200, {"Content-Encoding": "identity"}, b"plain")
        return Reply(200, {"Content-Encoding": "gzip"}, gzip.compress(b"x" * 100_000))

    async with serving(shop) as url, bounded() as http:
        with pytest.raises(EncodedResponse, match="compressed"):
            await http.get(url)
        assert (await http.get(f"{url}/plain")).text == "plain"
    assert set(asked) == {"identity"}


def test_a_limit_is_above_zero() -> None:
    """Zero would refuse everything, and be hard to find."""
    with pytest.raises(ValueError, match="max_bytes"):
        BoundedTransport(httpx.AsyncHTTPTransport(), 0)


@pytest.mark.parametrize(
    ("age", "paid"),
    [("0", True), ("00", True), ("", True), ("soon", True), ("1", False), ("3600", False)],
)
async def test_terms_that_a_cache_kept_are_not_paid(wallet: Wallet, age: str, paid: bool) -> None:
    """x402#2955: a 402 with an `Age` is an old one."""

    def shop(request: httpx.Request) -> httpx.Response:
        return httpx.Response(402, headers=TERMS | {"Age": age})

    auth = PaymentAuth(wallet)
    async with httpx.AsyncClient(transport=httpx.MockTransport(shop)) as http:
        if paid:
            await http.get(URL, auth=auth)
        else:
            with pytest.raises(NotX402, match=f"from a cache, {age} s old"):
                await http.get(URL, auth=auth)
    assert auth.paid is paid
