"""The two calls that change nothing, over real sockets: what goes out, what comes back, how long it may take."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Awaitable, Callable

import httpx
import pytest
import stamina

from tests.vendors.samples import QUOTE, REPORT, TOKEN, a_vendor
from tests.vendors.server import DROP, HANG, Drip, Raw, Reply, ScriptedVendor, reply
from vendors.client import MAX_BODY, VendorClient, make_http_client
from vendors.errors import ContractBroken, InvalidVendor, VendorError, VendorRefused, VendorUnavailable
from vendors.models import JobReport, Quote, Vendor
from x402.client import BoundedTransport

LONG = 5.0
SHORT = 0.1
GOOD_QUOTE = Quote("tpl_1", 1_400_000, "USD", 12.0)

Call = Callable[[VendorClient, Vendor, float], Awaitable[Quote | JobReport]]


async def quote(client: VendorClient, vendor: Vendor, within: float) -> Quote:
    return await client.quote(vendor, job_type="fine_tune", gpu_type="A100", max_hours=1.5, within=within)


async def status(client: VendorClient, vendor: Vendor, within: float) -> JobReport:
    return await client.status(vendor, "job 1&x=/..", within=within)


BOTH = pytest.mark.parametrize(("call", "good"), [(quote, QUOTE), (status, REPORT)])


async def test_a_quote_is_asked_as_the_contract_says(client: VendorClient, server: ScriptedVendor) -> None:
    """POST /quote with the parameters, the token and the vendor's id."""
    server.answers(reply(200, QUOTE))
    assert await quote(client, a_vendor(server.url), LONG) == GOOD_QUOTE
    (request,) = server.seen
    assert (request.method, request.target) == ("POST", "/quote")
    assert request.json == {"jobType": "fine_tune", "gpuType": "A100", "maxHours": 1.5}
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    assert request.headers["x-vendor-id"] == "gpu_vendor_1"
    assert request.headers["content-type"] == "application/json"
    assert "idempotency-key" not in request.headers


async def test_a_status_is_asked_as_the_contract_says(client: VendorClient, server: ScriptedVendor) -> None:
    """GET /job-status with the job's id, whatever is in it, below the endpoint's path."""
    server.answers(reply(200, REPORT))
    report = await status(client, a_vendor(f"{server.url}/v1/"), LONG)
    assert report.logs == ("queued", "epoch 1/5 loss=2.4")
    (request,) = server.seen
    assert (request.method, request.target) == ("GET", "/v1/job-status?vendorJobId=job+1%26x%3D%2F..")
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    assert request.headers["x-vendor-id"] == "gpu_vendor_1"


@BOTH
@pytest.mark.parametrize("bad", [reply(503), reply(429), reply(500), reply(408), DROP, Raw(b"nonsense\r\n\r\n")])
async def test_a_passing_trouble_is_outlived(
    client: VendorClient, server: ScriptedVendor, call: Call, good: object, bad: Reply
) -> None:
    """Two failures, then the answer: the caller sees only that."""
    server.answers(bad, bad, reply(200, good))
    await call(client, a_vendor(server.url), LONG)
    assert len(server.seen) == 3
    assert len({(seen.target, seen.body) for seen in server.seen}) == 1


async def test_a_dead_connection_leaves_time_for_another(client: VendorClient, server: ScriptedVendor) -> None:
    """Silence gets half of the time, so that the second try can still be answered."""
    server.answers(HANG, reply(200, QUOTE))
    await quote(client, a_vendor(server.url), 1.0)
    assert len(server.seen) == 2


@BOTH
async def test_the_third_failure_is_the_last(
    client: VendorClient, server: ScriptedVendor, call: Call, good: object
) -> None:
    """A vendor that is down is not hammered."""
    server.answers(reply(503, {"error": "maintenance"}))
    with pytest.raises(VendorUnavailable, match="503: maintenance"):
        await call(client, a_vendor(server.url), LONG)
    assert len(server.seen) == 3


@BOTH
@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (reply(400), VendorRefused),
        (reply(404), VendorRefused),
        (reply(200, b"{"), ContractBroken),
        (reply(302, headers={"Location": "/elsewhere"}), ContractBroken),
    ],
)
async def test_what_will_not_get_better_is_not_tried_again(
    client: VendorClient, server: ScriptedVendor, call: Call, good: object, bad: Raw, error: type[VendorError]
) -> None:
    """A no, a broken contract, and a moment that lies beyond our time are final at once."""
    server.answers(bad, reply(200, good))
    with pytest.raises(error):
        await call(client, a_vendor(server.url), LONG)
    assert len(server.seen) == 1


