"""Ordering a job, over real sockets and with real signatures: one payment at most, and never a guess about it."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import httpx
import pytest

from tests.vendors.samples import PAYEE, SUBMITTED, TOKEN, TRANSACTION, a_vendor, header, receipt_header
from tests.vendors.server import DROP, HANG, Drip, Raw, Reply, ScriptedVendor, reply
from tests.vendors.wallet import PRICE, Wallet, challenge, terms
from vendors.client import MAX_BODY, VendorClient
from vendors.errors import ContractBroken, OutcomeUnknown, VendorError, VendorRefused, VendorUnavailable
from vendors.models import Rejected, Submitted
from x402.client import PaymentAuth
from x402.decode import decode_payment
from x402.errors import PolicyRefused, SigningFailed
from x402.negotiation import read_challenge
from x402.wire import Challenge, PaymentHeader, Receipt

LONG = 5.0
SHORT = 0.1
RECEIPT = Receipt(success=True, transaction=TRANSACTION, network="eip155:84532")
ACCEPTED = reply(200, SUBMITTED, receipt_header())
STORED = PaymentHeader("PAYMENT-SIGNATURE", "c3RvcmVkIGJ5dGVz")


async def submit(
    client: VendorClient, server: ScriptedVendor, auth: PaymentAuth, within: float = LONG
) -> Submitted | Rejected:
    return await client.submit(
        a_vendor(server.url),
        idempotency_key="66a1f00d",
        template_id="tpl_1",
        job_params={"jobType": "fine_tune", "gpuType": "A100", "maxHours": 1.5, "goal": "tune \ud800 tiny-llm"},
        auth=auth,
        within=within,
    )


def decoded() -> Challenge:
    """The challenge as the wallet gets it."""
    return read_challenge({"PAYMENT-REQUIRED": header(terms())}, b"")


def payments(server: ScriptedVendor) -> list[str]:
    """The payment of each request that the vendor saw, "" where there was none."""
    return [seen.headers.get("payment-signature", "") for seen in server.seen]


async def test_a_vendor_that_asks_for_no_payment_gets_none(client: VendorClient, server: ScriptedVendor) -> None:
    """One request as the contract has it, nothing signed, and the answer says that it was not paid."""
    server.answers(reply(201, SUBMITTED))
    wallet = Wallet()
    assert await submit(client, server, PaymentAuth(wallet.authorize)) == Submitted("job_1", "queued", paid=False)
    (request,) = server.seen
    assert (request.method, request.target) == ("POST", "/submit-job")
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    assert request.headers["x-vendor-id"] == "gpu_vendor_1"
    assert request.headers["idempotency-key"] == "66a1f00d"
    assert request.json == {
        "vendorJobTemplateId": "tpl_1",
        "jobParams": {"jobType": "fine_tune", "gpuType": "A100", "maxHours": 1.5, "goal": "tune \ud800 tiny-llm"},
    }
    assert wallet.asked == []


async def test_a_vendor_that_asks_is_paid_once(client: VendorClient, server: ScriptedVendor) -> None:
    """402, a real signature over its terms, the same request again with it, a job and its receipt."""
    server.answers(challenge(), ACCEPTED)
    wallet = Wallet()
    assert await submit(client, server, PaymentAuth(wallet.authorize)) == Submitted(
        "job_1", "queued", paid=True, receipt=RECEIPT
    )
    unpaid, paid = server.seen
    assert unpaid.body == paid.body
    assert unpaid.headers["idempotency-key"] == paid.headers["idempotency-key"]
    assert payments(server) == ["", wallet.signed[0].value]
    assert paid.headers["cache-control"] == "no-store"
    sent = decode_payment("PAYMENT-SIGNATURE", paid.headers["payment-signature"])
    assert (sent.authorization.payee, sent.authorization.value) == (PAYEE, PRICE)


async def test_the_order_is_the_same_bytes_however_it_was_stored(
    client: VendorClient, server: ScriptedVendor
) -> None:
    """Keys in another order after a reload are no other order: the idempotency key must match its body."""
    server.answers(reply(200, SUBMITTED))
    for params in ({"a": 1, "b": 2}, {"b": 2, "a": 1}):
        await client.submit(
            a_vendor(server.url),
            idempotency_key="1",
            template_id="t",
            job_params=params,
            auth=PaymentAuth(Wallet().authorize),
            within=LONG,
        )
    first, second = server.seen
    assert first.body == second.body


async def test_recovery_sends_the_stored_payment(client: VendorClient, server: ScriptedVendor) -> None:
    """The first request carries the stored bytes; nothing is signed."""
    server.answers(ACCEPTED)
    wallet = Wallet()
    found = await submit(client, server, PaymentAuth(wallet.authorize, STORED))
    assert found == Submitted("job_1", "queued", paid=True, receipt=RECEIPT)
    assert payments(server) == [STORED.value]
    assert wallet.asked == []


@pytest.mark.parametrize("stored", [None, STORED])
async def test_a_second_402_is_a_no_and_not_another_bill(
    client: VendorClient, server: ScriptedVendor, stored: PaymentHeader | None
) -> None:
    """Terms after a payment are the reason of its refusal; nobody pays twice."""
    refusal = challenge(terms(error="invalid signature"))
    server.answers(*([challenge()] if stored is None else []), refusal, ACCEPTED)
    wallet = Wallet()
    found = await submit(client, server, PaymentAuth(wallet.authorize, stored))
    assert found == Rejected("invalid signature", 402)
    assert len(wallet.signed) == (stored is None)
    assert len([value for value in payments(server) if value]) == 1


HALF_AN_ANSWER = Raw(
    b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\nPAYMENT-RESPONSE: %b\r\n\r\n{"
    % receipt_header()["PAYMENT-RESPONSE"].encode()
)
UNCLEAR = [
    reply(500),
    reply(503),
    reply(429),
    reply(408),
    reply(409),
    reply(200, b"{"),
    reply(200, b"[" * 200_000),
    reply(200, b"a" * (MAX_BODY + 1)),
    reply(200, b"\x1f\x8b", {"Content-Encoding": "gzip"}),
    reply(302, headers={"Location": "/elsewhere"}),
    reply(302, headers={"Location": "http://[::1"}),
    Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"),
    Raw(b"\x00nonsense\r\n\r\n"),
    DROP,
]


@pytest.mark.parametrize("unclear", UNCLEAR)
@pytest.mark.parametrize("stored", [None, STORED])
async def test_paid_and_no_clear_answer_is_an_unknown_outcome(
    client: VendorClient, server: ScriptedVendor, stored: PaymentHeader | None, unclear: Reply
) -> None:
    """Never "unavailable", never tried again here: the payment was sent once, and is reconciled elsewhere."""
    server.answers(*([challenge()] if stored is None else []), unclear, ACCEPTED)
    wallet = Wallet()
    with pytest.raises(OutcomeUnknown) as caught:
        await submit(client, server, PaymentAuth(wallet.authorize, stored))
    assert caught.value.receipt is None
    assert len([value for value in payments(server) if value]) == 1
    assert len(wallet.signed) == (stored is None)


@pytest.mark.parametrize(
    "silence",
    [
        HANG,
        Drip(b"HTTP/1.1 200 O"),
        Drip(b"HTTP/1.1 200 OK\r\nX-Slow: "),
        Drip(b"HTTP/1.1 200 OK\r\nContent-Length: 900000\r\n\r\n"),
    ],
)
async def test_paid_and_silence_is_an_unknown_outcome_in_time(
    client: VendorClient, server: ScriptedVendor, silence: Reply
) -> None:
    """The deadline holds for the whole exchange, and a late answer is not an absent vendor."""
    server.answers(silence)
    async with asyncio.timeout(LONG):
        with pytest.raises(OutcomeUnknown, match="no answer to /submit-job in time"):
            await submit(client, server, PaymentAuth(Wallet().authorize, STORED), SHORT)


@pytest.mark.parametrize(
    "broken",
    [
        HALF_AN_ANSWER,
        reply(200, b"{", receipt_header()),
        reply(500, b"", receipt_header()),
        Drip(HALF_AN_ANSWER.data.replace(b"Content-Length: 99", b"Content-Length: 900000")),
    ],
)
async def test_a_receipt_outlives_the_answer_that_broke(
    client: VendorClient, server: ScriptedVendor, broken: Reply
) -> None:
    """The headers showed a settlement before the rest failed: that is kept as proof."""
    server.answers(broken)
    with pytest.raises(OutcomeUnknown, match=TRANSACTION) as caught:
        await submit(client, server, PaymentAuth(Wallet().authorize, STORED), 0.5)
    assert caught.value.receipt == RECEIPT


async def test_a_payment_is_not_carried_along_a_redirect(client: VendorClient, server: ScriptedVendor) -> None:
    """Whoever holds an authorization can cash it: it goes to the registered endpoint alone."""
    async with ScriptedVendor() as elsewhere:
        elsewhere.answers(ACCEPTED)
        server.answers(challenge(), reply(307, headers={"Location": f"{elsewhere.url}/submit-job"}))
        with pytest.raises(OutcomeUnknown, match="307"):
            await submit(client, server, PaymentAuth(Wallet().authorize))
        assert elsewhere.seen == []


async def test_a_vendor_that_is_gone_when_a_payment_is_sent_again(
    client: VendorClient, server: ScriptedVendor
) -> None:
    """The connection is refused now, but an earlier try may have arrived: still unknown."""
    await server.__aexit__(None, None, None)
    with pytest.raises(OutcomeUnknown, match="could not be reached"):
        await submit(client, server, PaymentAuth(Wallet().authorize, STORED))


async def test_even_a_mistake_of_ours_leaves_a_paid_outcome_unknown() -> None:
    """Whatever breaks after the payment was handed over, nobody may conclude that it was not."""

    def breaks(request: httpx.Request) -> httpx.Response:
        raise ZeroDivisionError

    async with httpx.AsyncClient(transport=httpx.MockTransport(breaks)) as http, ScriptedVendor() as server:
        client = VendorClient(http, lambda ref: TOKEN)
        with pytest.raises(OutcomeUnknown, match="ZeroDivisionError"):
            await submit(client, server, PaymentAuth(Wallet().authorize, STORED))
        with pytest.raises(ZeroDivisionError):
            await submit(client, server, PaymentAuth(Wallet().authorize))


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (reply(503), VendorUnavailable),
        (reply(429, headers={"Retry-After": "0"}), VendorUnavailable),
        (DROP, VendorUnavailable),
        (reply(410), VendorRefused),
        (reply(401), VendorRefused),
        (reply(200, b"{"), ContractBroken),
        (reply(200, b"a" * (MAX_BODY + 1)), ContractBroken),
        (reply(307, headers={"Location": "/elsewhere"}), ContractBroken),
        (reply(402, {}), ContractBroken),
        (reply(402, b"a" * (MAX_BODY + 1)), ContractBroken),
        (reply(402, {}, {"PAYMENT-REQUIRED": "%%%"}), ContractBroken),
        (challenge({"x402Version": 2}), ContractBroken),
        (challenge({"x402Version": 3, "accepts": []}), ContractBroken),
    ],
)
async def test_nothing_is_paid_to_a_vendor_that_does_not_ask_properly(
    client: VendorClient, server: ScriptedVendor, bad: Reply, error: type[VendorError]
) -> None:
    """One request, no payment, and an error that says whose move it is; not tried again here either."""
    server.answers(bad, ACCEPTED)
    wallet = Wallet()
    with pytest.raises(error):
        await submit(client, server, PaymentAuth(wallet.authorize))
    assert payments(server) == [""]
    assert wallet.asked == []


@pytest.mark.parametrize("silence", [HANG, Drip(b"HTTP/1.1 402 Pay\r\n\r\n")])
async def test_unpaid_silence_is_an_absent_vendor(
    client: VendorClient, server: ScriptedVendor, silence: Reply
) -> None:
    """No payment left us, so a time-out costs nothing."""
    server.answers(silence)
    async with asyncio.timeout(LONG):
        with pytest.raises(VendorUnavailable, match="nothing was bought"):
            await submit(client, server, PaymentAuth(Wallet().authorize), SHORT)


async def test_terms_that_the_policy_refuses_are_not_paid(client: VendorClient, server: ScriptedVendor) -> None:
    """The policy's own error comes through, and the vendor hears no more of us."""
    server.answers(challenge(), ACCEPTED)
    with pytest.raises(PolicyRefused, match="above the limit"):
        await submit(client, server, PaymentAuth(Wallet(max_amount=PRICE - 1).authorize))
    assert payments(server) == [""]


