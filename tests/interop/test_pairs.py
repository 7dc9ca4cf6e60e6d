"""Every pair of buyer and seller trades, in both versions of the protocol, each side a process of its own.

The money is counted where it moves: in the mock vendor's journal, or in the facilitator's.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator, Mapping

import httpx
import pytest

from tests.interop.orders import Order, journal, quoted, speaking_version_1
from tests.interop.processes import OURS, Buyer, server
from tests.interop.purser_buyer import Purse
from tests.x402.samples import NETWORK, PAYEE, PAYER, header_for, offer
from x402.decode import decode_payment
from x402.failures import Failure
from x402.negotiation import read_receipt, rejection_reason
from x402.selling.facilitator import Kind
from x402.selling.remote import RemoteFacilitator
from x402.wire import RECEIPT_HEADERS, Receipt


async def transfers(facilitator: str) -> list[dict[str, object]]:
    """All that Purser's facilitator has settled."""
    async with httpx.AsyncClient(timeout=60) as http:
        found: list[dict[str, object]] = (await http.get(f"{facilitator}/journal")).json()
        return found


async def runs(seller: str) -> int:
    """How often the seller's handler ran."""
    async with httpx.AsyncClient(timeout=60) as http:
        return int((await http.get(f"{seller}/runs")).text)


def paid(headers: Mapping[str, str]) -> Receipt:
    """The receipt of an answer, which must say that the payment settled."""
    receipt = read_receipt(headers)
    assert receipt is not None
    assert receipt.success
    return receipt


async def sold_once(vendor: str, order: Order, version: int, receipt: Receipt) -> None:
    """One settlement of the quoted price and one job, and the receipt is of that settlement."""
    (settled,) = await journal(vendor, "settlements", order.key)
    assert (settled["amount"], settled["quoted"], settled["payer"]) == (order.price, order.price, PAYER)
    assert (settled["x402Version"], settled["transaction"]) == (version, receipt.transaction)
    assert (receipt.network, receipt.payer) == (NETWORK, PAYER)
    assert len(await journal(vendor, "jobs", order.key)) == 1


async def test_purser_buys_from_the_official_middleware(official_seller: str, facilitator: str) -> None:
    """FastAPI and Express; they verify and settle through Purser's facilitator."""
    before, ran, purse = len(await transfers(facilitator)), await runs(official_seller), Purse(payee=PAYEE)
    answer = await purse.buy(f"{official_seller}/goods", body="order")
    assert (answer.status_code, answer.json()) == (200, {"goods": "delivered"})
    (transfer,) = (await transfers(facilitator))[before:]
    nonce = decode_payment(purse.stored[0].name, purse.stored[0].value).authorization.nonce
    assert (transfer["nonce"], transfer["payee"], transfer["value"]) == (nonce, PAYEE, 10_000)
    assert transfer["transaction"] == paid(answer.headers).transaction
    assert await runs(official_seller) == ran + 1


async def test_an_official_middleware_refuses_a_used_payment_and_purser_reads_why(official_seller: str) -> None:
    """The reason that Purser's facilitator gives reaches Purser's client through the official seller."""
    purse = Purse()
    assert (await purse.buy(f"{official_seller}/goods")).status_code == 200
    again = await purse.buy(f"{official_seller}/goods", again=purse.stored[0])
    assert again.status_code == 402
    assert rejection_reason(again.headers, again.content) == "invalid_exact_evm_nonce_already_used"
    assert len(purse.stored) == 1


async def test_official_clients_buy_from_the_official_middleware(
    official_buyer: Buyer, official_seller: str, facilitator: str
) -> None:
    """With Purser's facilitator behind it, so a difference found elsewhere is Purser's."""
    before = len(await transfers(facilitator))
    outcome = await official_buyer.buy(f"{official_seller}/goods")
    assert (outcome.status, outcome.error) == (200, "")
    (transfer,) = (await transfers(facilitator))[before:]
    assert transfer["transaction"] == paid(outcome.headers).transaction


async def test_official_clients_buy_from_the_mock_vendor(official_buyer: Buyer, vendor: str) -> None:
    """Version 2, from the challenge's header."""
    order = await quoted(vendor)
    outcome = await official_buyer.buy(order.url, headers=order.headers, body=order.body)
    assert (outcome.status, outcome.error) == (200, "")
    assert json.loads(outcome.body)["vendorJobId"]
    await sold_once(vendor, order, 2, paid(outcome.headers))