@pytest.mark.parametrize(("seconds", "tries"), [("4", 2), ("5", 1), ("3600", 1)])
async def test_a_wait_that_the_vendor_asks_for_must_fit(
    client: VendorClient, server: ScriptedVendor, seconds: str, tries: int
) -> None:
    """Retry-After within our time means one more try; beyond it the caller hears at once."""
    server.answers(reply(429, headers={"Retry-After": seconds}), reply(503, headers={"Retry-After": "3600"}))
    with pytest.raises(VendorUnavailable) as caught:
        await quote(client, a_vendor(server.url), LONG)
    assert caught.value.retry_after == (3600 if tries == 2 else float(seconds))
    assert len(server.seen) == tries


@BOTH
@pytest.mark.parametrize(
    "silence",
    [
        HANG,
        Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"),
        Drip(b"HTTP/1.1 200 O"),
        Drip(b"HTTP/1.1 200 OK\r\nX-Slow: "),
        Drip(b"HTTP/1.1 200 OK\r\nContent-Length: 900000\r\n\r\n"),
        Drip(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ],
)
async def test_no_answer_can_take_longer_than_it_may(
    client: VendorClient, server: ScriptedVendor, call: Call, good: object, silence: Reply
) -> None:
    """Silence, and a byte now and then, both end at the deadline, which covers the whole call."""
    server.answers(silence)
    async with asyncio.timeout(LONG):
        with pytest.raises(VendorUnavailable):
            await call(client, a_vendor(server.url), SHORT)


async def test_a_port_where_nobody_listens(client: VendorClient, server: ScriptedVendor) -> None:
    """A refused connection is the vendor's absence, and says so."""
    await server.__aexit__(None, None, None)
    with pytest.raises(VendorUnavailable, match="could not be reached for /quote"):
        await quote(client, a_vendor(server.url), LONG)


async def test_a_name_that_does_not_exist(client: VendorClient) -> None:
    """DNS trouble is the vendor's absence too. (.invalid never resolves, RFC 6761)"""
    with pytest.raises(VendorUnavailable, match="could not be reached for /quote"):
        await quote(client, a_vendor("https://gpu.invalid"), LONG)


@BOTH
@pytest.mark.parametrize(
    "hostile",
    [
        Raw(b"\x00\xff\xfe not http\r\n\r\n"),
        Raw(b"HTTP/9.9 200 OK\r\n\r\n"),
        Raw(b"HTTP/1.1 abc OK\r\n\r\n"),
        Raw(b"HTTP/1.1 200 OK\r\nAuthorization Bearer " + TOKEN.encode() + b"\r\n\r\n"),
        Raw(b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n{}"),
        Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n{}"),
        Raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
        Raw(b"HTTP/1.1 200 OK\r\nX-Big: " + b"a" * 200_000 + b"\r\n\r\n"),
        Raw(b"HTTP/1.1 200 OK\r\n" + b"X-Many: a\r\n" * 20_000 + b"\r\n"),
        reply(200, b"a" * (MAX_BODY + 1)),
        Raw(b"HTTP/1.1 200 OK\r\n\r\n" + b"[" * (MAX_BODY + 1)),
        Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n"),
        reply(200, b"\x1f\x8b", {"Content-Encoding": "gzip"}),
        reply(200, b"\x1f\x8b", {"Content-Encoding": "who-knows"}),
        reply(200, b"{}", {"Content-Type": "application/json; charset=utf-7"}),
        reply(302, headers={"Location": "http://[::1"}),
        reply(302, headers={"Location": "gopher://x"}),
        reply(302, headers={"Location": "//\xff:99999999"}),
        reply(302),
        reply(401, headers={"WWW-Authenticate": 'Digest qop="x'}),
        reply(200, b"{}", {"Set-Cookie": "=;;==\x01; expires=Thu, 99 Foo 99999"}),
        reply(503, headers={"Retry-After": "9" * 5_000}),
        reply(200, b"\xef\xbb\xbf{}"),
        reply(200, b'"\\ud800"'),
        reply(500, b'{"error":{"message":"\\ud800\\u001b[2J"}}'),
    ],
)
async def test_every_hostile_answer_is_an_error_of_the_vendor(
    client: VendorClient, server: ScriptedVendor, call: Call, good: object, hostile: Raw
) -> None:
    """Nothing that a vendor sends comes out as anything but a VendorError that can be shown and stored."""
    server.answers(hostile)
    with pytest.raises(VendorError) as caught:
        await call(client, a_vendor(server.url), LONG)
    assert str(caught.value).isprintable()
    assert TOKEN not in str(caught.value)
    assert len(str(caught.value)) < 1_000


TOO_LONG = [
    reply(200, json.dumps(QUOTE).encode() + b" " * MAX_BODY),
    Raw(b"HTTP/1.1 200 OK\r\n\r\n" + json.dumps(QUOTE).encode() + b" " * MAX_BODY),
    reply(200, gzip.compress(json.dumps(QUOTE).encode()), {"Content-Encoding": "gzip"}),
]


@pytest.mark.parametrize("long", TOO_LONG)
async def test_a_good_answer_is_none_when_it_is_longer_than_may_be_read(
    client: VendorClient, server: ScriptedVendor, long: Raw
) -> None:
    """Announced, unannounced or compressed: what would fill our memory is not read to its end."""
    server.answers(long)
    with pytest.raises(ContractBroken, match=rf"sent (more than {MAX_BODY} bytes|a compressed body)"):
        await quote(client, a_vendor(server.url), LONG)


async def test_a_redirect_is_not_followed(client: VendorClient, server: ScriptedVendor) -> None:
    """The token goes where it was registered to go, nowhere else."""
    async with ScriptedVendor() as elsewhere:
        elsewhere.answers(reply(200, QUOTE))
        server.answers(reply(307, headers={"Location": f"{elsewhere.url}/quote"}))
        with pytest.raises(ContractBroken, match="redirects, which is not followed"):
            await quote(client, a_vendor(server.url), LONG)
        assert elsewhere.seen == []


async def test_cookies_are_not_kept(client: VendorClient, server: ScriptedVendor) -> None:
    """A vendor cannot mark us, or fill our memory, with cookies."""
    server.answers(reply(200, QUOTE, {"Set-Cookie": "track=1; Path=/; Max-Age=99999"}))
    await quote(client, a_vendor(server.url), LONG)
    await quote(client, a_vendor(server.url), LONG)
    assert "cookie" not in server.seen[1].headers


@pytest.mark.parametrize("token", ["", "two words", "line\r\nX-Evil: 1", "naïve", "a" * 4_097])
async def test_a_token_that_cannot_be_sent_is_refused_and_not_shown(server: ScriptedVendor, token: str) -> None:
    """Nothing goes out, and the error names the variable without its value."""
    async with make_http_client(loopback=True) as http:
        with pytest.raises(InvalidVendor) as caught:
            await quote(VendorClient(http, lambda ref: token), a_vendor(server.url), LONG)
    assert caught.value.field == "secret_ref"
    assert "GPU_VENDOR_SECRET" in str(caught.value)
    assert not token or token not in str(caught.value)
    assert server.seen == []


async def test_what_looking_up_a_token_raises_comes_through(server: ScriptedVendor) -> None:
    """A missing setting is not the vendor's fault."""

    def missing(vendor: Vendor) -> str:
        raise LookupError(vendor.secret_ref)

    async with make_http_client(loopback=True) as http:
        with pytest.raises(LookupError, match="GPU_VENDOR_SECRET"):
            await quote(VendorClient(http, missing), a_vendor(server.url), LONG)


async def test_an_endpoint_that_cannot_be_called_is_named(client: VendorClient) -> None:
    """An international name that decodes to nothing: found by the library that calls, and said as ours."""
    with pytest.raises(InvalidVendor) as caught:
        await quote(client, a_vendor("https://xn--a.example"), LONG)
    assert caught.value.field == "endpoint"


@BOTH
@pytest.mark.parametrize("code", [401, 500])
async def test_a_token_that_the_vendor_repeats_is_withheld(
    client: VendorClient, server: ScriptedVendor, call: Call, good: object, code: int
) -> None:
    """Vendors quote the token that they refuse; their text ends in the trail, the token does not."""
    server.answers(reply(code, {"error": {"message": f"invalid token '{TOKEN}'"}}))
    with pytest.raises(VendorError, match=r"invalid token '\[withheld\]'"):
        await call(client, a_vendor(server.url), LONG)
    server.answers(reply(200, {**REPORT, "logs": [f"auth: {TOKEN}"]}))
    assert (await status(client, a_vendor(server.url), LONG)).logs == ("auth: [withheld]",)


async def test_a_token_that_the_vendor_repeats_is_not_logged(client: VendorClient, server: ScriptedVendor) -> None:
    """What is tried again is logged by stamina, with the error as it left the attempt."""
    logged: list[str] = []
    stamina.instrumentation.set_on_retry_hooks([lambda details: logged.append(repr(details))])
    try:
        server.answers(reply(503, {"error": f"invalid token '{TOKEN}'"}), reply(200, QUOTE))
        await quote(client, a_vendor(server.url), LONG)
    finally:
        stamina.instrumentation.set_on_retry_hooks(None)
    assert len(logged) == 1
    assert "503: invalid token '[withheld]'" in logged[0]
    assert TOKEN not in logged[0]


async def test_a_token_that_is_a_word_of_the_contract_breaks_nothing(server: ScriptedVendor) -> None:
    """Withholding must not eat the answer."""
    server.answers(reply(200, QUOTE))
    async with make_http_client(loopback=True) as http:
        assert await quote(VendorClient(http, lambda ref: "currency"), a_vendor(server.url), LONG) == GOOD_QUOTE


async def test_the_token_is_in_no_error(client: VendorClient, server: ScriptedVendor) -> None:
    """Not in the message, the repr or the chain of causes, whatever went wrong."""
    for bad in (reply(401), reply(500), DROP, reply(200, b"{"), Raw(b"nonsense\r\n\r\n"), reply(302)):
        server.answers(bad)
        with pytest.raises(VendorError) as caught:
            await quote(client, a_vendor(server.url), LONG)
        error: BaseException | None = caught.value
        while error is not None:
            assert TOKEN not in f"{error} {error!r} {error.args}"
            error = error.__cause__ or error.__context__


async def test_numbers_that_json_does_not_know_never_go_out(client: VendorClient, server: ScriptedVendor) -> None:
    """NaN hours are a mistake of the caller's, and say so before anything is sent."""
    with pytest.raises(ValueError, match="JSON compliant"):
        await client.quote(
            a_vendor(server.url), job_type="x", gpu_type="A100", max_hours=float("nan"), within=LONG
        )
    assert server.seen == []


async def test_a_cancelled_call_is_cancelled(client: VendorClient, server: ScriptedVendor) -> None:
    """A tick that is stopped stops at once: being cancelled is not a time-out of the vendor."""
    server.answers(HANG)
    task = asyncio.create_task(quote(client, a_vendor(server.url), LONG))
    await server.asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_bad_answers_use_up_no_connection(server: ScriptedVendor) -> None:
    """The one connection that this client may have is free again after each of them."""
    transport = BoundedTransport(httpx.AsyncHTTPTransport(limits=httpx.Limits(max_connections=1)), MAX_BODY)
    async with httpx.AsyncClient(transport=transport) as http:
        client = VendorClient(http, lambda ref: TOKEN)
        trouble: list[Reply] = [reply(302), *TOO_LONG, Drip(b"HTTP/1.1 200 OK\r\n\r\n"), HANG, DROP]
        for bad in trouble:
            server.answers(bad)
            with pytest.raises(VendorError):
                await quote(client, a_vendor(server.url), SHORT)
        server.answers(reply(200, QUOTE))
        assert await quote(client, a_vendor(server.url), LONG) == GOOD_QUOTE


async def test_an_answer_that_breaks_is_closed_at_once() -> None:
    """Not when the garbage collector comes by: a connection held meanwhile is one that others wait for."""

    class Breaking(httpx.AsyncByteStream):
        closed = False

        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b"{"
            raise httpx.ReadError("cut off")

        async def aclose(self) -> None:
            self.closed = True

    streams: list[Breaking] = []

    def answer(request: httpx.Request) -> httpx.Response:
        streams.append(Breaking())
        return httpx.Response(200, stream=streams[-1])

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        with pytest.raises(VendorUnavailable, match="ReadError"):
            await quote(VendorClient(http, lambda ref: TOKEN), a_vendor(), LONG)
    assert [stream.closed for stream in streams] == [True] * 3
