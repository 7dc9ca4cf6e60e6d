"""`purser pay` without its printing: a request is paid for once, whatever happens on the way."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from agent.book.errors import ConfigurationError
from agent.book.models import SignedAuthorization
from net.strict_json import Json
from scripts.http_client import http_client
from scripts.pay import buy as paying
from scripts.pay.buy import Look, pay
from scripts.pay.journal import EXPIRY_MARGIN, Journal
from scripts.pay.values import Order, Outcome, PayExit
from tests.scripts.shop import GOODS, PRICE, SIGNED_URL, Shop, open_shop
from tests.tracebacks import shown
from tests.x402.samples import KEY, NETWORK, NOW, OTHER, PAYEE, PAYER, USDC, entry, usual
from tests.x402.server import Reply, Seen, serving
from x402.chain.ports import Block, Cancelled, Fate, Unused, Used
from x402.codec import encode_header
from x402.decode import decode_payment
from x402.errors import ChainError, ChainUnavailable, SigningFailed
from x402.networks import Asset
from x402.purse import Funds, HasCode, Purse
from x402.wallets.signers import LocalSigner, Signer

BASE = frozenset({NETWORK})
TRANSACTION = "0x" + "ab" * 32
LIFE = 300 + EXPIRY_MARGIN.total_seconds()
"""Seconds after which the shop's payments are void."""


