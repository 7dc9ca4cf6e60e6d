"""The official SDK's worker: `[task, times, url]` per line of stdin, `[seconds, failures, why the last]` per
line of stdout.

Signing and verifying call the SDK's mechanism and codec directly; its client and facilitator, which choose among
mechanisms and run hooks, come on top of that where a request is paid.
"""

import asyncio
import json
import sys
from functools import partial
from time import perf_counter

import httpx
from chainless import facilitator
from eth_account import Account
from x402.http.clients.httpx import x402_httpx_transport
from x402.http.utils import decode_payment_signature_header, encode_payment_signature_header
from x402.mechanisms.evm import EthAccountSigner
from x402.mechanisms.evm.exact import ExactEvmScheme
from x402.mechanisms.evm.exact.register import register_exact_evm_client
from x402.schemas import PaymentPayload, PaymentRequirements, ResourceInfo

from x402 import x402Client

IN_FLIGHT = 32
FAILED = []

ACCOUNT = EthAccountSigner(Account.from_key("0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"))
SCHEME = ExactEvmScheme(ACCOUNT)
REQUIREMENTS = PaymentRequirements(
    scheme="exact",
    network="eip155:84532",
    asset="0x036CbD53842c5426634e7929541eC2318f3dCF7e",
    amount="10000",
    pay_to="0x209693Bc6afc0C5328bA36FaF03C514EF312287C",
    max_timeout_seconds=300,
    extra={"name": "USDC", "version": "2"},
)
RESOURCE = ResourceInfo(url="https://gpu.example/v1/rent")
FACILITATOR = facilitator()
CLIENT = register_exact_evm_client(x402Client(), ACCOUNT)
ENCRYPTION = httpx.create_ssl_context()
CLIENTS = [
    httpx.AsyncClient(
        transport=x402_httpx_transport(CLIENT, httpx.AsyncHTTPTransport(verify=ENCRYPTION)), timeout=60
    )
    for _ in range(IN_FLIGHT)
]


async def timed(times, once):
    seconds = []
    for _ in range(times):
        start = perf_counter()
        if await tried(once):
            seconds.append(perf_counter() - start)
    return seconds


async def tried(once):
    try:
        await once()
    except Exception as exc:
        FAILED.append(f"{type(exc).__name__}: {exc}"[:200])
        return False
    return True


async def signed():
    payload = SCHEME.create_payment_payload(REQUIREMENTS)
    message = PaymentPayload(x402_version=2, payload=payload, accepted=REQUIREMENTS, resource=RESOURCE)
    return encode_payment_signature_header(message)


async def sign(times, url):
    return await timed(times, signed)


async def verify(times, url):
    header = await signed()

    async def once():
        verdict = await FACILITATOR.verify(decode_payment_signature_header(header), REQUIREMENTS)
        if not verdict.is_valid:
            raise RuntimeError(verdict.invalid_reason)

    return await timed(times, once)


async def paid(http, url):
    answer = await http.get(url)
    answer.raise_for_status()
    if "payment-response" not in answer.headers:
        raise RuntimeError("the seller did not settle")


async def plain(http, url):
    (await http.get(url)).raise_for_status()


async def get(times, url):
    return await timed(times, lambda: plain(CLIENTS[0], url))


async def pay(times, url):
    return await timed(times, lambda: paid(CLIENTS[0], url))


async def rush(times, url):
    turns = iter(range(times))

    done = 0

    async def buy(http):
        nonlocal done
        for _ in turns:
            done += await tried(lambda: paid(http, url))

    start = perf_counter()
    await asyncio.gather(*map(buy, CLIENTS))
    return [(perf_counter() - start) / done] if done else []


TASKS = {"sign": sign, "verify": verify, "get": get, "pay": pay, "rush": rush}


async def extended(figures, task, times, url):
    figures.extend(await task(times, url))


async def main():
    for line in sys.stdin:
        name, times, url = json.loads(line)
        FAILED.clear()
        figures = []

        await tried(partial(extended, figures, TASKS[name], times, url))
        print(json.dumps([figures, len(FAILED), FAILED[-1] if FAILED else ""]), flush=True)


asyncio.run(main())
