"""What goes wrong in the wild on the seller's side, one test for each row of docs/x402.md that a peer can show.

Purser's seller and the official middlewares settle through a facilitator that misbehaves as told. What they do
about it is stated; the document is to be corrected where one of them behaves otherwise after an update.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from net.strict_json import Json, to_json
from tests.interop.clerk import Clerk
from tests.interop.processes import HERE, NODE, OURS, PYTHON, server
from tests.interop.purser_buyer import Purse
from tests.interop.trap import trap
from tests.x402.samples import NETWORK, PAYEE, entry, header_for, offer
from tests.x402.server import Reply, Seen, serving
from x402.decode import decode_payment
from x402.negotiation import read_receipt, rejection_reason
from x402.selling.remote import RemoteFacilitator

USED = "invalid_exact_evm_nonce_already_used"


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
