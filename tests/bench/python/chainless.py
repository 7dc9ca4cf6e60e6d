"""The official facilitator without a chain: its signer says yes at once, so what is measured is the SDK's."""

import secrets

from x402.mechanisms.evm.exact.register import register_exact_evm_facilitator
from x402.mechanisms.evm.types import TransactionReceipt

from x402 import x402Facilitator

TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
USDC = "0x036cbd53842c5426634e7929541ec2318f3dcf7e"


class Token:
    """What `FacilitatorEvmSigner` asks of a chain, for one EIP-3009 token where everybody has enough."""

    def __init__(self):
        self.receipts = {}

    def get_addresses(self):
        return ["0x90F79bf6EB2c4f870365E785982E1f101E93b906"]

    def get_code(self, address):
        return b"\x60" if address.lower() == USDC else b""

    def get_chain_id(self):
        return 84532

    def get_balance(self, address, token_address):
        return 10**12

    def read_contract(self, address, abi, function_name, *args):
        answers = {"name": "USDC", "version": "2", "balanceOf": 10**12, "authorizationState": False}
        return answers.get(function_name)

    def write_contract(self, address, abi, function_name, *args, data_suffix=None):
        transaction = "0x" + secrets.token_hex(32)
        topics = [TRANSFER, *("0x" + "0" * 24 + who[2:].lower() for who in args[:2])]
        log = {"address": address, "topics": topics, "data": f"0x{args[2]:064x}"}
        self.receipts[transaction] = TransactionReceipt(1, 1, transaction, [log])
        return transaction

    def wait_for_transaction_receipt(self, tx_hash):
        return self.receipts.pop(tx_hash)


def facilitator():
    return register_exact_evm_facilitator(x402Facilitator(), Token(), "eip155:84532")