@dataclass
class Till:
    """A user at a terminal, with a clock of its own."""

    home: Path
    now: float = NOW
    opened: int = 0
    outcomes: list[Outcome] = field(default_factory=list)
    deliver: Callable[[Outcome], None] = lambda _: None

    def wallet(self, _: httpx.AsyncClient) -> Signer:
        self.opened += 1
        return LocalSigner(KEY)

    def hand_over(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        self.deliver(outcome)

    async def pay(self, order: Order, **how: Any) -> Outcome:
        async with http_client() as http:
            usual: dict[str, Any] = {"http": http, "now": lambda: datetime.fromtimestamp(self.now, UTC)}
            wallet = how.pop("wallet", self.wallet)
            code = await pay(order, Journal(str(self.home)), wallet, self.hand_over, **usual | how)
        assert code is self.outcomes[-1].exit_code
        return self.outcomes[-1]


@pytest.fixture
def till(tmp_path: Path) -> Till:
    """A user who never paid before."""
    return Till(tmp_path / "home")


def order_at(shop: Shop, **changes: Any) -> Order:
    """A POST for as much as the shop asks."""
    usual: dict[str, Any] = {
        "method": "POST",
        "url": httpx.URL(shop.url),
        "max_amount": PRICE,
        "networks": BASE,
        "body": b'{"a":1}',
    }
    return Order(**usual | changes)


def payments(till: Till) -> list[Path]:
    """The files of the journal."""
    return sorted((till.home / "payments").glob("*")) if (till.home / "payments").exists() else []


async def test_a_request_is_paid_for(till: Till) -> None:
    """Goods, receipt, and money that moved once."""
    async with open_shop() as shop:
        outcome = await till.pay(order_at(shop))
    assert outcome.exit_code is PayExit.OK
    assert outcome.response is not None
    assert outcome.response.content == GOODS
    (moved,) = shop.ledger.journal
    assert (outcome.transaction, moved.value, moved.payer) == (moved.transaction, PRICE, PAYER)
    assert [seen.body for seen in shop.seen] == [b'{"a":1}'] * 2


async def test_what_the_lists_name_is_paid(till: Till) -> None:
    """Token, payee and host, with its port or without."""
    async with open_shop() as shop:
        place = shop.url.split("/")[2]
        for hosts in ({place}, {"127.0.0.1"}):
            lists = {"assets": {USDC.lower()}, "payees": {PAYEE.lower()}, "hosts": hosts}
            order = order_at(shop, **{name: frozenset(value) for name, value in lists.items()})
            assert (await till.pay(order)).exit_code is PayExit.OK


async def test_after_a_receipt_the_same_command_buys_again(till: Till) -> None:
    """As with curl: each command is a request of its own."""
    async with open_shop() as shop:
        for _ in range(3):
            assert (await till.pay(order_at(shop))).exit_code is PayExit.OK
    assert len(shop.ledger.journal) == len(set(shop.paid)) == 3
    assert len(payments(till)) == 1


async def test_a_named_purchase_is_bought_once(till: Till) -> None:
    """With an Idempotency-Key the same command gets the same goods for the same payment, after years too."""
    async with open_shop(clock=lambda: till.now) as shop:
        for _ in range(3):
            outcome = await till.pay(order_at(shop, name="order-1"))
            assert (outcome.exit_code, outcome.transaction is None) == (PayExit.OK, False)
            till.now += 10**8
        await till.pay(order_at(shop, name="order-2"))
    assert len(shop.ledger.journal) == 2


async def test_a_paid_name_that_the_vendor_forgot_is_not_bought_again(till: Till) -> None:
    """It says that it was paid, and in which transaction."""
    async with open_shop() as shop:
        first = await till.pay(order_at(shop, name="order-1"))
        shop.faults = ["refuse"]
        again = await till.pay(order_at(shop, name="order-1"))
    assert again.exit_code is PayExit.VENDOR
    assert f"were paid before, in transaction {first.transaction}" in str(again.refusal)
    assert len(set(shop.paid)) == 1


@pytest.mark.parametrize("fault", ["drop", "drop_settled", "500", "500_settled", "pending", "huge"])
async def test_a_lost_answer_is_fetched_with_the_same_payment(till: Till, fault: str) -> None:
    """Exit 6, and the same command again sends the same bytes: the money moves once."""
    lost = PayExit.VENDOR if fault == "500_settled" else PayExit.UNKNOWN
    async with open_shop(faults=[fault]) as shop:
        assert (await till.pay(order_at(shop))).exit_code is lost
        if lost is PayExit.UNKNOWN:
            assert (await till.pay(order_at(shop))).again
            assert till.outcomes[-1].transaction is not None
            assert len(set(shop.paid)) == 1
            assert till.opened == 1
    assert len(shop.ledger.journal) == 1


@pytest.mark.parametrize("fault", ["refuse", "reverted", "404", "moved", "bare", "foreign", "garbage"])
async def test_an_answer_without_a_receipt_ends_nothing(till: Till, fault: str) -> None:
    """Whatever the vendor says, it can still cash the payment: no second one is signed until that is over."""
    async with open_shop(faults=[fault]) as shop:
        first = await till.pay(order_at(shop))
        till.now += 200
        second = await till.pay(order_at(shop))
        assert len(set(shop.paid)) == 1
    assert first.exit_code is (PayExit.OK if fault in ("bare", "foreign", "garbage") else PayExit.VENDOR)
    assert second.transaction is not None


async def test_a_refused_payment_that_is_void_may_be_followed_by_another(till: Till) -> None:
    """Not a second earlier."""
    async with open_shop(faults=["refuse"] * 3, clock=lambda: till.now) as shop:
        await till.pay(order_at(shop))
        till.now += LIFE - 1
        assert (await till.pay(order_at(shop))).again
        till.now += 1
        assert not (await till.pay(order_at(shop))).again
    assert len(set(shop.paid)) == 2
    assert "void since" in till.outcomes[-1].notes[0]


async def test_a_void_payment_that_was_never_answered_waits_for_the_users_word(till: Till) -> None:
    """Nobody knows whether it was cashed: exit 6 with what to look at, and --new-purchase pays anew."""
    async with open_shop(faults=["drop_settled"], clock=lambda: till.now) as shop:
        await till.pay(order_at(shop))
        till.now += LIFE
        for _ in range(2):
            outcome = await till.pay(order_at(shop))
            assert outcome.exit_code is PayExit.UNKNOWN
            assert outcome.signed is not None
            assert outcome.signed.authorization.nonce in str(outcome.refusal)
        assert len(shop.paid) == 1
        assert (await till.pay(order_at(shop, new_purchase=True))).exit_code is PayExit.OK
    assert len(set(shop.paid)) == 2


@pytest.mark.parametrize("fault", ["refuse", "404", "bare"])
async def test_a_named_purchase_without_evidence_stays_unknown_whatever_the_vendor_said(
    till: Till, fault: str
) -> None:
    """Who cashes and says no, or delivers without a receipt, is not paid a second time for one name."""
    async with open_shop(faults=[fault] * 3, clock=lambda: till.now) as shop:
        await till.pay(order_at(shop, name="order-1"))
        till.now += LIFE
        for _ in range(2):
            outcome = await till.pay(order_at(shop, name="order-1"))
            assert outcome.exit_code is PayExit.UNKNOWN
        assert len(set(shop.paid)) == 1
        await till.pay(order_at(shop, name="order-1", new_purchase=True))
    assert len(set(shop.paid)) == 2


@pytest.mark.parametrize(
    ("fate", "code", "signs"),
    [
        (Used(TRANSACTION, 7, PRICE), PayExit.UNKNOWN, 1),
        (Cancelled(TRANSACTION), PayExit.OK, 2),
        (Unused(Block(7, TRANSACTION, NOW + 10_000)), PayExit.OK, 2),
        (Unused(Block(7, TRANSACTION, NOW)), PayExit.UNKNOWN, 1),
        (None, PayExit.UNKNOWN, 1),
    ],
)
async def test_the_chain_is_asked_where_nobody_else_can_tell(
    till: Till, fate: Fate | None, code: PayExit, signs: int
) -> None:
    """What was not used and never can be may be followed by another; what was used, or is not known, may not."""
    asked = []

    async def told(_: httpx.AsyncClient, signed: SignedAuthorization) -> Fate | None:
        asked.append(signed.nonce)
        return fate

    async with open_shop(faults=["refuse"], clock=lambda: till.now) as shop:
        await till.pay(order_at(shop, name="order-1"), fate=told)
        assert asked == []
        till.now += LIFE
        outcome = await till.pay(order_at(shop, name="order-1"), fate=told)
    assert (outcome.exit_code, len(set(shop.paid)), len(asked)) == (code, signs, 1)
    if isinstance(fate, Used):
        assert TRANSACTION in str(outcome.refusal)


async def test_one_answer_does_not_undo_a_lost_one(till: Till) -> None:
    """Refused the second time may mean: taken the first time."""
    async with open_shop(faults=["drop_settled", "refuse"], clock=lambda: till.now) as shop:
        await till.pay(order_at(shop))
        await till.pay(order_at(shop))
        till.now += LIFE
        assert (await till.pay(order_at(shop))).exit_code is PayExit.UNKNOWN


async def test_a_new_purchase_is_made_when_it_is_asked_for(till: Till) -> None:
    """With a warning about the one that can still be cashed."""
    async with open_shop(faults=["drop"]) as shop:
        await till.pay(order_at(shop))
        outcome = await till.pay(order_at(shop, new_purchase=True))
    assert outcome.exit_code is PayExit.OK
    assert "0.01 USD signed for this request before can be cashed until" in outcome.notes[0]
    assert len(set(shop.paid)) == 2


async def test_what_could_not_be_printed_counts_as_lost(till: Till) -> None:
    """A closed pipe, a full disk, Ctrl-C: the same command gets the answer once more."""

    def broken(_: Outcome) -> None:
        raise BrokenPipeError

    async with open_shop() as shop:
        till.deliver = broken
        with pytest.raises(BrokenPipeError):
            await till.pay(order_at(shop))
        till.deliver = lambda _: None
        assert (await till.pay(order_at(shop))).again
    assert len(shop.ledger.journal) == 1


@pytest.mark.parametrize("fault", ["500_settled", "moved_settled", "huge_settled", "packed_settled"])
async def test_what_was_paid_and_not_delivered_is_not_paid_again(till: Till, fault: str) -> None:
    """The receipt in the headers counts, whatever the body is. The same payment is shown again, for ever."""
    async with open_shop(faults=[fault] * 2, clock=lambda: till.now) as shop:
        for _ in range(2):
            outcome = await till.pay(order_at(shop))
            assert (outcome.exit_code, outcome.transaction is None) == (PayExit.VENDOR, False)
            till.now += LIFE + 10**6
        assert (await till.pay(order_at(shop))).exit_code is PayExit.OK
        assert len(set(shop.paid)) == len(shop.ledger.journal) == 1
        await till.pay(order_at(shop))  # it was delivered: each command is a purchase of its own again
    assert len(shop.ledger.journal) == 2


async def test_what_was_not_delivered_is_paid_anew_when_it_is_asked_for(till: Till) -> None:
    """By the user's word, and no other."""
    async with open_shop(faults=["moved_settled"]) as shop:
        await till.pay(order_at(shop))
        await till.pay(order_at(shop, new_purchase=True))
    assert len(shop.ledger.journal) == 2


async def test_where_paid_goods_are_is_told_whole(till: Till) -> None:
    """An address with a signature in it is what was bought."""
    async with open_shop(faults=["moved_settled"]) as shop:
        assert SIGNED_URL in str((await till.pay(order_at(shop))).refusal)


@pytest.mark.parametrize(
    "change",
    [{"body": b'{"a":2}'}, {"body": None}, {"method": "PUT"}, {"url": "/elsewhere"}, {"url": "?q=1"}],
    ids=str,
)
async def test_a_name_is_the_identity_of_a_purchase(till: Till, change: dict[str, Any]) -> None:
    """Another request under it is an error, before anything is asked or signed."""
    async with open_shop() as shop:
        named = order_at(shop, name="order-1")
        await till.pay(named)
        seen = len(shop.seen)
        if "url" in change:
            change = {"url": named.url.join(change["url"])}
        outcome = await till.pay(replace(named, **change))
        assert outcome.refusal is not None
        assert (outcome.exit_code, outcome.refusal.code) == (PayExit.NOT_ALLOWED, "name_taken")
        assert len(shop.seen) == seen
    assert len(shop.ledger.journal) == 1


@pytest.mark.parametrize("body", [b'{"a": 1}', b' {"a":\n1}', b'{"\\u0061":1}'])
async def test_the_same_json_spaced_otherwise_is_the_same_named_purchase(till: Till, body: bytes) -> None:
    """Written by another program, or another version of it."""
    async with open_shop() as shop:
        await till.pay(order_at(shop, name="order-1"))
        assert (await till.pay(order_at(shop, name="order-1", body=body))).again
    assert len(shop.ledger.journal) == 1


async def test_a_named_purchase_of_an_earlier_version_is_found(till: Till) -> None:
    """It was kept under another key; what it signed may be open."""
    async with open_shop(faults=["drop"]) as shop:
        named = order_at(shop, name="order-1")
        await till.pay(named)
        (file,) = payments(till)
        file.rename(file.with_name(f"{named.older_key}.jsonl"))
        assert (await till.pay(named)).again
    assert len(set(shop.paid)) == 1


async def test_other_requests_are_other_purchases(till: Till) -> None:
    """Method, URL with its query, body and name tell requests apart; headers do not."""
    async with open_shop(faults=["drop"] * 6) as shop:
        base = order_at(shop)
        orders = [
            base,
            replace(base, method="PUT"),
            replace(base, url=httpx.URL(shop.url + "?q=1")),
            replace(base, body=None),
            replace(base, body=b'{"a":2}'),
            replace(base, name="x"),
        ]
        for order in orders:
            await till.pay(order)
        assert len(set(shop.paid)) == len(orders) == len(payments(till))
        again = await till.pay(replace(base, headers=(("X-Trace", "1"),)))
    assert (again.exit_code, again.again) == (PayExit.OK, True)


async def test_free_things_are_free(till: Till) -> None:
    """No wallet is opened, nothing is written."""
    async with open_shop(free=True) as shop:
        outcome = await till.pay(order_at(shop))
    assert (outcome.exit_code, outcome.signed, till.opened) == (PayExit.OK, None, 0)
    assert not till.home.exists()


async def test_a_dry_run_signs_and_writes_nothing(till: Till) -> None:
    """It shows the offer and needs no wallet; of an open payment it says that it would be sent again."""
    offers: list[Any] = []
    async with open_shop(faults=["drop"]) as shop:
        outcome = await till.pay(order_at(shop, dry_run=True), show=offers.append)
        assert (outcome.exit_code, till.opened, till.home.exists()) == (PayExit.OK, 0, False)
        assert [each.chosen for each in offers[0]] == [True]
        assert shop.paid == []
        await till.pay(order_at(shop))
        sent, before = len(shop.seen), payments(till)[0].read_bytes()
        outcome = await till.pay(order_at(shop, dry_run=True))
        assert (outcome.exit_code, outcome.again) == (PayExit.OK, True)
        assert (len(shop.seen), payments(till)[0].read_bytes()) == (sent, before)


NOT_ALLOWED: Final = pytest.mark.parametrize(
    ("changes", "code", "word"),
    [
        ({"max_amount": PRICE - 1}, PayExit.TOO_EXPENSIVE, "above"),
        ({"networks": frozenset({"eip155:8453"})}, PayExit.NOT_ALLOWED, "network"),
        ({"assets": frozenset({OTHER.lower()})}, PayExit.NOT_ALLOWED, "asset"),
        ({"payees": frozenset({OTHER.lower()})}, PayExit.NOT_ALLOWED, "payee"),
        ({"hosts": frozenset({"x.example", "127.0.0.1:1"})}, PayExit.NOT_ALLOWED, "not in ALLOWED_HOSTS"),
        ({"max_amount": 1, "networks": frozenset({"eip155:8453"})}, PayExit.NOT_ALLOWED, "network"),
    ],
)


@pytest.mark.parametrize("dry_run", [False, True])
@NOT_ALLOWED
async def test_what_the_policy_refuses_is_not_signed(
    till: Till, changes: dict[str, Any], code: PayExit, word: str, dry_run: bool
) -> None:
    """Exit 3 only when the price alone is in the way."""
    async with open_shop() as shop:
        outcome = await till.pay(order_at(shop, dry_run=dry_run, **changes))
    assert outcome.exit_code is code
    assert word in str(outcome.refusal)
    assert (till.opened, shop.paid, till.home.exists()) == (0, [], False)


@NOT_ALLOWED
async def test_an_open_payment_is_not_sent_beyond_the_limits_given_now(
    till: Till, changes: dict[str, Any], code: PayExit, word: str
) -> None:
    """What forbids a signature forbids that what is signed goes out again; nothing is sent, nothing signed."""
    async with open_shop(faults=["drop"]) as shop:
        await till.pay(order_at(shop))
        seen = len(shop.seen)
        outcome = await till.pay(order_at(shop, **changes))
        assert (len(shop.seen), len(set(shop.paid))) == (seen, 1)
    assert outcome.exit_code is code
    assert word in str(outcome.refusal)


TOKEN, TOKEN_ON_BASE = usual(NETWORK), usual("eip155:8453")
DOWN = ChainUnavailable("the node at node.example is away")


def has(purse: Purse) -> Look:
    """A wallet of which this is known."""

    async def look(_: httpx.AsyncClient, tokens: tuple[Asset, ...]) -> Purse:
        assert tokens
        return purse

    return look


async def test_an_offer_that_the_wallet_cannot_pay_is_passed_over(till: Till) -> None:
    """The cheaper one is on a network where there is too little: the other is paid, and shown as the one."""
    offers: list[Any] = []
    paid: list[str] = []

    async def answer(seen: Seen) -> Reply:
        if payment := seen.headers.get("payment-signature"):
            paid.append(payment)
            return Reply(body=GOODS)
        there = TOKEN_ON_BASE
        cheap = entry(network=there.network, asset=there.address, amount="9000", extra={})
        terms: dict[str, Json] = {"x402Version": 2, "accepts": [cheap, entry()]}
        return Reply(402, {"PAYMENT-REQUIRED": encode_header(terms)})

    async with serving(answer) as url:
        order = Order("GET", httpx.URL(url), PRICE, BASE | {"eip155:8453"})
        purse: Purse = {TOKEN_ON_BASE: Funds(8_999), TOKEN: Funds(PRICE)}
        outcome = await till.pay(order, look=has(purse), show=offers.append)
    assert outcome.exit_code is PayExit.OK
    assert decode_payment("PAYMENT-SIGNATURE", paid[0]).authorization.value == PRICE
    cheap, other = offers[0]
    assert (cheap.refused, cheap.chosen) == ("the payer holds 8999 of 9000 atomic units: 1 missing", False)
    assert (other.refused, other.chosen) == (None, True)


@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.parametrize(
    ("known", "word", "text"),
    [
        (Funds(PRICE - 1), "insufficient_funds", "nothing was paid: .* 1 missing"),
        (HasCode(OTHER), "wallet_unfit", "remove the delegation or pay from a plain key"),
        (DOWN, "chain", "cannot be read: the node at node.example is away; run this again later"),
    ],
)
async def test_a_wallet_that_cannot_pay_signs_nothing(
    till: Till, known: Funds | HasCode | ChainError, word: str, text: str, dry_run: bool
) -> None:
    """Exit 7, the wallet unopened; a dry run says the same."""
    async with open_shop() as shop:
        outcome = await till.pay(order_at(shop, dry_run=dry_run), look=has({TOKEN: known}))
    assert outcome.exit_code is PayExit.SETUP
    assert outcome.refusal is not None
    assert outcome.refusal.code == word
    assert re.search(text, str(outcome.refusal))
    assert (till.opened, shop.paid, till.home.exists()) == (0, [], False)


async def test_the_wallet_is_not_looked_into_for_what_may_not_be_paid(till: Till) -> None:
    """Nor for a payment that is signed already, which is sent again whatever there is."""

    async def look(_: httpx.AsyncClient, __: tuple[Asset, ...]) -> Purse:
        raise AssertionError

    async with open_shop(faults=["drop"]) as shop:
        for changes in ({"max_amount": 1}, {"hosts": frozenset({"x.example"})}):
            assert (await till.pay(order_at(shop, **changes), look=look)).exit_code in (3, 4)
        await till.pay(order_at(shop))
        assert (await till.pay(order_at(shop), look=look)).again


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (Reply(500, body=b"sorry"), PayExit.VENDOR),
        (Reply(404), PayExit.VENDOR),
        (Reply(301, {"Location": "https://x.example/"}), PayExit.VENDOR),
        (Reply(body=None), PayExit.VENDOR),
        (Reply(402, body=b"<html>"), PayExit.VENDOR),
        (Reply(402, {"PAYMENT-REQUIRED": "%%%"}), PayExit.VENDOR),
        (Reply(402, {"PAYMENT-REQUIRED": "eyJ4NDAyVmVyc2lvbiI6OX0="}), PayExit.VENDOR),
        (Reply(402, {"Content-Encoding": "gzip"}), PayExit.VENDOR),
        (Reply(402, body=b'{"x402Version":1,"accepts":[]}'), PayExit.NOT_ALLOWED),
    ],
)
async def test_vendors_that_fail_before_a_payment_cost_nothing(till: Till, reply: Reply, code: PayExit) -> None:
    """Exit 5, or 4 where they ask for nothing that can be paid."""

    async def answer(_: object) -> Reply:
        return reply

    async with serving(answer) as url:
        outcome = await till.pay(Order("GET", httpx.URL(url), PRICE, BASE))
    assert (outcome.exit_code, till.opened, till.home.exists()) == (code, 0, False)


