"""The official facilitator as a process: `facilitator.py`. Prints its address.

The SDK's own verification and settlement; its signer, which would talk to a chain, holds the token's state itself.
"""

import secrets
import socket

import uvicorn
from fastapi import FastAPI, Request
from x402.mechanisms.evm.exact.register import register_exact_evm_facilitator
from x402.mechanisms.evm.types import TransactionReceipt
from x402.schemas.helpers import parse_payment_payload, parse_payment_requirements

from x402 import x402Facilitator

TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"


class Token:
    """What `FacilitatorEvmSigner` asks of a chain, for one EIP-3009 token where everybody has enough."""

    def __init__(self):
        self.used = set()
        self.receipts = {}

    def get_addresses(self):
        return ["0x90F79bf6EB2c4f870365E785982E1f101E93b906"]

    def get_code(self, address):
        return b"\x60" if address.lower() == "0x036cbd53842c5426634e7929541ec2318f3dcf7e" else b""

    def get_chain_id(self):
        return 84532

    def get_balance(self, address, token_address):
        return 10**12

    def read_contract(self, address, abi, function_name, *args):
        if function_name == "transferWithAuthorization":
            if (args[0].lower(), args[5]) in self.used:
                raise ValueError("execution reverted: FiatTokenV2: authorization is used or canceled")
            return None
        if function_name == "authorizationState":
            return (args[0].lower(), args[1]) in self.used
        return {"name": "USDC", "version": "2", "balanceOf": 10**12}[function_name]

    def write_contract(self, address, abi, function_name, *args, data_suffix=None):
        self.read_contract(address, abi, function_name, *args)
        self.used.add((args[0].lower(), args[5]))
        transaction = "0x" + secrets.token_hex(32)
        topics = [TRANSFER, *("0x" + "0" * 24 + who[2:].lower() for who in args[:2])]
        log = {"address": address, "topics": topics, "data": f"0x{args[2]:064x}"}
        self.receipts[transaction] = TransactionReceipt(1, 1, transaction, [log])
        return transaction

    def wait_for_transaction_receipt(self, tx_hash):
        return self.receipts[tx_hash]


facilitator = register_exact_evm_facilitator(x402Facilitator(), Token(), "eip155:84532")
app = FastAPI()


async def parsed(request):
    order = await request.json()
    payload = parse_payment_payload(order["paymentPayload"])
    return payload, parse_payment_requirements(payload.x402_version, order["paymentRequirements"])


@app.get("/supported")
async def supported():
    return facilitator.get_supported().model_dump(by_alias=True, exclude_none=True)


@app.post("/verify")
async def verify(request: Request):
    return (await facilitator.verify(*await parsed(request))).model_dump(by_alias=True, exclude_none=True)


@app.post("/settle")
async def settle(request: Request):
    return (await facilitator.settle(*await parsed(request))).model_dump(by_alias=True, exclude_none=True)


with socket.create_server(("127.0.0.1", 0)) as listening:
    print(f"http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
    uvicorn.Server(uvicorn.Config(app, log_level="error")).run(sockets=[listening])
