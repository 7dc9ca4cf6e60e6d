"""hostile_client against our facilitator on a real EVM chain: transfers are counted by the token, not by answers.

Needs anvil and the compiled token, as `make demo-chain` does.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

import uvicorn

from gpu_vendor_mock.facilitator import facilitator_app
from net.strict_json import Json, JsonObject, parse_object
from scripts.demo.local_chain import LocalChain
from tests.chain.bank import DOLLAR, Bank
from tests.chain.node import node_before
from tests.strangers.hostile_clients import PROBES, presented_again, under_other_terms
from tests.strangers.payments import post, signed
from tests.strangers.table import PASS, Result
from x402.selling.facilitator import Facilitator
from x402.selling.offline import MemoryLedger

__all__ = ["on_chain"]

_DEEP: Final = 5
_AT_ONCE: Final = 10


def on_chain(suite: str) -> list[Result]:
    """All of it on one chain, each part with a token of its own."""
    with LocalChain() as chain:
        return asyncio.run(_results(suite, chain))


async def _results(suite: str, chain: LocalChain) -> list[Result]:
    parts: tuple[Callable[[str, Bank], Awaitable[list[Result]]], ...] = (_again, _at_once, _other_terms, _pending)
    results = []
    async with node_before(chain.url) as node:
        for part in parts:
            async with Bank.open(chain, node) as bank:
                results += await part(suite, bank)
    return results


async def _again(suite: str, bank: Bank) -> list[Result]:
    terms, payments = _terms(bank), [await _payment(bank) for _ in PROBES]
    async with _served(bank.facilitator) as url:
        found = await asyncio.to_thread(presented_again, suite, url, payments, terms, anvil=True)
    return [*found, _transfers(suite, "presented again: a transfer for each payment", bank, len(PROBES))]


async def _at_once(suite: str, bank: Bank) -> list[Result]:
    payment = await _payment(bank)
    async with _served(bank.facilitator) as url:
        answers = await asyncio.gather(*(_settle(url, payment, _terms(bank)) for _ in range(_AT_ONCE)))
    hashes = {str(answer.get("transaction")) for answer in answers}
    same = all(answer.get("success") is True for answer in answers) and len(hashes) == 1
    return [
        _transfers(suite, "ten at once: one transfer", bank, 1),
        Result(suite, "ten at once: one answer", PASS if same else f"{len(hashes)} hashes", str(answers)[:300]),
    ]


async def _other_terms(suite: str, bank: Bank) -> list[Result]:
    payment = await _payment(bank)
    async with _served(bank.facilitator) as url:
        found = await asyncio.to_thread(under_other_terms, suite, url, payment, _terms(bank))
    return [*found, _transfers(suite, "settled, other terms: one transfer", bank, 1)]


async def _pending(suite: str, bank: Bank) -> list[Result]:
    """A settlement that is not deep enough yet has its hash, and becomes the receipt of the same transaction."""
    payment, terms = await _payment(bank), _terms(bank)
    async with _served(bank.confirming(_DEEP)) as url:
        found = await asyncio.to_thread(_presented_while_pending, suite, url, payment, terms)
        pending = await _settle(url, payment, terms)
        bank.chain.mine(_DEEP)
        final = await _settle(url, payment, terms)
    named = pending.get("errorReason") == "settlement_pending" and bool(pending.get("transaction"))
    same = final.get("success") is True and final.get("transaction") == pending.get("transaction")
    return [
        *found,
        Result(suite, "pending: names its transaction", PASS if named else "does not", str(pending)),
        Result(suite, "final: the same transaction", PASS if same else "another", str(final)),
        _transfers(suite, "pending and final: one transfer", bank, 1),
    ]


def _presented_while_pending(suite: str, url: str, payment: dict[str, Json], terms: JsonObject) -> list[Result]:
    found = presented_again(suite, url, [payment], terms, probes=["re_present_same_auth"], anvil=True)
    return [Result(suite, f"pending: {each.check}", each.outcome, each.detail) for each in found]


def _terms(bank: Bank) -> JsonObject:
    return bank.offer().raw


async def _payment(bank: Bank) -> dict[str, Json]:
    return await asyncio.to_thread(signed, _terms(bank), now=bank.now, key=bank.key)


async def _settle(url: str, payment: JsonObject, terms: JsonObject) -> dict[str, Json]:
    order: JsonObject = {"x402Version": 2, "paymentPayload": payment, "paymentRequirements": terms}
    return parse_object((await asyncio.to_thread(post, f"{url}/settle", order)).body)


def _transfers(suite: str, check: str, bank: Bank, wanted: int) -> Result:
    moved = bank.held[1] // DOLLAR
    return Result(suite, check, PASS if moved == wanted else f"{moved} transfers")


@asynccontextmanager
async def _served(facilitator: Facilitator) -> AsyncIterator[str]:
    """The facilitator on a free port, in this loop: it shares the chain's token with us."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        app = facilitator_app(facilitator, MemoryLedger())
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            await serving
