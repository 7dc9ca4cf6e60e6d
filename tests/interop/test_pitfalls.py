"""What goes wrong in the wild, one test for each row of docs/x402.md that a peer can show.

Each test puts Purser and the official SDKs before the same thing and states what either does. Where one of them
behaves otherwise after an update, its test fails, and the document is to be corrected.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx
import pytest

from tests.interop.processes import HERE, NODE, OURS, PYTHON, Buyer, server
from tests.interop.purser_buyer import Purse
from tests.interop.trap import GOODS, Paid, Trap, trap
from tests.x402.samples import NETWORK, OTHER, PAYEE, entry, header_for, offer
from tests.x402.server import Reply, Seen, serving
from x402.codec import Json, to_json
from x402.decode import decode_payment
from x402.desk import FacilitatorDesk
from x402.errors import NotX402, PolicyRefused, RedirectRefused
from x402.negotiation import read_receipt, rejection_reason
from x402.offline import MemoryLedger, OfflineFacilitator
from x402.remote import RemoteFacilitator

USED = "invalid_exact_evm_nonce_already_used"


@pytest.fixture
async def seller() -> AsyncIterator[Trap]:
    async with trap() as made:
        yield made


@dataclass(slots=True)
class Clerk:
    """Purser's facilitator on a socket of the test; `settling` is what it answers in place of its receipts.

    Nothing is settled before `verified` payments were verified.
    """

    ledger: MemoryLedger = field(default_factory=MemoryLedger)
    settling: list[Reply] = field(default_factory=list)
    moves_money: bool = True
    asked: list[str] = field(default_factory=list)
    verified: int = 0
    enough: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, request: Seen) -> Reply:
        self.asked.append(request.path)
        if request.path == "/verify" and self.asked.count("/verify") >= self.verified:
            self.enough.set()
        if request.path == "/settle":
            await self.enough.wait()
        desk = FacilitatorDesk(OfflineFacilitator(self.ledger, time.time))
        if request.path == "/settle" and self.settling:
            if self.moves_money:
                await desk.answer(request.method, request.path, request.body)
            return self.settling.pop(0)
        status, body = await desk.answer(request.method, request.path, request.body)
        return Reply(status, {"Content-Type": "application/json"}, body)


@pytest.fixture
def clerk() -> Clerk:
    return Clerk()


@pytest.fixture(params=["purser", "fastapi", "express"])
async def shop(request: pytest.FixtureRequest, clerk: Clerk) -> AsyncIterator[tuple[str, str]]:
    """Each make of seller in turn, settling through the clerk: its name and address."""
    async with serving(clerk) as facilitator, opened(request.param, facilitator) as url:
        yield request.param, url


@asynccontextmanager
async def opened(make: str, facilitator: str) -> AsyncIterator[str]:
    """A seller process; it is started beside the loop, because it asks its facilitator first."""
    command = {
        "purser": (*OURS, "tests.interop.purser_seller"),
        "fastapi": (*PYTHON, str(HERE / "python/seller.py")),
        "express": (*NODE, str(HERE / "node/seller.mjs")),
    }[make]
    running = server(*command, facilitator, PAYEE)
    url = await asyncio.to_thread(running.__enter__)
    try:
        yield url
    finally:
        await asyncio.to_thread(running.__exit__, None, None, None)


async def runs(url: str) -> int:
    async with httpx.AsyncClient(timeout=60) as http:
        return int((await http.get(f"{url}/runs")).text)


async def test_a_retry_after_a_lost_answer_pays_once(seller: Trap, official_buyer: Buyer) -> None:
    """Purser sends the stored bytes again. The official clients keep nothing, and sign a second payment."""
    lost: list[Paid] = []

    async def lose_the_first(payment: Paid) -> Reply:
        lost.append(payment)
        return Reply(body=None) if len(lost) % 2 else GOODS

    seller.on_paid = lose_the_first
    purse = Purse()
    with pytest.raises(httpx.TransportError):
        await purse.buy(seller.goods)
    assert (await purse.buy(seller.goods, again=purse.stored[0])).status_code == 200
    assert lost[0].message == lost[1].message
    assert (await official_buyer.buy(seller.goods)).error
    assert (await official_buyer.buy(seller.goods)).status == 200
    assert lost[2].authorization["nonce"] != lost[3].authorization["nonce"]


async def test_a_settlement_without_an_answer_is_settled_again_and_not_called_failed(
    shop: tuple[str, str], clerk: Clerk
) -> None:
    """The money moved and the facilitator's answer was lost.

    Purser's seller says "send it again" and delivers when that happens. The official ones answer 402 with a
    receipt that says failed, have run the handler, and refuse the same payment from then on.
    """
    make, url = shop
    clerk.settling = [Reply(body=None)]
    purse = Purse()
    first = await purse.buy(f"{url}/goods")
    again = await purse.buy(f"{url}/goods", again=purse.stored[0])
    assert len(clerk.ledger.journal) == 1
    if make == "purser":
        assert (first.status_code, again.status_code, await runs(url)) == (503, 200, 1)
        return
    told = read_receipt(first.headers)
    assert told is not None
    assert (first.status_code, told.success) == (402, False)
    assert (again.status_code, rejection_reason(again.headers, again.content)) == (402, USED)
    assert await runs(url) == 1


async def test_a_payment_that_verifies_and_does_not_settle_is_not_paid_for(
    shop: tuple[str, str], clerk: Clerk
) -> None:
    """Purser's seller settles before it works; the official ones have done the work by then."""
    make, url = shop
    refused: dict[str, Json] = {"success": False, "errorReason": "transaction_failed", "transaction": ""}
    clerk.moves_money, clerk.settling = False, [Reply(200, {}, to_json(refused | {"network": NETWORK}))]
    answer = await Purse().buy(f"{url}/goods")
    receipt = read_receipt(answer.headers)
    assert receipt is not None
    assert (answer.status_code, receipt.success, clerk.ledger.journal) == (402, False, [])
    assert rejection_reason(answer.headers, answer.content) == "transaction_failed"
    assert await runs(url) == (0 if make == "purser" else 1)