async def test_official_clients_buy_from_the_mock_vendor_in_version_1(official_buyer: Buyer, vendor: str) -> None:
    """The challenge's body, the network by its old name."""
    async with speaking_version_1(vendor) as old:
        order = await quoted(old)
        outcome = await official_buyer.buy(order.url, headers=order.headers, body=order.body)
    assert (outcome.status, outcome.error) == (200, "")
    assert RECEIPT_HEADERS[1].lower() in outcome.headers
    await sold_once(vendor, order, 1, paid(outcome.headers))


async def test_official_clients_stop_at_a_dollar_unless_told_otherwise(official_buyer: Buyer, vendor: str) -> None:
    """Their own limit since spring 2026; a job of an hour costs more."""
    order = await quoted(vendor, hours=1)
    assert order.price > 1_000_000
    refused = await official_buyer.buy(order.url, headers=order.headers, body=order.body)
    assert refused.error
    assert await journal(vendor, "payments", order.key) == []
    outcome = await official_buyer.buy(order.url, headers=order.headers, body=order.body, cap=False)
    assert outcome.status == 200
    await sold_once(vendor, order, 2, paid(outcome.headers))


async def test_purser_buys_from_the_mock_vendor(vendor: str) -> None:
    """Version 2 where the vendor speaks both."""
    order = await quoted(vendor)
    answer = await Purse(most=order.price).buy(order.url, headers=order.headers, body=order.body)
    assert answer.status_code == 200
    await sold_once(vendor, order, 2, paid(answer.headers))


async def test_purser_buys_from_the_mock_vendor_in_version_1(vendor: str) -> None:
    """Where the vendor speaks nothing else."""
    async with speaking_version_1(vendor) as old:
        order = await quoted(old)
        answer = await Purse(most=order.price).buy(order.url, headers=order.headers, body=order.body)
    assert answer.status_code == 200
    await sold_once(vendor, order, 1, paid(answer.headers))


@pytest.fixture(params=["facilitator", "official_facilitator"])
def any_facilitator(request: pytest.FixtureRequest) -> str:
    """Purser's and the official one."""
    found: str = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def purser_seller(any_facilitator: str) -> Iterator[str]:
    """Purser's seller as a process, settling through a facilitator over HTTP."""
    with server(*OURS, "tests.interop.purser_seller", any_facilitator, PAYEE) as url:
        yield url


async def test_purser_sells_through_a_remote_facilitator(
    purser_seller: str, python_buyer: Buyer, node_buyer: Buyer
) -> None:
    """To every buyer; the official facilitator settles as well as Purser's own."""
    answer = await Purse().buy(f"{purser_seller}/goods")
    assert answer.status_code == 200
    found = [paid(answer.headers)]
    for official in (python_buyer, node_buyer):
        outcome = await official.buy(f"{purser_seller}/goods")
        assert (outcome.status, outcome.error) == (200, "")
        found.append(paid(outcome.headers))
    assert len({receipt.transaction for receipt in found}) == 3
    assert {receipt.payer for receipt in found} == {PAYER}
    assert await runs(purser_seller) == 3


async def test_purser_sells_in_version_1_through_a_remote_facilitator(
    purser_seller: str, python_buyer: Buyer, node_buyer: Buyer
) -> None:
    """The facilitators of both makes settle version 1."""
    async with speaking_version_1(purser_seller) as old:
        answer = await Purse().buy(f"{old}/goods")
        assert answer.status_code == 200
        assert paid(answer.headers).network == NETWORK
        for official in (python_buyer, node_buyer):
            outcome = await official.buy(f"{old}/goods")
            assert (outcome.status, outcome.error) == (200, "")
    assert await runs(purser_seller) == 3


@pytest.mark.parametrize("change", [{}, {"amount": "10001"}, {"payTo": PAYER}])
async def test_purser_reads_the_verdicts_of_any_facilitator(any_facilitator: str, change: dict[str, str]) -> None:
    """Valid, wrong amount, wrong payee, and the nonce that is used up: the same classes from both."""
    signed, asked = await header_for(offer(), now=int(time.time()), nonce=_nonce()), offer(**change)
    payment = decode_payment(signed.name, signed.value)
    wanted = {"amount": Failure.AMOUNT_MISMATCH, "payTo": Failure.RECIPIENT_MISMATCH}.get(next(iter(change), ""))
    async with httpx.AsyncClient(timeout=60) as http:
        far = RemoteFacilitator(http, any_facilitator)
        assert Kind(2, "exact", NETWORK) in await far.supported()
        assert Kind(1, "exact", "base-sepolia") in await far.supported()
        assert (await far.verify(payment, asked)).failure is wanted
        receipt = await far.settle(payment, asked)
        assert receipt.success is (wanted is None)
        if wanted is None:
            assert (await far.verify(payment, asked)).failure is Failure.NONCE_USED


def _nonce() -> str:
    return "0x" + secrets.token_hex(32)