@pytest.mark.parametrize("error", [SigningFailed("no wallet"), LookupError("lease lost"), TimeoutError("store")])
async def test_what_authorizing_raises_comes_through(
    client: VendorClient, server: ScriptedVendor, error: Exception
) -> None:
    """Our own trouble is not the vendor's: the very same error, even one that looks like a time-out."""

    async def authorize(asked: Challenge) -> PaymentHeader:
        raise error

    server.answers(challenge(), ACCEPTED)
    with pytest.raises(type(error)) as caught:
        await submit(client, server, PaymentAuth(authorize))
    assert caught.value is error
    assert payments(server) == [""]


async def test_time_that_runs_out_while_authorizing_sends_nothing(
    client: VendorClient, server: ScriptedVendor
) -> None:
    """A slow wallet or store: the payment may be stored by then, but it was not sent."""

    async def authorize(asked: Challenge) -> PaymentHeader:
        await asyncio.Event().wait()
        raise AssertionError

    server.answers(challenge(), ACCEPTED)
    with pytest.raises(VendorUnavailable):
        await submit(client, server, PaymentAuth(authorize), SHORT)
    assert not any(payments(server))


@pytest.mark.parametrize("bad", [*UNCLEAR, reply(402, {}), reply(401)])
async def test_no_error_shows_the_payment_or_the_token(
    client: VendorClient, server: ScriptedVendor, bad: Reply
) -> None:
    """An authorization is a cheque: not in a message, a repr or a cause."""
    server.answers(challenge(), bad)
    wallet = Wallet()
    try:
        shown = repr(await submit(client, server, PaymentAuth(wallet.authorize)))
    except OutcomeUnknown as exc:
        chain: list[BaseException] = [exc]
        while (last := chain[-1].__cause__ or chain[-1].__context__) is not None:
            chain.append(last)
        shown = " ".join(f"{error} {error!r} {error.args}" for error in chain)
    signature = decode_payment(wallet.signed[0].name, wallet.signed[0].value).signature
    assert wallet.signed[0].value not in shown
    assert signature not in shown
    assert TOKEN not in shown