async def test_a_rejected_payment_is_not_taken_for_an_unpaid_request(seller: Trap, official_buyer: Buyer) -> None:
    """Purser hands the second 402 over as a refusal and knows that it paid. Nobody signs twice for one call."""

    async def refuse(_payment: Paid) -> Reply:
        return seller.challenge

    seller.on_paid = refuse
    purse = Purse()
    answer = await purse.buy(seller.goods)
    assert (answer.status_code, len(purse.stored), seller.prices) == (402, 1, ["10000"])
    assert rejection_reason(answer.headers, answer.content) == "pay"
    outcome = await official_buyer.buy(seller.goods)
    assert (outcome.status, outcome.error, len(seller.paid)) == (402, "", 2)


async def test_a_wrong_eip_712_name_is_refused(seller: Trap, official_buyer: Buyer) -> None:
    """ "USD Coin" is the name on Base, not on Base Sepolia: a signature over it never settles."""
    seller.ask(entry(extra={"name": "USD Coin", "version": "2"}))
    with pytest.raises(PolicyRefused, match="could not settle"):
        await Purse().buy(seller.goods)
    assert seller.prices == []
    assert (await official_buyer.buy(seller.goods)).status == 200
    assert seller.prices == ["10000"]


@pytest.mark.parametrize(
    ("amount", "paid_by"),
    [
        ("1e4", set()),
        ("0x2710", set()),
        ("10000.0", set()),
        ("-1", set()),
        (10000, {"fetch"}),
        ("010000", {"httpx", "fetch"}),
    ],
)
async def test_an_amount_is_a_plain_decimal_string(
    seller: Trap, python_buyer: Buyer, node_buyer: Buyer, amount: Json, paid_by: set[str]
) -> None:
    """The fetch client signs a JSON number and sends it as one, which is no valid payment."""
    seller.ask(entry(amount=amount))
    with pytest.raises(PolicyRefused, match="amount is not a"):
        await Purse().buy(seller.goods)
    found = {
        name
        for name, official in (("httpx", python_buyer), ("fetch", node_buyer))
        if (await official.buy(seller.goods)).status == 200
    }
    assert found == paid_by
    assert len(seller.paid) == len(paid_by)


async def test_a_price_above_the_quote_is_not_paid(seller: Trap, official_buyer: Buyer) -> None:
    """The price that was promised travels with Purser's request. The official clients know a cap only."""
    seller.ask(entry(amount="20000"))
    with pytest.raises(PolicyRefused, match="above the limit"):
        await Purse(most=10_000).buy(seller.goods)
    seller.ask(entry(payTo=OTHER))
    with pytest.raises(PolicyRefused, match="payee"):
        await Purse(payee=PAYEE).buy(seller.goods)
    assert seller.prices == []
    seller.ask(entry(amount="20000", payTo=OTHER))
    await official_buyer.buy(seller.goods)
    assert seller.prices == ["20000"]


async def test_terms_for_another_resource_are_not_paid(seller: Trap, official_buyer: Buyer) -> None:
    """The origin in the terms must be the one that was called."""
    seller.ask(resource={"url": "https://elsewhere.example/goods"})
    with pytest.raises(PolicyRefused, match="another resource"):
        await Purse().buy(seller.goods)
    assert seller.prices == []
    await official_buyer.buy(seller.goods)
    assert seller.prices == ["10000"]


