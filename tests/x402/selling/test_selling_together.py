"""Two processes of one seller and one payment: every order in which their steps can fall, every place to die.

A step is one effect outside of the process: an operation of the shared memory, or one at the facilitator. Here a
process is a coroutine that is driven by hand from step to step; one that is closed has died there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, TypeVar

import pytest

from tests.x402.samples import NETWORK, NOW, OTHER, PAYEE, PAYER, URL, payment_for
from x402.errors import FacilitatorUnavailable, SettlementsUnavailable, SettlementUnknown, X402Error
from x402.failures import Failure
from x402.selling.facilitator import Kind, Verdict
from x402.selling.offline import MemoryLedger, OfflineFacilitator
from x402.selling.seller import PaymentRefused, Seller, Terms
from x402.selling.settlements import MemorySettlements, Settlement
from x402.selling.settlements_sqlite import SqliteSettlements
from x402.wire import Offer, Payment, Receipt

PRICE: Final = 10_000
PAID: Final = Receipt(True, "0x" + "ab" * 32, NETWORK, payer=PAYER, amount=PRICE)
USED: Final = Receipt(False, "", NETWORK, error_reason="invalid_exact_evm_nonce_already_used")
POOR: Final = Receipt(False, "", NETWORK, error_reason="invalid_exact_evm_insufficient_balance")
PENDING: Final = Receipt(False, PAID.transaction, NETWORK, error_reason="settlement_pending")


class Step:
    """The moment before an effect."""

    def __await__(self) -> Generator[Step, None, None]:
        yield self


T = TypeVar("T")


class Shared:
    """A memory of settlements, a step for each operation. `fails_at` is the operation that fails, counted from 1,
    with or without effect.
    """

    def __init__(self, fails_at: int = 0, *, effect: bool = False) -> None:
        self._inner = MemorySettlements(lambda: NOW)
        self._left = fails_at
        self._effect = effect

    def heal(self) -> None:
        self._left = 0

    async def find(self, key: str) -> Settlement | None:
        return await self._operate(lambda: self._inner.find(key))

    async def begin(self, settlement: Settlement) -> Settlement:
        return await self._operate(lambda: self._inner.begin(settlement))

    async def give_up(self, settlement: Settlement) -> Settlement | None:
        return await self._operate(lambda: self._inner.give_up(settlement))

    async def finish(self, settlement: Settlement) -> bool:
        return await self._operate(lambda: self._inner.finish(settlement))

    async def _operate(self, operation: Callable[[], Awaitable[T]]) -> T:
        await Step()
        self._left -= 1
        if self._left == 0 and not self._effect:
            raise SettlementsUnavailable("away")
        done = await operation()
        if self._left == 0:
            raise SettlementsUnavailable("away")
        return done


@dataclass(slots=True)
class Bank:
    """A facilitator. Money moves in one step, its answer comes in the next.

    `again` is its answer to a payment that it settled before; `lost` is what comes in place of its answers, in the
    order of asking.
    """

    again: Receipt = PAID
    verifies: bool = True
    lost: list[X402Error | Receipt | None] = field(default_factory=list)
    moved: bool = False

    async def verify(self, payment: Payment, offer: Offer) -> Verdict:
        await Step()
        used = self.verifies and self.moved
        return Verdict(Failure.NONCE_USED if used else None, payment.authorization.payer)

    async def settle(self, payment: Payment, offer: Offer) -> Receipt:
        await Step()
        outcome = self.lost.pop(0) if self.lost else None
        if isinstance(outcome, FacilitatorUnavailable):
            raise outcome
        receipt = self.again if self.moved else PAID
        self.moved = True
        await Step()
        if isinstance(outcome, X402Error):
            raise outcome
        return outcome or receipt

    async def supported(self) -> tuple[Kind, ...]:
        return ()


@dataclass(slots=True)
class World:
    """What all processes have in common, and what came of them.

    `won` counts who was given a receipt to deliver for; `told` has each error, and whether the money had moved.
    """

    bank: Bank
    payment: Payment
    terms: Terms
    memory: Shared = field(default_factory=Shared)
    won: int = 0
    told: list[tuple[X402Error, bool]] = field(default_factory=list)

    async def process(self) -> None:
        """One process that is sent the payment."""
        try:
            await Seller(self.bank, PAYEE, NETWORK, settlements=self.memory).collect(self.payment, self.terms)
        except X402Error as exc:
            self.told.append((exc, self.bank.moved))
            return
        self.won += 1
        await Step()  # whoever dies here may have delivered: nobody can know

    def asks_again(self) -> X402Error | None:
        """A process that nothing happens to; what it tells the payer."""
        before = len(self.told)
        only(self.process())
        return self.told[-1][0] if len(self.told) > before else None


def only(process: Coroutine[Step, None, None]) -> None:
    """Run it to its end."""
    while goes_on(process):
        pass


def goes_on(process: Coroutine[Step, None, None]) -> bool:
    """Let it take its next step."""
    try:
        process.send(None)
    except StopIteration:
        return False
    return True


def together(make: Callable[[], World], dies_after: int) -> Iterator[World]:
    """The world after each order of two processes' steps, of which the first dies after so many.

    An order is a list of who goes on; the next one is found by changing the last turn that can still be another's.
    """
    order: list[int] = []
    while True:
        world = make()
        alive = {0: world.process(), 1: world.process()}
        for process in alive.values():
            goes_on(process)  # to where its first effect is due
        taken: list[int] = []
        choices: list[int] = []
        while alive:
            who = order[len(taken)] if len(taken) < len(order) else min(alive)
            taken.append(who)
            choices.append(max(alive))
            if not goes_on(alive[who]):
                del alive[who]
            elif who == 0 and taken.count(0) == dies_after:
                alive.pop(0).close()
        yield world
        while taken and taken[-1] == choices[-1]:
            del taken[-1], choices[-1]
        if not taken:
            return
        order = [*taken[:-1], 1]


def honest(told: X402Error) -> bool:
    """Whether this may be said to a payer whose money has moved: its receipt, or to send the payment again."""
    if isinstance(told, PaymentRefused):
        return told.receipt in (PAID, PENDING)
    return isinstance(told, SettlementUnknown | SettlementsUnavailable)


BANKS: Final = {
    "settles again with the receipt it had": Bank(),
    "verifies signatures only": Bank(verifies=False),
    "says that the payer has too little": Bank(again=POOR),
    "loses the first answer": Bank(lost=[SettlementUnknown("no answer")]),
    "loses the first answer and says that the nonce was used": Bank(again=USED, lost=[SettlementUnknown("none")]),
    "has the first one pending": Bank(lost=[PENDING]),
    "is away for the first": Bank(lost=[FacilitatorUnavailable("away")]),
    "is away for the second": Bank(lost=[None, FacilitatorUnavailable("away")]),
}


@pytest.fixture
async def payment() -> tuple[Payment, Terms]:
    """What is paid, and for what."""
    terms = Seller(Bank(), PAYEE, NETWORK).terms(PRICE, URL)
    return await payment_for(terms.offers[2]), terms


@pytest.mark.parametrize("bank", BANKS.values(), ids=BANKS)
def test_in_every_order_one_delivers_and_nobody_is_told_that_paying_failed(
    bank: Bank, payment: tuple[Payment, Terms]
) -> None:
    """Two processes at once, and the payment sent again in peace."""
    orders = 0
    for world in together(lambda: World(replace(bank, lost=[*bank.lost]), *payment), dies_after=100):
        orders += 1
        check(world, idempotent=bank.again == PAID or not bank.lost)
    assert orders > 100


@pytest.mark.parametrize("dies_after", range(1, 7))
@pytest.mark.parametrize("bank", BANKS.values(), ids=BANKS)
def test_wherever_one_dies_the_next_one_goes_on(
    bank: Bank, dies_after: int, payment: tuple[Payment, Terms]
) -> None:
    """Between settling and recording, and at every other step, while the other one is anywhere."""
    for world in together(lambda: World(replace(bank, lost=[*bank.lost]), *payment), dies_after):
        check(world, idempotent=bank.again == PAID)


@pytest.mark.parametrize("effect", [False, True])
@pytest.mark.parametrize("fails_at", range(1, 6))
@pytest.mark.parametrize("bank", BANKS.values(), ids=BANKS)
def test_a_memory_that_fails_sells_nothing_unrecorded_and_loses_nothing(
    bank: Bank, fails_at: int, effect: bool, payment: tuple[Payment, Terms]
) -> None:
    """At each of its operations, with what it was to write written or not."""
    world = World(replace(bank, lost=[*bank.lost]), *payment, memory=Shared(fails_at, effect=effect))
    told = world.asks_again()
    if isinstance(told, SettlementsUnavailable):
        assert not world.bank.moved
    world.memory.heal()
    check(world, idempotent=bank.again == PAID, recorded_unseen=effect)


def check(world: World, *, idempotent: bool, recorded_unseen: bool = False) -> None:
    """What holds whatever happened, once the payment was sent again and again in peace.

    `idempotent`: settling again shows the receipt. `recorded_unseen`: it may have been recorded without an answer.
    """
    world.asks_again()
    world.asks_again()
    last = world.asks_again()
    assert [exc for exc, moved in world.told if moved and not honest(exc)] == []
    assert world.won <= 1
    if idempotent and not recorded_unseen:
        assert world.won == 1
    if world.won or idempotent:
        assert isinstance(last, PaymentRefused)
        assert (last.failure, last.receipt) == (Failure.NONCE_USED, PAID)


@pytest.mark.parametrize("version", [1, 2])
async def test_a_cheap_payment_without_an_outcome_never_buys_a_dear_thing(version: int) -> None:
    """Not at the process that has it open, nor at another one; nor for another payee. Nobody is asked about it."""
    lost = Silent()
    memory = MemorySettlements(lambda: NOW)
    sellers = [Seller(lost, PAYEE, NETWORK, settlements=memory) for _ in range(2)]
    cheap, dear = (sellers[0].terms(price, URL) for price in (PRICE, 100 * PRICE))
    payment = await payment_for(cheap.offers[version])
    with pytest.raises(SettlementUnknown):
        await sellers[0].collect(payment, cheap)
    if payment.accepted is not None:
        payment = replace(payment, accepted=dear.offers[2].raw)  # it is not signed
    asked = lost.asked
    for seller in sellers:
        with pytest.raises(PaymentRefused) as caught:
            await seller.collect(payment, dear)
        assert (caught.value.failure, caught.value.receipt) == (Failure.AMOUNT_MISMATCH, None)
    other = Seller(lost, OTHER, NETWORK, settlements=memory)
    elsewhere = other.terms(PRICE, URL)
    if payment.accepted is not None:
        payment = replace(payment, accepted=elsewhere.offers[2].raw)
    with pytest.raises(PaymentRefused) as caught:
        await other.collect(payment, elsewhere)
    assert caught.value.failure is Failure.RECIPIENT_MISMATCH
    assert lost.asked == asked


class Credulous:
    """A facilitator that finds everything good, and settles it."""

    def __init__(self) -> None:
        self.asked = 0

    async def verify(self, payment: Payment, offer: Offer) -> Verdict:
        self.asked += 1
        return Verdict(None, payment.authorization.payer)

    async def settle(self, payment: Payment, offer: Offer) -> Receipt:
        self.asked += 1
        return PAID

    async def supported(self) -> tuple[Kind, ...]:
        return ()


class Silent(Credulous):
    """One that never answers when it has settled."""

    async def settle(self, payment: Payment, offer: Offer) -> Receipt:
        await super().settle(payment, offer)
        raise SettlementUnknown("no answer")


async def test_the_receipt_is_shown_for_the_same_payment_only() -> None:
    """Payer and nonce are public once a payment was settled; with another signature they show nothing."""
    seller = Seller(OfflineFacilitator(MemoryLedger(), lambda: NOW), PAYEE, NETWORK)
    terms = seller.terms(PRICE, URL)
    payment = await payment_for(terms.offers[2])
    receipt = await seller.collect(payment, terms)
    for sent, shown in ((payment, receipt), (replace(payment, signature="0x" + "11" * 65), None)):
        with pytest.raises(PaymentRefused) as caught:
            await seller.collect(sent, terms)
        assert (caught.value.failure, caught.value.receipt) == (Failure.NONCE_USED, shown)


async def test_another_signature_does_not_settle_what_is_open() -> None:
    """Not even where a facilitator finds everything good."""
    lost = Silent()
    seller = Seller(lost, PAYEE, NETWORK)
    terms = seller.terms(PRICE, URL)
    payment = await payment_for(terms.offers[2])
    with pytest.raises(SettlementUnknown):
        await seller.collect(payment, terms)
    with pytest.raises(PaymentRefused, match="open for another price or signature"):
        await seller.collect(replace(payment, signature="0x" + "11" * 65), terms)


async def test_a_validity_without_end_is_remembered(tmp_path: Path) -> None:
    """The payer writes it, up to 2**256 - 1, and databases hold no such number."""
    settlements = SqliteSettlements(tmp_path / "sold.db", lambda: NOW)
    seller = Seller(Credulous(), PAYEE, NETWORK, settlements=settlements)
    terms = seller.terms(PRICE, URL)
    payment = await payment_for(terms.offers[2])
    for_ever = replace(payment, authorization=replace(payment.authorization, valid_before=2**256 - 1))
    assert await seller.collect(for_ever, terms) == PAID
    with pytest.raises(PaymentRefused):
        await seller.collect(for_ever, terms)
    await settlements.close()
