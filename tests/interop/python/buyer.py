"""The official httpx client as a process: one JSON command per line of stdin, one JSON outcome per line of stdout.

A command is `{method, url, headers, body, key, follow, cap}`; `cap` false lifts the SDK's limit of $1 per payment.
"""

import asyncio
import json
import sys

from eth_account import Account
from x402.http.clients import x402HttpxClient
from x402.mechanisms.evm import EthAccountSigner
from x402.mechanisms.evm.exact.register import register_exact_evm_client

from x402 import x402Client


async def buy(command):
    client = x402Client()
    if not command.get("cap", True):
        client.set_spend_controls(False)
    register_exact_evm_client(client, EthAccountSigner(Account.from_key(command["key"])))
    async with x402HttpxClient(client, timeout=60, follow_redirects=command.get("follow", False)) as http:
        answer = await http.request(
            command["method"],
            command["url"],
            headers=command.get("headers"),
            content=command["body"].encode() if command.get("body") is not None else None,
        )
        return {"status": answer.status_code, "headers": dict(answer.headers), "body": answer.text}


for line in sys.stdin:
    try:
        outcome = asyncio.run(buy(json.loads(line)))
    except Exception as exc:
        outcome = {"error": f"{type(exc).__name__}: {exc}"}
    print(json.dumps(outcome), flush=True)