async def test_a_payment_that_the_vendor_repeats_is_withheld(client: VendorClient, server: ScriptedVendor) -> None:
    """A refusal may quote the payment, whole or only its signature: the reason is kept without it."""
    wallet = Wallet()
    value = (await wallet.authorize(decoded())).value
    signature = decode_payment("PAYMENT-SIGNATURE", value).signature
    quoting = f"cannot settle {value} ({signature})"
    for refusal in (reply(400, {"error": quoting}), challenge(terms(error=quoting))):
        server.answers(challenge(), refusal)
        found = await submit(client, server, PaymentAuth(wallet.authorize))
        assert isinstance(found, Rejected)
        assert found.reason.startswith("cannot settle")
        assert value[:150] not in found.reason
        assert signature[:100] not in found.reason


async def test_a_cancelled_order_is_cancelled(client: VendorClient, server: ScriptedVendor) -> None:
    """A tick that is stopped stops, paid or not; what was stored before it was sent is found by the next one."""
    server.answers(HANG)
    task = asyncio.create_task(submit(client, server, PaymentAuth(Wallet().authorize, STORED)))
    await server.asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


NAMED = {"x402-tx-id": "tx_42"}


async def submit_old(
    client: VendorClient, server: ScriptedVendor, auth: PaymentAuth, *, allowed: bool = True
) -> Submitted | Rejected:
    return await client.submit(
        replace(a_vendor(server.url), allow_tx_id=allowed),
        idempotency_key="66a1f00d",
        template_id="tpl_1",
        job_params={"jobType": "fine_tune"},
        auth=auth,
        within=LONG,
    )


