"""Challenges as they are met in the wild: what Purser's client pays, and what the official ones do with them."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator

import pytest

from net.strict_json import Json, to_json
from tests.interop.processes import Buyer
from tests.interop.purser_buyer import Purse
from tests.interop.trap import Trap, trap
from tests.x402.samples import entry, v1_entry
from tests.x402.server import Reply
from x402.errors import MalformedHeader, NotX402, PolicyRefused, UnsupportedVersion

JSON = {"Content-Type": "application/json"}


@pytest.fixture
async def seller() -> AsyncIterator[Trap]:
    async with trap() as made:
        yield made


async def test_of_several_offers_the_cheapest_is_paid(seller: Trap, official_buyer: Buyer) -> None:
    """The official clients take the first one."""
    seller.ask(entry(amount="9000"), entry(amount="100"))
    await Purse().buy(seller.goods)
    await official_buyer.buy(seller.goods)
    assert seller.prices == ["100", "9000"]


async def test_unknown_schemes_networks_and_extensions_are_passed_over(
    seller: Trap, official_buyer: Buyer
) -> None:
    """By all; what is declared in extensions goes back whole."""
    solana = "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp"
    declared: dict[str, Json] = {"x-new": {"info": {"a": None}, "schema": {}}, "x-odd": None}
    seller.ask(entry(network=solana), entry(scheme="subscription"), entry(), extensions=declared)
    await Purse().buy(seller.goods)
    await official_buyer.buy(seller.goods)
    assert seller.prices == ["10000", "10000"]
    assert [payment.message["extensions"] for payment in seller.paid] == [declared, declared]


@pytest.mark.parametrize(("stated", "version"), [("4000", 1), ("20000", 1), ("4000", 2), ("20000", 2)])
async def test_of_two_prices_in_header_and_body_the_lower_is_paid(
    seller: Trap, official_buyer: Buyer, stated: str, version: int
) -> None:
    """The official clients read the header only, and pay the higher where the body asks for less."""
    second: dict[str, Json] = {"x402Version": 2, "accepts": [entry(amount=stated)]}
    first: dict[str, Json] = {
        "x402Version": 1,
        "error": "",
        "accepts": [v1_entry(maxAmountRequired=stated, resource=seller.goods)],
    }
    body = to_json(first if version == 1 else second)
    seller.challenge = Reply(402, {**seller.challenge.headers, **JSON}, body)
    await Purse(most=20_000).buy(seller.goods)
    await official_buyer.buy(seller.goods)
    assert seller.prices == [min("10000", stated, key=int), "10000"]
    assert seller.paid[0].version == (version if stated == "4000" else 2)


async def test_terms_in_the_header_only_are_paid_whatever_the_body_is(
    seller: Trap, python_buyer: Buyer, node_buyer: Buyer
) -> None:
    """The body of version 2 is free-form. The official httpx client fails where it is not UTF-8."""
    for body, payments in ((b"<html>pay me", 3), (b"<html>\xff pay me", 2)):
        seller.paid.clear()
        seller.challenge = Reply(402, seller.challenge.headers, body)
        await Purse().buy(seller.goods)
        for official in (python_buyer, node_buyer):
            await official.buy(seller.goods)
        assert seller.prices == ["10000"] * payments


async def test_a_header_that_says_two_things_is_refused(seller: Trap, official_buyer: Buyer) -> None:
    """A key that appears twice: the official clients take the last one, other readers the first."""
    one, two = to_json(entry(amount="1")), to_json(entry())
    text = b'{"x402Version":2,"accepts":[%b],"accepts":[%b],"resource":{"url":"x"}}' % (one, two)
    seller.challenge = Reply(402, {"PAYMENT-REQUIRED": base64.b64encode(text).decode()})
    with pytest.raises(MalformedHeader, match="a key appears twice"):
        await Purse().buy(seller.goods)
    await official_buyer.buy(seller.goods)
    assert seller.prices == ["10000"]


async def test_another_version_of_the_protocol_is_refused(
    seller: Trap, python_buyer: Buyer, node_buyer: Buyer
) -> None:
    """The official httpx client pays version 3 as if it were 2; the fetch client refuses as we do."""
    seller.ask(x402Version=3)
    with pytest.raises(UnsupportedVersion):
        await Purse().buy(seller.goods)
    assert (await node_buyer.buy(seller.goods)).error
    assert seller.prices == []
    await python_buyer.buy(seller.goods)
    assert seller.prices == ["10000"]


async def test_a_402_without_terms_is_not_paid(seller: Trap, official_buyer: Buyer) -> None:
    """By nobody, and it is asked for once."""
    seller.challenge = Reply(402, {}, b"pay me")
    with pytest.raises(NotX402):
        await Purse().buy(seller.goods)
    assert (await official_buyer.buy(seller.goods)).error
    assert (seller.prices, len(seller.seen)) == ([], 2)


@pytest.mark.parametrize(
    ("change", "paid_by"),
    [
        ({"maxTimeoutSeconds": -5}, {"httpx", "fetch"}),
        ({"amount": "0"}, {"httpx", "fetch"}),
        ({"extra": {}}, {"purser", "httpx"}),
        ({"payTo": "nobody"}, set()),
    ],
)
async def test_terms_that_make_no_sense_are_not_signed(
    seller: Trap, python_buyer: Buyer, node_buyer: Buyer, change: dict[str, Json], paid_by: set[str]
) -> None:
    """A payment that is expired when signed, or of nothing; a token that is not named is known by its address."""
    seller.ask(entry(**change))
    found: set[str] = set()
    try:
        await Purse().buy(seller.goods)
        found.add("purser")
    except PolicyRefused:
        pass
    for name, official in (("httpx", python_buyer), ("fetch", node_buyer)):
        before = len(seller.paid)
        await official.buy(seller.goods)
        if len(seller.paid) > before:
            found.add(name)
    assert found == paid_by
