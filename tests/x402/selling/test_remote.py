"""The client of a facilitator over HTTP, against real servers: a whole one, and several that misbehave."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from net.strict_json import Json, parse_object
from tests.x402.samples import NETWORK, NOW, PAYER, entry, offer, payment_for, v1_entry
from tests.x402.server import Reply, Seen, json_reply, serving
from x402.client import BoundedTransport
from x402.codec import encode_header, object_field
from x402.decode import decode_payment, offer_from
from x402.errors import FacilitatorError, FacilitatorUnavailable, SettlementUnknown
from x402.failures import Failure
from x402.selling import remote
from x402.selling.facilitator import Facilitator, Kind
from x402.selling.offline import MemoryLedger, OfflineFacilitator
from x402.selling.remote import RemoteFacilitator
from x402.wire import PAYMENT_HEADERS, Receipt


class Desk:
    """A facilitator's HTTP endpoints over an offline one."""

    def __init__(self) -> None:
        self.ledger = MemoryLedger()
        self.inner = OfflineFacilitator(self.ledger, lambda: NOW)
        self.orders: list[dict[str, Json]] = []

    async def __call__(self, request: Seen) -> Reply:
        if request.path == "/supported":
            kinds: list[Json] = [
                {"x402Version": kind.version, "scheme": kind.scheme, "network": kind.network}
                for kind in await self.inner.supported()
            ]
            return json_reply({"kinds": [*kinds, "odd", {"x402Version": "2"}], "extensions": [], "signers": {}})
        order = parse_object(request.body)
        self.orders.append(order)
        version = order["x402Version"]
        assert isinstance(version, int)
        payload = encode_header(object_field(order, "paymentPayload"))
        payment = decode_payment(PAYMENT_HEADERS[version], payload)
        terms = offer_from(object_field(order, "paymentRequirements"), version)
        if request.path == "/settle":
            return json_reply((await self.inner.settle(payment, terms)).as_json())
        verdict = await self.inner.verify(payment, terms)
        if verdict.failure is None:
            return json_reply({"isValid": True, "payer": verdict.payer})
        refused: dict[str, Json] = {"isValid": False, "invalidReason": verdict.failure.value}
        return json_reply(refused | {"invalidMessage": verdict.message}, status=400)


@pytest.mark.parametrize("version", [1, 2])
async def test_a_payment_is_verified_and_settled_over_http(version: int) -> None:
    """The server's own requirement travels with the payment, as it was sent to the payer (section 8)."""
    desk = Desk()
    terms = offer() if version == 2 else offer_from(v1_entry(), 1)
    payment = await payment_for(terms)
    async with serving(desk) as url, httpx.AsyncClient() as http:
        far: Facilitator = RemoteFacilitator(http, url + "/")
        assert (await far.verify(payment, terms)).valid
        receipt = await far.settle(payment, terms)
        assert receipt == await far.settle(payment, terms)
        verdict = await far.verify(payment, terms)
        kinds = await far.supported()
    assert [transfer.transaction for transfer in desk.ledger.journal] == [receipt.transaction]
    assert (verdict.failure, verdict.payer) == (Failure.NONCE_USED, PAYER)
    assert verdict.message == "nonce_used: the authorization was used before"
    assert desk.orders[0] == {
        "x402Version": version,
        "paymentPayload": payment.as_json(),
        "paymentRequirements": terms.raw,
    }
    assert Kind(2, "exact", NETWORK) in kinds
    assert len(kinds) == len(await desk.inner.supported())


async def answer_of(reply: Reply, call: str) -> object:
    """What the client makes of one fixed answer."""

    async def server(request: Seen) -> Reply:
        return reply

    payment = await payment_for(offer())
    transport = BoundedTransport(httpx.AsyncHTTPTransport())
    async with serving(server) as url, httpx.AsyncClient(transport=transport) as http:
        far = RemoteFacilitator(http, url)
        if call == "supported":
            return await far.supported()
        return await (far.verify if call == "verify" else far.settle)(payment, offer())


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (Reply(500), FacilitatorUnavailable),
        (Reply(503, body=b"<html>"), FacilitatorUnavailable),
        (Reply(429), FacilitatorUnavailable),
        (Reply(body=None), FacilitatorUnavailable),
        (Reply(200, body=b"<html>"), FacilitatorError),
        (Reply(404, body=b"not found"), FacilitatorError),
        (json_reply({}), FacilitatorError),
        (json_reply({"isValid": "yes", "kinds": {}}), FacilitatorError),
        (Reply(200, {"Content-Encoding": "gzip"}), FacilitatorError),
        (Reply(200, body=b" " * 2_000_000), FacilitatorError),
    ],
)
@pytest.mark.parametrize("call", ["verify", "supported"])
async def test_an_answer_without_a_verdict_is_an_error_of_the_facilitator(
    reply: Reply, error: type[FacilitatorError], call: str
) -> None:
    """Never a verdict by guess; busy and broken are told apart."""
    with pytest.raises(FacilitatorError) as caught:
        await answer_of(reply, call)
    assert type(caught.value) is error