async def test_a_vendor_from_before_x402_is_understood_where_that_is_allowed(
    client: VendorClient, server: ScriptedVendor
) -> None:
    """It names a payment, has it named again, and starts the job. Nothing is signed, and nothing is proven."""
    server.answers(reply(402, {}, NAMED), reply(200, SUBMITTED))
    wallet = Wallet()

    taken = await submit_old(client, server, PaymentAuth(wallet.authorize))

    assert taken == Submitted("job_1", "queued", paid=False, tx_id="tx_42")
    assert [seen.headers.get("x402-tx-id", "") for seen in server.seen] == ["", "tx_42"]
    assert len({(seen.body, seen.headers["idempotency-key"]) for seen in server.seen}) == 1
    assert payments(server) == ["", ""]
    assert wallet.asked == []


async def test_it_is_off_by_default(client: VendorClient, server: ScriptedVendor) -> None:
    """A 402 without terms is a broken contract, whatever else stands in it."""
    server.answers(reply(402, {}, NAMED))
    with pytest.raises(ContractBroken):
        await submit_old(client, server, PaymentAuth(Wallet().authorize), allowed=False)
    server.answers(reply(200, SUBMITTED, NAMED))
    assert (await submit_old(client, server, PaymentAuth(Wallet().authorize), allowed=False)) == Submitted(
        "job_1", "queued", paid=False
    )


