"""What goes wrong in the wild, one test for each row of docs/x402.md that a peer can show.

Each test puts Purser and the official SDKs before the same thing and states what either does. Where one of them
behaves otherwise after an update, its test fails, and the document is to be corrected.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator

import httpx
import pytest

from net.strict_json import Json, to_json
from tests.interop.processes import HERE, Buyer
from tests.interop.purser_buyer import Purse
from tests.interop.trap import GOODS, Paid, Trap, trap
from tests.x402.samples import NETWORK, OTHER, PAYEE, entry, usual
from tests.x402.server import Reply
from x402.errors import NotX402, PolicyRefused, RedirectRefused
from x402.negotiation import rejection_reason
from x402.purse import Funds, Unaffordable


@pytest.fixture
async def seller() -> AsyncIterator[Trap]:
    async with trap() as made:
        yield made


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


async def test_an_entry_that_the_payer_cannot_afford_is_passed_over(seller: Trap, official_buyer: Buyer) -> None:
    """Purser pays the cheapest of those that it can pay. The official clients sign the first entry unseen."""
    here, there = usual(NETWORK), usual("eip155:8453")
    on_base: dict[str, Json] = {"network": there.network, "asset": there.address, "amount": "9500"}
    extra: dict[str, Json] = {"name": there.name, "version": there.version}
    seller.ask(entry(amount="9000"), entry(**on_base, extra=extra))
    networks = frozenset({here.network, there.network})
    await Purse(networks=networks, holds={here: Funds(8_999), there: Funds(9_500)}).buy(seller.goods)
    await Purse(networks=networks, holds={here: Funds(9_000), there: Funds(0)}).buy(seller.goods)
    with pytest.raises(Unaffordable, match=r"offer 1: the payer holds 8999 of 9000 .*; offer 2: .* 1 missing"):
        await Purse(networks=networks, holds={here: Funds(8_999), there: Funds(9_499)}).buy(seller.goods)
    await official_buyer.buy(seller.goods)
    assert seller.prices == ["9500", "9000", "9000"]


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


def test_the_peers_are_of_the_versions_that_the_document_names() -> None:
    """docs/x402.md says what was measured, with which versions."""
    text = (HERE.parents[1] / "docs/x402.md").read_text()
    lock = json.loads((HERE / "node/package-lock.json").read_text())["packages"]
    assert "x402[httpx,fastapi,evm]==2.25.0" in (HERE.parent / "peers/requirements.in").read_text()
    assert "2.25.0" in text
    for package in ("core", "evm", "express", "fetch"):
        assert lock[f"node_modules/@x402/{package}"]["version"] in text