@pytest.mark.parametrize(
    "reply",
    [
        Reply(500),
        Reply(429),
        Reply(body=None),
        Reply(200, body=b"<html>"),
        json_reply({}),
        json_reply({"success": "yes"}),
        json_reply({"success": True, "transaction": "0x1 0x2"}),
    ],
)
async def test_a_settlement_without_a_readable_answer_is_unknown(reply: Reply) -> None:
    """x402#1062, #3208: the money may have moved; it is never reported as failed."""
    with pytest.raises(SettlementUnknown, match="the money may have moved"):
        await answer_of(reply, "settle")


@pytest.mark.parametrize("status", [200, 400, 402])
async def test_a_refusal_is_an_answer_whatever_its_status(status: int) -> None:
    """Some facilitators refuse with 200, some with a 4xx; the reason is kept."""
    refused = json_reply({"success": False, "errorReason": "settlement_pending", "transaction": "0x77"}, status)
    assert await answer_of(refused, "settle") == Receipt(False, "0x77", "", error_reason="settlement_pending")
    verdict = await answer_of(json_reply({"isValid": False}, status), "verify")
    assert "no reason given" in repr(verdict)
    assert "REFUSED" in repr(verdict)


@pytest.mark.parametrize("call", ["verify", "settle"])
async def test_a_facilitator_that_is_not_there_did_nothing(call: str) -> None:
    """A connection that was refused is the one case in which a settlement surely did not happen."""
    async with serving(Desk()) as url:
        pass
    payment = await payment_for(offer())
    async with httpx.AsyncClient() as http:
        far = RemoteFacilitator(http, url)
        with pytest.raises(FacilitatorUnavailable, match="was not reached: ConnectError"):
            await (far.verify if call == "verify" else far.settle)(payment, offer())


async def test_a_facilitator_that_drips_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A total deadline, besides httpx's per-phase ones."""
    monkeypatch.setattr(remote, "_VERIFY_SECONDS", 0.05)
    monkeypatch.setattr(remote, "_SETTLE_SECONDS", 0.05)

    async def silent(request: Seen) -> Reply:
        await asyncio.Event().wait()
        raise AssertionError

    payment = await payment_for(offer())
    async with serving(silent) as url, httpx.AsyncClient(timeout=None) as http:  # noqa: S113 - ours is what is tested
        far = RemoteFacilitator(http, url)
        with pytest.raises(FacilitatorUnavailable):
            await far.verify(payment, offer())
        with pytest.raises(SettlementUnknown):
            await far.settle(payment, offer())


@pytest.mark.parametrize("status", [307, 308])
async def test_redirects_that_keep_the_method_are_followed(status: int) -> None:
    """x402#605: the public facilitator moved with a 308."""
    desk = Desk()

    async def moved(request: Seen) -> Reply:
        if request.path.startswith("/old"):
            return Reply(status, {"Location": request.path.removeprefix("/old")})
        return await desk(request)

    async with serving(moved) as url, httpx.AsyncClient() as http:
        assert (await RemoteFacilitator(http, f"{url}/old").verify(await payment_for(offer()), offer())).valid
        assert await RemoteFacilitator(http, f"{url}/old").supported()


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (Reply(301, {"Location": "/verify"}), "301"),
        (Reply(303, {"Location": "/verify"}), "303"),
        (Reply(308, {"Location": "/verify"}), "TooManyRedirects"),
        (Reply(308, {"Location": "http://a:bad/"}), "RemoteProtocolError"),
        (Reply(308), "308"),
    ],
)
async def test_other_redirects_and_circles_are_not_followed(reply: Reply, error: str) -> None:
    """A 301 or 303 would turn the POST into a GET."""
    with pytest.raises(FacilitatorError, match=error):
        await answer_of(Reply(reply.status, reply.headers, b"moved"), "verify")


@pytest.mark.parametrize(
    "url", ["", "facilitator.example", "ftp://facilitator.example", "http://", "http://a:bad"]
)
async def test_a_facilitator_has_an_absolute_url(url: str) -> None:
    """A mistake in the settings is found when they are read."""
    async with httpx.AsyncClient() as http:
        with pytest.raises(ValueError, match="the facilitator's URL"):
            RemoteFacilitator(http, url)


async def test_a_redirect_never_leaves_https() -> None:
    """A payment is not sent in the clear because someone says so."""
    seen: list[httpx.URL] = []

    def server(request: httpx.Request) -> httpx.Response:
        seen.append(request.url)
        return httpx.Response(308, headers={"Location": "http://facilitator.example/verify"})

    payment = await payment_for(offer())
    async with httpx.AsyncClient(transport=httpx.MockTransport(server)) as http:
        with pytest.raises(FacilitatorUnavailable, match="UnsupportedProtocol"):
            await RemoteFacilitator(http, "https://facilitator.example").verify(payment, offer())
    assert [url.scheme for url in seen] == ["https"]


async def test_an_error_does_not_quote_the_payment() -> None:
    """Neither its own text nor that of its causes."""
    payment = await payment_for(offer())
    with pytest.raises(SettlementUnknown) as caught:
        await answer_of(Reply(500, body=payment.signature.encode()), "settle")
    assert payment.signature[2:40] not in f"{caught.value!r} {caught.value.__cause__!r}"
    assert entry()["payTo"] == payment.authorization.payee
