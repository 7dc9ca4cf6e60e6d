"""Two processes of one seller on real sockets, and a payer that sends its payment to both of them."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from scripts.serve.servers import ServerProcess, clean
from tests.x402.samples import PAYEE, header_for
from tests.x402.server import Reply, Seen, serving
from x402.codec import decode_header
from x402.decode import challenge_from
from x402.negotiation import read_receipt
from x402.selling.desk import FacilitatorDesk
from x402.selling.offline import MemoryLedger, OfflineFacilitator
from x402.wire import PaymentHeader, Receipt

__all__ = ["killed_after_recording", "killed_before_recording", "one_delivery_for_each_payment"]

TRIES: Final = 30


class Victim(ServerProcess):
    """A process that may be killed outright."""

    def kill(self) -> None:
        """SIGKILL: no line of it runs any more."""
        self._running().kill()
        self._running().wait()


@dataclass(frozen=True, slots=True)
class Answer:
    """What a seller said, and the receipt that came along. Status 0: the connection ended without a word."""

    status: int
    receipt: Receipt | None = None


class Payer:
    """Who buys, at as many sellers as it likes."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def sign(self, seller: str) -> PaymentHeader:
        """A payment of what a seller asks for, with a nonce of its own."""
        unpaid = await self._http.post(f"{seller}/goods")
        asked = challenge_from(decode_header("PAYMENT-REQUIRED", unpaid.headers["payment-required"]), 2)
        return await header_for(asked.offers[0], now=int(time.time()), nonce="0x" + secrets.token_hex(32))

    async def pay(self, seller: str, payment: PaymentHeader) -> Answer:
        """Ask for the goods with that payment."""
        try:
            answer = await self._http.post(f"{seller}/goods", headers={payment.name: payment.value})
        except httpx.TransportError:
            return Answer(0)
        return Answer(answer.status_code, read_receipt(answer.headers))

    async def runs(self, seller: str) -> int:
        """How often the seller delivered."""
        return int((await self._http.get(f"{seller}/runs")).text)

    async def moved(self, facilitator: str) -> list[str]:
        """All transfers, in their order."""
        journal = (await self._http.get(f"{facilitator}/journal")).json()
        assert isinstance(journal, list)
        return [str(transfer["transaction"]) for transfer in journal if isinstance(transfer, dict)]


@asynccontextmanager
async def started(process: ServerProcess) -> AsyncIterator[str]:
    """The address of a process, for one block. The loop serves others meanwhile."""
    with process:
        yield await asyncio.to_thread(process.ready)


def seller(directory: Path, facilitator: str, settlements: str, *options: str) -> Victim:
    """One replica."""
    command = ["tests.interop.purser_seller", facilitator, PAYEE, "--settlements", settlements, *options]
    return Victim("seller", command, "/runs", directory, clean({}))


@asynccontextmanager
async def payer() -> AsyncIterator[Payer]:
    """Somebody with a wallet."""
    async with httpx.AsyncClient(timeout=30, trust_env=False) as http:
        yield Payer(http)


async def at_once(buyer: Payer, sellers: Sequence[str], payment: PaymentHeader) -> list[Answer]:
    """What each of them says to the same payment."""
    return await asyncio.gather(*(buyer.pay(each, payment) for each in sellers))


async def one_delivery_for_each_payment(directory: Path, settlements: str) -> None:
    """Thirty payments, each sent to both sellers at once, and to both once more: one 200, all with its receipt."""
    desk = ["gpu_vendor_mock.facilitator", "--port", "0"]
    async with AsyncExitStack() as stack:
        facilitator = await stack.enter_async_context(
            started(ServerProcess("facilitator", desk, "/supported", directory, clean({})))
        )
        both = [
            await stack.enter_async_context(started(seller(directory, facilitator, settlements))) for _ in range(2)
        ]
        buyer = await stack.enter_async_context(payer())
        transactions: list[str] = []
        for _ in range(TRIES):
            payment = await buyer.sign(both[0])
            answers = [*await at_once(buyer, both, payment), *await at_once(buyer, both, payment)]
            assert sorted(answer.status for answer in answers) == [200, 402, 402, 402]
            assert len({answer.receipt for answer in answers}) == 1
            transactions.append(transaction_of(answers[0]))
        assert sum([await buyer.runs(each) for each in both]) == TRIES
        assert await buyer.moved(facilitator) == transactions
        assert len(set(transactions)) == TRIES


def transaction_of(answer: Answer) -> str:
    """Where its receipt says that the money moved."""
    assert answer.receipt is not None
    assert answer.receipt.success
    return answer.receipt.transaction


async def killed_before_recording(directory: Path, settlements: str) -> None:
    """The money has moved, and the seller dies before it hears of it: the other one delivers, once."""
    ledger, victims = MemoryLedger(), list[Victim]()
    desk = FacilitatorDesk(OfflineFacilitator(ledger, time.time))

    async def settle_and_kill(request: Seen) -> Reply:
        status, body = await desk.answer(request.method, request.path, request.body)
        if request.path == "/settle" and victims:
            victims.pop().kill()
            return Reply(body=None)
        return Reply(status, {"Content-Type": "application/json"}, body)

    async with AsyncExitStack() as stack:
        facilitator = await stack.enter_async_context(serving(settle_and_kill))
        victims.append(seller(directory, facilitator, settlements))
        first = await stack.enter_async_context(started(victims[0]))
        other = await stack.enter_async_context(started(seller(directory, facilitator, settlements)))
        buyer = await stack.enter_async_context(payer())
        payment = await buyer.sign(first)
        assert await buyer.pay(first, payment) == Answer(0)
        assert len(ledger.journal) == 1
        answer, again = await buyer.pay(other, payment), await buyer.pay(other, payment)
    assert (answer.status, again.status) == (200, 402)
    assert transaction_of(answer) == transaction_of(again) == ledger.journal[0].transaction
    assert len(ledger.journal) == 1


async def killed_after_recording(directory: Path, settlements: str) -> None:
    """The seller dies before its answer. Nobody can know whether it has delivered; the other shows the receipt."""
    ledger = MemoryLedger()
    desk = FacilitatorDesk(OfflineFacilitator(ledger, time.time))

    async def settle(request: Seen) -> Reply:
        status, body = await desk.answer(request.method, request.path, request.body)
        return Reply(status, {"Content-Type": "application/json"}, body)

    async with AsyncExitStack() as stack:
        facilitator = await stack.enter_async_context(serving(settle))
        first = await stack.enter_async_context(started(seller(directory, facilitator, settlements, "--dies")))
        other = await stack.enter_async_context(started(seller(directory, facilitator, settlements)))
        buyer = await stack.enter_async_context(payer())
        payment = await buyer.sign(first)
        assert await buyer.pay(first, payment) == Answer(0)
        again = await buyer.pay(other, payment)
        assert (again.status, await buyer.runs(other)) == (402, 0)
    assert [transaction_of(again)] == [transfer.transaction for transfer in ledger.journal]