async def test_a_resource_that_differs_in_its_scheme_only_is_paid(seller: Trap, official_buyer: Buyer) -> None:
    """Servers behind proxies write http for https, or the reverse."""
    seller.ask(resource={"url": seller.goods.replace("http:", "https:")})
    await Purse().buy(seller.goods)
    await official_buyer.buy(seller.goods)
    assert seller.prices == ["10000", "10000"]


async def test_validity_begins_in_the_past(seller: Trap, official_buyer: Buyer) -> None:
    """So that a verifier whose clock is behind takes it: ten minutes for Purser, since ever for the others."""
    await Purse().buy(seller.goods)
    await official_buyer.buy(seller.goods)
    begins = [int(str(payment.authorization["validAfter"])) for payment in seller.paid]
    assert 590 <= time.time() - begins[0] <= 690
    assert begins[1] == 0


async def test_a_very_long_validity_is_cut_short(seller: Trap, official_buyer: Buyer) -> None:
    """Ten years are asked for; the official clients sign them."""
    ten_years = 315_360_000
    seller.ask(entry(maxTimeoutSeconds=ten_years))
    await Purse().buy(seller.goods)
    await official_buyer.buy(seller.goods)
    ours, theirs = (int(str(payment.authorization["validBefore"])) - time.time() for payment in seller.paid)
    assert 700 <= ours <= 900
    assert theirs >= ten_years - 100


async def test_a_redirect_after_signing_is_not_followed(
    seller: Trap, python_buyer: Buyer, node_buyer: Buyer
) -> None:
    """Purser stops. httpx, told to follow redirects, pays whoever stands there; fetch hands them the payment."""
    async with trap() as elsewhere:
        elsewhere.ask(entry(amount="700000", payTo=OTHER))

        async def away(_payment: Paid) -> Reply:
            return Reply(307, {"Location": elsewhere.goods})

        seller.on_paid = away
        with pytest.raises(RedirectRefused):
            await Purse().buy(seller.goods)
        assert (elsewhere.prices, elsewhere.seen) == ([], [])
        await python_buyer.buy(seller.goods, follow=True)
        assert [(p.authorization["to"], p.authorization["value"]) for p in elsewhere.paid] == [(OTHER, "700000")]
        elsewhere.paid.clear()
        await node_buyer.buy(seller.goods)
        assert [payment.message for payment in elsewhere.paid] == [seller.paid[-1].message]


async def test_version_2_terms_in_the_body_only_need_an_opt_in(seller: Trap, official_buyer: Buyer) -> None:
    """Common in the wild. The official clients cannot pay there at all."""
    body = to_json({"x402Version": 2, "accepts": [entry()], "resource": {"url": seller.goods}})
    seller.challenge = Reply(402, {"Content-Type": "application/json"}, body)
    with pytest.raises(NotX402, match="in the body only"):
        await Purse().buy(seller.goods)
    assert (await official_buyer.buy(seller.goods)).error
    assert seller.prices == []
    await Purse().buy(seller.goods, body_terms=True)
    assert seller.prices == ["10000"]


async def test_odd_entries_do_not_spoil_a_challenge(seller: Trap, python_buyer: Buyer, node_buyer: Buyer) -> None:
    """Null, half an entry, a number for an amount. The official clients refuse all of it, or pay the odd one."""
    seller.ask(None, {"scheme": "exact"}, entry(extra=None, amount="5"), entry(**{"x-note": None}))
    await Purse().buy(seller.goods)
    assert seller.paid.pop().message["accepted"] == entry(**{"x-note": None})
    for official in (python_buyer, node_buyer):
        assert (await official.buy(seller.goods)).error
    assert seller.paid == []
    seller.ask(entry(amount=5), entry())
    assert (await python_buyer.buy(seller.goods)).error
    await Purse().buy(seller.goods)
    await node_buyer.buy(seller.goods)
    assert seller.prices == ["10000", 5]


async def test_a_long_challenge_is_read(seller: Trap, python_buyer: Buyer, node_buyer: Buyer) -> None:
    """27 KiB of header; what goes back is what came. Node stops at 16 KiB."""
    seller.ask(extensions={"x-long": {"info": {"text": "x" * 20_000}, "schema": {}}})
    await Purse().buy(seller.goods)
    await python_buyer.buy(seller.goods)
    assert seller.prices == ["10000", "10000"]
    assert (await node_buyer.buy(seller.goods)).error