async def test_real_terms_are_paid_also_where_an_old_vendor_is_allowed(
    client: VendorClient, server: ScriptedVendor
) -> None:
    """The name beside them is passed over; once something is signed, only the stored bytes are sent."""
    asks = reply(402, {}, {"PAYMENT-REQUIRED": header(terms()), **NAMED})
    server.answers(asks, asks, reply(200, SUBMITTED, {**receipt_header(), **NAMED}))
    taken = await submit_old(client, server, PaymentAuth(Wallet().authorize))
    assert isinstance(taken, Submitted)
    assert (taken.paid, taken.receipt, taken.tx_id) == (True, RECEIPT, "tx_42")
    assert all("x402-tx-id" not in seen.headers for seen in server.seen)

    server.answers(reply(402, {}, NAMED))
    again = await submit_old(client, server, PaymentAuth(Wallet().authorize, STORED))
    assert isinstance(again, Rejected)
    assert payments(server)[-1] == STORED.value


@pytest.mark.parametrize("named", ["", " ", "x" * 129, "caf\u00e9"])
async def test_a_name_that_is_none_is_not_sent_back(
    client: VendorClient, server: ScriptedVendor, named: str
) -> None:
    refused = reply(402, {}, {"x402-tx-id": named})
    server.answers(refused, refused)
    with pytest.raises(ContractBroken):
        await submit_old(client, server, PaymentAuth(Wallet().authorize))
    assert all("x402-tx-id" not in seen.headers for seen in server.seen)
