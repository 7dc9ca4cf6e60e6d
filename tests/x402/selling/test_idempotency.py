"""One payment id, one payment, one answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from net.strict_json import Json
from tests.x402.samples import NONCE, offer, payment_for
from x402.errors import FacilitatorUnavailable, SettlementsUnavailable, SettlementUnknown, X402Error
from x402.failures import Failure
from x402.selling.idempotency import PaymentIdConflict, PaymentIdMissing, PaymentIds, declaration
from x402.selling.seller import PaymentRefused
from x402.wire import Payment, Receipt

ID = "purchase_0123456789"


async def paid(name: str | None = ID, nonce: str = NONCE) -> Payment:
    """A payment with an id, or without."""
    extensions: dict[str, Json] = {"payment-identifier": {"info": {"required": False, "id": name}}}
    return replace(await payment_for(offer(), nonce=nonce), extensions=extensions if name else None)


class Till:
    """Sells, and counts how often; `failing` are raised first."""

    def __init__(self, *failing: Exception) -> None:
        self.failing = list(failing)
        self.sold = 0

    async def __call__(self) -> str:
        await asyncio.sleep(0)
        if self.failing:
            raise self.failing.pop(0)
        self.sold += 1
        return f"answer {self.sold}"


async def test_the_same_payment_gets_the_same_answer() -> None:
    """Kept as it was; nothing is sold again."""
    book, till = PaymentIds[str](), Till()
    assert [await book.once(await paid(), b"GET /", till) for _ in range(3)] == ["answer 1"] * 3
    assert till.sold == 1


async def test_another_payment_or_request_under_the_same_id_is_a_conflict() -> None:
    """The id is bound to both (x402#2307)."""
    book, till = PaymentIds[str](), Till()
    await book.once(await paid(), b"GET /", till)
    with pytest.raises(PaymentIdConflict):
        await book.once(await paid(nonce="0x" + "cd" * 32), b"GET /", till)
    with pytest.raises(PaymentIdConflict):
        await book.once(await paid(), b"GET /other", till)
    assert till.sold == 1


async def test_an_id_is_needed_only_where_it_is_required() -> None:
    """Without one each request is a purchase of its own."""
    till = Till()
    with pytest.raises(PaymentIdMissing):
        await PaymentIds[str](required=True).once(await paid(None), b"", till)
    with pytest.raises(PaymentIdMissing):
        await PaymentIds[str](required=True).once(await paid("too short"), b"", till)
    assert till.sold == 0
    book = PaymentIds[str]()
    assert [await book.once(await paid(None), b"", till) for _ in range(2)] == ["answer 1", "answer 2"]


async def test_a_twin_waits_for_the_answer() -> None:
    """Five at once are one sale."""
    book, till = PaymentIds[str](), Till()
    payment = await paid()
    assert set(await asyncio.gather(*(book.once(payment, b"", till) for _ in range(5)))) == {"answer 1"}
    assert till.sold == 1


async def test_a_twin_of_one_that_failed_tries_for_itself() -> None:
    """And its answer is kept."""
    book, till = PaymentIds[str](), Till(FacilitatorUnavailable("busy"))
    payment = await paid()
    first, second = await asyncio.gather(
        *(book.once(payment, b"", till) for _ in range(2)), return_exceptions=True
    )
    assert isinstance(first, FacilitatorUnavailable)
    assert second == "answer 1" == await book.once(payment, b"", till)


@pytest.mark.parametrize("error", [FacilitatorUnavailable("busy"), PaymentRefused(Failure.EXPIRED, "too late")])
async def test_where_nothing_was_sold_the_id_is_free_again(error: X402Error) -> None:
    """For another payment too."""
    book, till = PaymentIds[str](), Till(error)
    with pytest.raises(type(error)):
        await book.once(await paid(), b"", till)
    assert await book.once(await paid(nonce="0x" + "cd" * 32), b"", till) == "answer 1"


@pytest.mark.parametrize(
    "error",
    [
        SettlementUnknown("lost"),
        SettlementsUnavailable("an earlier settlement may be in it"),
        PaymentRefused(Failure.CHAIN_FAILURE, "pending", Receipt(False, "0x77", "", error_reason="x")),
        KeyError("a handler's own mistake"),
    ],
)
async def test_where_money_may_have_moved_the_id_stays_with_its_payment(error: Exception) -> None:
    """The same payment may come again, and no other."""
    book, till = PaymentIds[str](), Till(error)
    with pytest.raises(type(error)):
        await book.once(await paid(), b"", till)
    with pytest.raises(PaymentIdConflict):
        await book.once(await paid(nonce="0x" + "cd" * 32), b"", till)
    assert await book.once(await paid(), b"", till) == "answer 1"


async def test_ids_are_remembered_up_to_a_limit() -> None:
    """The oldest go first; one that is worked on stays."""
    book, till, held = PaymentIds[str](most=20), Till(), asyncio.Event()

    async def slow() -> str:
        await held.wait()
        return "slow"

    working = asyncio.create_task(book.once(await paid(), b"", slow))
    await asyncio.sleep(0)
    other = await paid()
    names = [f"purchase_{number:020}" for number in range(40)]

    async def buy(name: str, sell: Callable[[], Awaitable[str]]) -> str:
        entry: dict[str, Json] = {"payment-identifier": {"info": {"id": name}}}
        return await book.once(replace(other, extensions=entry), b"", sell)

    for name in names:
        await buy(name, till)
    assert till.sold == 40
    assert await buy(names[-1], till) == "answer 40"
    assert await buy(names[0], till) == "answer 41"
    twin = asyncio.create_task(book.once(await paid(), b"", till))
    await asyncio.sleep(0)
    held.set()
    assert (await working, await twin) == ("slow", "slow")


def test_the_declaration_is_the_one_of_the_spec() -> None:
    """What a payer gives back with an id added."""
    declared = declaration(required=True)
    assert declared["info"] == {"required": True}
    assert isinstance(declared["schema"], dict)
    assert declared["schema"]["required"] == ["required"]