async def test_a_cached_challenge_is_not_paid(seller: Trap, official_buyer: Buyer) -> None:
    """Purser asks that nothing be stored, and does not pay terms that a cache has kept."""
    await Purse().buy(seller.goods)
    assert {request.headers.get("cache-control") for request in seller.seen} == {"no-store"}
    seller.paid.clear()
    seller.seen.clear()
    seller.ask(headers={"Age": "3600"})
    with pytest.raises(NotX402, match="from a cache, 3600 s old"):
        await Purse().buy(seller.goods)
    seller.seen.clear()
    await official_buyer.buy(seller.goods)
    assert seller.prices == ["10000"]
    assert "no-store" not in {request.headers.get("cache-control") for request in seller.seen}


async def test_a_facilitator_that_moved_is_found_and_nothing_is_served_free(clerk: Clerk) -> None:
    """A 308 in front of the facilitator: all three makes of seller follow it by now."""

    async def moved(request: Seen) -> Reply:
        if request.path.startswith("/old"):
            return Reply(308, {"Location": request.path.removeprefix("/old")})
        return await clerk(request)

    async with serving(moved) as url:
        for number, make in enumerate(("purser", "fastapi", "express"), start=1):
            async with opened(make, f"{url}/old") as shop:
                async with httpx.AsyncClient(timeout=60) as http:
                    assert (await http.post(f"{shop}/goods")).status_code == 402
                assert (await Purse().buy(f"{shop}/goods")).status_code == 200
            assert len(clerk.ledger.journal) == number


async def test_a_pending_settlement_is_asked_for_again_with_the_same_payment(
    shop: tuple[str, str], clerk: Clerk
) -> None:
    """The facilitator has sent the transfer and knows no receipt yet.

    Purser's seller keeps the payment and settles it again when it comes back. The official ones ask once more by
    themselves.
    """
    make, url = shop
    pending: dict[str, Json] = {"success": False, "errorReason": "settlement_pending", "transaction": "0x77"}
    clerk.settling = [Reply(200, {}, to_json(pending | {"network": NETWORK}))]
    purse = Purse()
    first = await purse.buy(f"{url}/goods")
    assert first.status_code == (402 if make == "purser" else 200)
    if make == "purser":
        assert rejection_reason(first.headers, first.content) == "settlement_pending"
        assert (await purse.buy(f"{url}/goods", again=purse.stored[0])).status_code == 200
        assert clerk.asked.count("/verify") == 1
    assert (len(clerk.ledger.journal), await runs(url), clerk.asked.count("/settle")) == (1, 1, 2)


async def test_settling_the_same_payment_twice_has_one_outcome(
    facilitator: str, official_facilitator: str
) -> None:
    """Purser's facilitator gives the same receipt again; the official one says that the nonce was used."""
    signed = await header_for(offer(), now=int(time.time()), nonce=f"0x{time.time_ns():064x}")
    payment = decode_payment(signed.name, signed.value)
    async with httpx.AsyncClient(timeout=60) as http:
        ours, theirs = RemoteFacilitator(http, facilitator), RemoteFacilitator(http, official_facilitator)
        first = await ours.settle(payment, offer())
        assert first.success
        assert await ours.settle(payment, offer()) == first
        assert (await theirs.settle(payment, offer())).success
        again = await theirs.settle(payment, offer())
    assert (again.success, again.error_reason) == (False, USED)


async def test_a_handler_runs_once_for_one_payment(shop: tuple[str, str], clerk: Clerk) -> None:
    """The same payment five times at once. The official sellers reserve nothing between verify and settle."""
    make, url = shop
    clerk.verified = 1 if make == "purser" else 5
    signed = Purse()
    async with trap() as elsewhere:
        elsewhere.ask(entry(), resource={"url": elsewhere.goods})
        await signed.buy(elsewhere.goods)
    answers = await asyncio.gather(*(signed.buy(f"{url}/goods", again=signed.stored[0]) for _ in range(5)))
    assert [answer.status_code for answer in answers].count(200) >= 1
    assert len(clerk.ledger.journal) == 1
    assert await runs(url) == (1 if make == "purser" else 5)


def test_the_peers_are_of_the_versions_that_the_document_names() -> None:
    """docs/x402.md says what was measured, with which versions."""
    text = (HERE.parents[1] / "docs/x402.md").read_text()
    lock = json.loads((HERE / "node/package-lock.json").read_text())["packages"]
    assert "x402[httpx,fastapi,evm]==2.25.0" in (HERE.parent / "peers/requirements.in").read_text()
    assert "2.25.0" in text
    for package in ("core", "evm", "express", "fetch"):
        assert lock[f"node_modules/@x402/{package}"]["version"] in text
