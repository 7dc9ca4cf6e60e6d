"""What most tests on a chain need: a token, a payer who holds some, payments, and a facilitator."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx
from eth_account import Account

from net.strict_json import Json
from scripts.demo.local_chain import CHAIN_ID, NETWORK, RELAYER_KEY, LocalChain
from tests.chain.node import Node
from tests.x402.samples import entry, payment_for
from x402.chain.facilitator import ChainFacilitator
from x402.chain.reader import RpcChain
from x402.chain.relayer import Web3Relayer
from x402.chain.rpc import JsonRpc
from x402.client import BoundedTransport
from x402.decode import offer_from
from x402.eip3009 import Domain, domain_separator, transfer_calldata
from x402.keccak import keccak256
from x402.networks import Asset, register
from x402.secp256k1 import SigningKey
from x402.wire import Offer, Payment

DOLLAR = 1_000_000
_CANCEL_TYPE = b"CancelAuthorization(address authorizer,bytes32 nonce)"
_numbers = itertools.count(1)


@dataclass
class Bank:
    """A payer with a hundred dollars, a payee with none, and a facilitator before whose node a door stands."""

    chain: LocalChain
    token: Asset
    rpc: JsonRpc
    relayer: Web3Relayer
    facilitator: ChainFacilitator
    key: str = field(default_factory=lambda: secrets.token_hex(32))
    payee: str = field(default_factory=lambda: SigningKey(secrets.token_bytes(32)).address)

    @classmethod
    @asynccontextmanager
    async def open(cls, chain: LocalChain, node: Node, *, fee: int = 0) -> AsyncIterator[Bank]:
        """A bank on `chain`, which is reached through `node`."""
        token = chain.deploy(f"Dollar {next(_numbers)}", "2", fee=fee)
        register(token)
        transport = BoundedTransport(httpx.AsyncHTTPTransport())
        relayer = Web3Relayer(node.url, RELAYER_KEY, CHAIN_ID)
        async with httpx.AsyncClient(transport=transport, trust_env=False) as http:
            rpc = JsonRpc(http, [node.url], CHAIN_ID)
            facilitator = ChainFacilitator(NETWORK, RpcChain(rpc), relayer, settle_seconds=2, poll_seconds=0.02)
            bank = cls(chain, token, rpc, relayer, facilitator)
            chain.mint(token, bank.payer, 100 * DOLLAR)
            try:
                yield bank
            finally:
                await relayer.aclose()

    def confirming(
        self, blocks: int, between: Callable[[int], object] = lambda _: None, looks: int = 20
    ) -> ChainFacilitator:
        """The facilitator of somebody who waits for `blocks` blocks, `looks` times.

        `between` is called between two looks at the chain with the number of looks so far; nobody sleeps.
        """
        looked = 0

        async def sleep(_: float) -> None:
            nonlocal looked
            looked += 1
            between(looked)

        return ChainFacilitator(
            NETWORK,
            RpcChain(self.rpc),
            self.relayer,
            confirmations=blocks,
            settle_seconds=looks,
            sleep=sleep,
            monotonic=lambda: looked,
        )

    @property
    def payer(self) -> str:
        return SigningKey(bytes.fromhex(self.key)).address

    @property
    def held(self) -> tuple[int, int]:
        """What payer and payee hold now."""
        return self.chain.balance(self.token, self.payer), self.chain.balance(self.token, self.payee)

    @property
    def now(self) -> int:
        """The chain's clock."""
        block = self.chain.rpc("eth_getBlockByNumber", "latest", False)
        assert isinstance(block, dict)
        return int(str(block["timestamp"]), 16)

    def offer(self, dollars: int = 1, **changes: Json) -> Offer:
        usual: dict[str, Json] = {
            "network": NETWORK,
            "asset": self.token.address,
            "amount": str(dollars * DOLLAR),
            "payTo": self.payee,
            "extra": {"name": self.token.name, "version": self.token.version},
        }
        return offer_from(entry(**(usual | changes)), 2)

    async def payment(self, offer: Offer, *, nonce: str | None = None, now: int | None = None) -> Payment:
        """A payment of `offer`, signed at `now` (the chain's clock), valid for 300 s and 600 s into the past."""
        return await payment_for(
            offer, now=self.now if now is None else now, nonce=nonce or "0x" + secrets.token_hex(32), key=self.key
        )

    def send_in(self, payment: Payment) -> None:
        """Somebody else settles the payment: anyone who holds an authorization may."""
        call = transfer_calldata(payment.authorization, bytes.fromhex(payment.signature[2:]))
        self._transact("0x" + call.hex())

    def cancel(self, nonce: str) -> None:
        """The payer cancels an authorization, whether it was signed or not."""
        word = bytes.fromhex(nonce[2:])
        payer = bytes(12) + bytes.fromhex(self.payer[2:])
        domain = Domain(self.token.name, self.token.version, CHAIN_ID, self.token.address)
        struct = keccak256(keccak256(_CANCEL_TYPE) + payer + word)
        signature = SigningKey(bytes.fromhex(self.key)).sign(
            keccak256(b"\x19\x01" + domain_separator(domain) + struct)
        )
        call = bytes.fromhex("5a049a70") + payer + word + signature[64].to_bytes(32) + signature[:64]
        self._transact("0x" + call.hex())

    def delegate(self, to: str) -> None:
        """Give the payer's address the code at `to`, by an EIP-7702 transaction; the zero address takes it."""
        signer, relayer = Account.from_key(self.key), Account.from_key(RELAYER_KEY)
        nonces = [
            int(str(self.chain.rpc("eth_getTransactionCount", each.address, "latest")), 16)
            for each in (signer, relayer)
        ]
        authorization = signer.sign_authorization({"chainId": CHAIN_ID, "address": to, "nonce": nonces[0]})
        order = {
            "type": 4,
            "chainId": CHAIN_ID,
            "nonce": nonces[1],
            "gas": 200_000,
            "maxFeePerGas": 10**11,
            "maxPriorityFeePerGas": 10**9,
            "to": relayer.address,
            "value": 0,
            "data": "0x",
            "authorizationList": [authorization],
        }
        signed = relayer.sign_transaction(order)
        self.chain.rpc("eth_sendRawTransaction", "0x" + signed.raw_transaction.hex())

    def _transact(self, data: str) -> None:
        self.chain._send({"to": self.token.address, "data": data})
