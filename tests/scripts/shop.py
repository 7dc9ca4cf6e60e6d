"""A vendor on a real socket that checks payments for real, settles them in memory, and fails as it is told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from tests.x402.samples import NETWORK, NOW, OTHER, PAYEE, PAYER
from tests.x402.server import Reply, Seen, serving
from x402.selling.offline import MemoryLedger, OfflineFacilitator
from x402.selling.seller import PaymentRefused, Seller, read_payment, receipt_headers
from x402.wire import Payment, Receipt

PRICE: Final = 10_000
GOODS: Final = b'{"answer": 42}'
SIGNED_URL: Final = f"https://files.example/goods?signature={'0123456789' * 100}"
"""Where an object store has the goods."""


@dataclass
class Shop:
    """Asks `price` for `GOODS`. `faults` are what happens to the next paid requests, one each:

    drop            no answer, nothing settled
    drop_settled    settled, no answer
    refuse          402 with the reason "not today"
    pending         402 with a receipt that says settlement_pending
    reverted        402 with a receipt of a transaction that failed
    bare            the goods, settled, without a receipt
    foreign         the goods, with somebody else's receipt
    garbage         the goods, settled, with a receipt that is none
    moved           a redirect
    500, 404        that status, nothing settled
    500_settled     settled, and then status 500
    moved_settled   settled, and a redirect to the goods
    huge_settled    settled, and an answer above every limit
    packed_settled  settled, and a compressed answer
    huge            an answer above every limit
    """

    price: int = PRICE
    faults: list[str] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    free: bool = False
    clock: Callable[[], float] = lambda: float(NOW)
    url: str = ""

    def __post_init__(self) -> None:
        self.ledger = MemoryLedger()
        self._seller = Seller(OfflineFacilitator(self.ledger, clock=lambda: self.clock()), PAYEE, NETWORK)
        self._sold: dict[str, Receipt] = {}

    @property
    def paid(self) -> list[str]:
        """The payments that came, as they came."""
        return [seen.headers["payment-signature"] for seen in self.seen if "payment-signature" in seen.headers]

    async def answer(self, seen: Seen) -> Reply:
        """Sell, or fail."""
        self.seen.append(seen)
        if self.free:
            return Reply(body=GOODS)
        payment = read_payment(seen.headers)
        if payment is None:
            return self._asks("payment required")
        fault = self.faults.pop(0) if self.faults else ""
        if fault in ("drop", "refuse", "pending", "reverted", "moved", "404", "500", "foreign", "huge"):
            return self._fails(fault, payment)
        try:
            receipt = await self._settled(payment)
        except PaymentRefused as exc:
            return self._asks(str(exc))
        if fault == "drop_settled":
            return Reply(body=None)
        if fault == "bare":
            return Reply(body=GOODS)
        if fault == "garbage":
            return Reply(headers={"PAYMENT-RESPONSE": "no base64"}, body=GOODS)
        headers = receipt_headers(2, receipt)
        if fault == "moved_settled":
            return Reply(303, {**headers, "Location": SIGNED_URL}, b"")
        if fault == "huge_settled":
            return Reply(headers={**headers, "Content-Length": str(10**9)}, body=b"x")
        if fault == "packed_settled":
            return Reply(headers={**headers, "Content-Encoding": "gzip"}, body=b"packed")
        return Reply(500 if fault == "500_settled" else 200, headers, GOODS)

    async def _settled(self, payment: Payment) -> Receipt:
        nonce = payment.authorization.nonce
        if nonce not in self._sold:  # the same payment again gets what it got, as good vendors do
            self._sold[nonce] = await self._seller.collect(payment, self._seller.terms(self.price, self.url))
        return self._sold[nonce]

    def _asks(self, why: str) -> Reply:
        headers, body = self._seller.terms(self.price, self.url).challenge(why)
        return Reply(402, headers, body)

    def _fails(self, fault: str, payment: Payment) -> Reply:
        if fault == "drop":
            return Reply(body=None)
        if fault == "refuse":
            return self._asks("not today")
        if fault == "moved":
            return Reply(307, {"Location": "https://elsewhere.example/"}, b"moved")
        if fault == "huge":
            return Reply(headers={"Content-Length": str(10**9)}, body=b"x")
        if fault == "foreign":
            foreign = Receipt(True, "0x" + "12" * 32, NETWORK, payer=OTHER)
            return Reply(headers=receipt_headers(2, foreign), body=GOODS)
        if fault == "reverted":
            failed = Receipt(False, "0x" + "34" * 32, NETWORK, PAYER, error_reason="transaction_failed")
            return Reply(402, receipt_headers(2, failed), b"{}")
        if fault == "pending":
            pending = Receipt(False, "", NETWORK, error_reason="settlement_pending")
            return Reply(402, receipt_headers(2, pending), b"{}")
        return Reply(int(fault), body=b"sorry")


@asynccontextmanager
async def open_shop(**how: object) -> AsyncIterator[Shop]:
    """A shop that is open until the block ends."""
    shop = Shop(**how)  # type: ignore[arg-type]
    async with serving(shop.answer) as url:
        shop.url = f"{url}/goods"
        yield shop
