"""A seller that behaves as a test tells it, on a socket of its own, and keeps every payment that it is sent."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from net.strict_json import Json
from tests.x402.samples import entry
from tests.x402.server import Reply, Seen, serving
from x402.codec import decode_header, encode_header, object_field
from x402.wire import CHALLENGE_HEADER, PAYMENT_HEADERS

GOODS = Reply(200, {"Content-Type": "application/json"}, b'{"goods":"delivered"}')


@dataclass(frozen=True, slots=True)
class Paid:
    """A payment as it came, whether it could be settled or not."""

    message: dict[str, Json]

    @property
    def version(self) -> Json:
        return self.message["x402Version"]

    @property
    def authorization(self) -> dict[str, Json]:
        return object_field(object_field(self.message, "payload"), "authorization")


async def _sell(_payment: Paid) -> Reply:
    return GOODS


@dataclass(slots=True)
class Trap:
    """Answers unpaid requests with `challenge` and paid ones with what `on_paid` says."""

    url: str = ""
    challenge: Reply = GOODS
    on_paid: Callable[[Paid], Awaitable[Reply]] = _sell
    paid: list[Paid] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)

    @property
    def goods(self) -> str:
        """Where to buy."""
        return f"{self.url}/goods"

    def ask(self, *accepts: Json, headers: Mapping[str, str] | None = None, **parts: Json) -> None:
        """Challenge with version 2 terms in the header; one usual entry when none is given."""
        message: dict[str, Json] = {"x402Version": 2, "error": "pay", "resource": {"url": self.goods}}
        message |= {"accepts": list(accepts) or [entry()], **parts}
        self.challenge = Reply(402, {CHALLENGE_HEADER: encode_header(message), **(headers or {})})

    async def answer(self, request: Seen) -> Reply:
        """One request."""
        self.seen.append(request)
        for name in PAYMENT_HEADERS.values():
            value = request.headers.get(name.lower())
            if value is not None:
                self.paid.append(Paid(decode_header(name, value)))
                return await self.on_paid(self.paid[-1])
        return self.challenge

    @property
    def prices(self) -> list[Json]:
        """What the payments so far are made out for, in order."""
        return [payment.authorization["value"] for payment in self.paid]


@asynccontextmanager
async def trap() -> AsyncIterator[Trap]:
    """A trap that asks for the usual price until it is told otherwise."""
    made = Trap()
    async with serving(made.answer) as url:
        made.url = url
        made.ask()
        yield made
