"""The payment-identifier extension, on both sides."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import httpx
import pytest

from tests.interop.processes import OURS, Buyer, server
from tests.interop.purser_buyer import Purse
from tests.x402.samples import PAYEE
from x402.negotiation import read_receipt

ID = "purchase_0123456789"


@pytest.fixture
def open_seller(facilitator: str) -> Callable[..., AbstractContextManager[str]]:
    """Starts a seller of ours that keeps to the extension."""
    return lambda *options: server(*OURS, "tests.interop.purser_seller", facilitator, PAYEE, *options)


@pytest.fixture
def seller(open_seller: Callable[..., AbstractContextManager[str]]) -> Iterator[str]:
    """One that declares it without requiring it."""
    with open_seller() as url:
        yield url


async def runs(url: str) -> int:
    async with httpx.AsyncClient(timeout=60) as http:
        return int((await http.get(f"{url}/runs")).text)


async def test_a_purchase_sends_its_id_once_declared_and_a_repeat_is_answered_from_the_store(seller: str) -> None:
    """Same id, same payment: the same bytes and the same receipt, nothing is run or settled again."""
    purse = Purse(payment_id=ID)
    first = await purse.buy(f"{seller}/goods", body="order")
    again = await purse.buy(f"{seller}/goods", body="order", again=purse.stored[0])
    assert (first.status_code, again.status_code) == (200, 200)
    assert (again.content, read_receipt(again.headers)) == (first.content, read_receipt(first.headers))
    assert (await runs(seller), len(purse.stored)) == (1, 1)


async def test_twins_at_the_same_time_are_one_purchase(seller: str) -> None:
    """The later one waits for the answer of the first."""
    purse = Purse(payment_id=ID)
    await purse.buy(f"{seller}/goods", body="first")
    purse.payment_id = f"{ID}_2"
    await purse.buy(f"{seller}/goods", body="order")
    twins = [purse.buy(f"{seller}/goods", body="order", again=purse.stored[1]) for _ in range(5)]
    assert {answer.status_code for answer in await asyncio.gather(*twins)} == {200}
    assert await runs(seller) == 2


async def test_the_id_of_another_payment_or_request_is_a_conflict(seller: str) -> None:
    """409: a new purchase takes a new id. Nothing is charged."""
    purse = Purse(payment_id=ID)
    await purse.buy(f"{seller}/goods", body="order")
    assert (await purse.buy(f"{seller}/goods", body="order")).status_code == 409
    assert (await purse.buy(f"{seller}/goods", body="other", again=purse.stored[0])).status_code == 409
    assert await runs(seller) == 1


async def test_a_required_id_that_is_missing_is_a_bad_request(
    open_seller: Callable[..., AbstractContextManager[str]], official_buyer: Buyer
) -> None:
    """The official clients never add one, so they cannot buy there; Purser refuses before it signs."""
    with open_seller("required") as url:
        outcome = await official_buyer.buy(f"{url}/goods")
        assert (outcome.status, await runs(url)) == (400, 0)
        assert (await Purse(payment_id=ID).buy(f"{url}/goods")).status_code == 200
        assert await runs(url) == 1


async def test_official_clients_buy_where_the_id_is_optional(seller: str, official_buyer: Buyer) -> None:
    """They give the declaration back without an id: each request is a purchase of its own."""
    assert [(await official_buyer.buy(f"{seller}/goods")).status for _ in range(2)] == [200, 200]
    assert await runs(seller) == 2


async def test_an_official_seller_that_declares_no_id_is_sent_none(fastapi_seller: str) -> None:
    """The id is sent only where it is declared."""
    purse = Purse(payment_id=ID)
    assert (await purse.buy(f"{fastapi_seller}/goods")).status_code == 200