async def test_a_vendor_that_is_not_there_is_a_vendor_error(till: Till) -> None:
    """Nothing was paid, and it says so."""
    async with open_shop() as shop:
        order = order_at(shop)
    outcome = await till.pay(order)
    assert outcome.exit_code is PayExit.VENDOR
    assert str(outcome.refusal) == "nothing was paid: 127.0.0.1 gave no answer (ConnectError)"


async def test_money_never_travels_in_the_clear(till: Till) -> None:
    """Plain http to another machine: refused before anything is signed."""
    async with open_shop() as shop:
        headers, body = shop._seller.terms(PRICE, "http://vendor.example/goods").challenge("pay")

    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(402, headers=headers, content=body)

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        url = httpx.URL("http://vendor.example/goods")
        outcome = await till.pay(Order("GET", url, PRICE, BASE), http=http)
    assert (outcome.exit_code, till.opened) == (PayExit.NOT_ALLOWED, 0)
    assert "clear" in str(outcome.refusal)


async def test_a_silent_vendor_does_not_hold_for_ever(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before a payment it costs nothing, after it the outcome is unknown."""
    async with open_shop() as shop, http_client() as http:
        monkeypatch.setattr(paying, "PAID_SECONDS", 0.0)
        assert (await till.pay(order_at(shop), http=http)).exit_code is PayExit.UNKNOWN
        monkeypatch.setattr(paying, "ASK_SECONDS", 0.0)
        assert (await till.pay(order_at(shop, body=b"2"), http=http)).exit_code is PayExit.VENDOR
    assert till.opened == 1


class _Locked:
    address = PAYER

    async def sign_typed_data(self, data: object) -> str:
        raise SigningFailed("locked")


async def test_a_wallet_that_does_not_sign_is_said(till: Till) -> None:
    """Exit 7, and nothing in the journal; a wallet that cannot be opened likewise."""

    def absent(_: httpx.AsyncClient) -> Signer:
        raise ConfigurationError("there is no wallet")

    async with open_shop() as shop:
        locked = await till.pay(order_at(shop), wallet=lambda _: _Locked())
        none = await till.pay(order_at(shop), wallet=absent)
    assert (locked.exit_code, str(locked.refusal)) == (PayExit.SETUP, "nothing was paid: locked")
    assert (none.exit_code, str(none.refusal)) == (PayExit.SETUP, "there is no wallet")
    assert not till.home.exists()


async def test_a_vendor_that_needs_a_payment_id_gets_one(till: Till) -> None:
    """The same one with every repetition, because the same bytes are sent."""
    async with open_shop(faults=["drop"]) as shop:
        shop._seller._extensions = {"payment-identifier": {"info": {"required": True}, "schema": {}}}
        await till.pay(order_at(shop))
        await till.pay(order_at(shop))
    ids = {decode_payment("PAYMENT-SIGNATURE", value).payment_id for value in shop.paid}
    assert len(ids) == 1
    assert (ids.pop() or "").startswith("purser_")


async def test_nothing_is_sent_that_was_not_written_first(till: Till) -> None:
    """What the vendor sees is in the journal already, down to the byte; the file is its owner's alone."""
    async with open_shop() as shop:
        serve = shop.answer
        on_disk: list[bool] = []

        async def look(seen: Any) -> Reply:
            sent = seen.headers.get("payment-signature")
            if sent is not None:
                (file,) = payments(till)
                on_disk.append(sent in file.read_text() and file.stat().st_mode & 0o777 == 0o600)
            return await serve(seen)

        async with serving(look) as url:
            shop.url = f"{url}/goods"
            await till.pay(order_at(shop))
    assert on_disk == [True]
    assert till.home.joinpath("payments").stat().st_mode & 0o777 == 0o700


async def test_a_journal_that_cannot_be_written_stops_the_payment(till: Till) -> None:
    """Exit 7, nothing sent."""
    till.home.write_text("a file where the directory should be")
    async with open_shop() as shop:
        outcome = await till.pay(order_at(shop))
        assert shop.paid == []
    assert outcome.exit_code is PayExit.SETUP


async def test_two_at_once_pay_once(till: Till) -> None:
    """The second is told so, whether the first is about to sign or has sent already."""
    late = Till(till.home)
    second: list[PayExit] = []

    async with open_shop() as shop:
        serve = shop.answer

        async def meddling(seen: Any) -> Reply:
            if "payment-signature" in seen.headers and not second:
                second.append((await late.pay(order_at(shop))).exit_code)
            return await serve(seen)

        async with serving(meddling) as url:
            shop.url = f"{url}/goods"
            assert (await till.pay(order_at(shop))).exit_code is PayExit.OK
            assert second == [PayExit.UNKNOWN]
            assert len(set(shop.paid)) == 1

    async with open_shop(faults=["drop"]) as shop:

        def slow(http: httpx.AsyncClient) -> Signer:
            journal = Journal(str(till.home))
            with journal.create(order_at(shop).key) as held:
                signed = till.outcomes[0].signed
                assert signed is not None
                held.signed("POST", shop.url, signed.authorization)
            return till.wallet(http)

        outcome = await till.pay(order_at(shop), wallet=slow)
        assert outcome.exit_code is PayExit.UNKNOWN
        assert shop.paid == []


@pytest.mark.parametrize("seed", range(30))
async def test_whatever_happens_one_payment_is_out_at_a_time(till: Till, seed: int) -> None:
    """Any mixture of faults and pauses, without --new-purchase: a second payment leaves only when the first was
    settled, as the user saw it, or is void and was answered each time it was sent."""
    dice = random.Random(seed)
    faults = [
        "",
        "drop",
        "drop_settled",
        "500",
        "404",
        "refuse",
        "pending",
        "bare",
        "foreign",
        "garbage",
        "500_settled",
    ]
    closed: set[str] = set()
    void: dict[str, float] = {}
    async with open_shop(clock=lambda: till.now) as shop:
        for _ in range(12):
            shop.faults = [dice.choice(faults)]
            outcome = await till.pay(order_at(shop))
            for value in shop.paid:
                signed = decode_payment("PAYMENT-SIGNATURE", value).authorization
                void.setdefault(signed.nonce, signed.valid_before + EXPIRY_MARGIN.total_seconds())
            loose = [nonce for nonce, until in void.items() if nonce not in closed and till.now < until]
            assert len(loose) <= 1
            if outcome.transaction is not None and outcome.signed is not None:
                closed.add(outcome.signed.authorization.nonce)
            till.now += dice.choice([1, 60, LIFE])
    assert len(shop.ledger.journal) <= len(void)


async def test_no_error_of_a_payment_shows_what_could_be_cashed(till: Till) -> None:
    """Not in the outcomes, not in what an exception's frames hold."""

    class Stop(Exception):
        pass

    def stop(_: Outcome) -> None:
        raise Stop

    async with open_shop(faults=["refuse", "drop", "500"]) as shop:
        for _ in range(3):
            till.deliver = stop
            with pytest.raises(Stop) as caught:
                await till.pay(order_at(shop))
            text = shown(caught.value) + repr(till.outcomes[-1])
            assert KEY[2:] not in text
            for value in shop.paid:
                assert value not in text
                assert decode_payment("PAYMENT-SIGNATURE", value).signature not in text
    assert json.loads(payments(till)[0].read_text().splitlines()[0])["event"] == "signed"
