"""The official httpx client buys one job: `buyer.py URL SECRET VENDOR KEY PURCHASE ATTEMPTS [die]`.

It runs where x402 is the official SDK, used as its README shows. A purchase has one Idempotency-Key, sent with
every request of it. `ATTEMPTS` is how often the order is placed before it gives up; with `die` the process is gone
when the paid request has been answered and before anybody has read that.
"""

import asyncio
import json
import os
import sys

import httpx
from eth_account import Account
from x402.http.clients.httpx import x402_httpx_transport
from x402.mechanisms.evm import EthAccountSigner
from x402.mechanisms.evm.exact.register import register_exact_evm_client

from x402 import x402Client

URL, SECRET, VENDOR, KEY, PURCHASE, ATTEMPTS = sys.argv[1:7]
DIE = sys.argv[7:] == ["die"]


class Mortal(httpx.AsyncHTTPTransport):
    """A transport whose process does not outlive the answer to a payment: nobody has read it."""

    async def handle_async_request(self, request):
        response = await super().handle_async_request(request)
        if DIE and "payment-signature" in request.headers:
            os._exit(9)
        return response


async def buy():
    client = x402Client()
    register_exact_evm_client(client, EthAccountSigner(Account.from_key(KEY)))
    headers = {"authorization": f"Bearer {SECRET}", "x-vendor-id": VENDOR}
    transport = x402_httpx_transport(client, Mortal(trust_env=False))
    async with httpx.AsyncClient(transport=transport, base_url=URL, headers=headers, timeout=30) as http:
        wanted = {"jobType": "fine_tune", "gpuType": "A100", "maxHours": 1}
        quote = (await http.post("/quote", json=wanted)).json()
        order = {"vendorJobTemplateId": quote["vendorJobTemplateId"], "jobParams": {"gpuType": "A100"}}
        for attempt in range(int(ATTEMPTS)):
            try:
                answer = await http.post("/submit-job", json=order, headers={"idempotency-key": PURCHASE})
            except Exception as exc:
                told = f"attempt {attempt + 1}: {type(exc).__name__}: {exc}"
                continue
            return {"status": answer.status_code, "job": answer.json().get("vendorJobId")}
        return {"error": told}


print(json.dumps(asyncio.run(buy())))
