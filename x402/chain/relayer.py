"""Who sends transactions and pays their gas, through web3 (`requirements-chain.txt`). For facilitators only.

Nobody else imports this module: web3 takes longer to load than all the rest.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from x402.chain.ports import Signed
from x402.chain.urls import check_url
from x402.errors import ChainUnavailable, ChainUnclear

_RECURSION_LIMIT: Final = sys.getrecursionlimit()
from aiohttp import ClientError, ClientTimeout  # noqa: E402
from eth_account import Account  # noqa: E402
from eth_typing import URI  # noqa: E402
from web3 import AsyncHTTPProvider, AsyncWeb3  # noqa: E402
from web3.exceptions import Web3Exception, Web3RPCError  # noqa: E402
from web3.types import TxParams, Wei  # noqa: E402

sys.setrecursionlimit(_RECURSION_LIMIT)  # py_ecc, below web3, raises it to 100,000, and Python's parsers recurse

__all__ = ["Web3Relayer"]

_CALL_SECONDS: Final = 10.0
_GAS_MARGIN: Final = 1.25
_KNOWN: Final = ("already known", "already imported", "known transaction")
_NONCE_TAKEN: Final = ("nonce too low", "underpriced")


class Web3Relayer:
    """A key that pays gas. Its account should hold enough for that and nothing else."""

    def __init__(self, url: str, private_key: str, chain: int) -> None:
        """`private_key` is 64 hex digits. Raises `ValueError`, which never quotes it."""
        try:
            self._account = Account.from_key(private_key)
        except Exception:  # eth-account's errors quote what they were given
            raise ValueError("the relayer's private key is not 64 hex digits of a key") from None
        self._chain: Final = chain
        timeout = {"timeout": ClientTimeout(total=_CALL_SECONDS)}
        provider = AsyncHTTPProvider(URI(check_url(url)), timeout, exception_retry_configuration=None)
        self._web3: Final = AsyncWeb3(provider)
        self._provider: Final = provider

    def __repr__(self) -> str:
        return f"Web3Relayer({self.address})"

    @property
    def address(self) -> str:
        """The account that pays the gas."""
        return str(self._account.address)

    async def sign(self, to: str, data: bytes) -> Signed:
        """A transaction with this call, after all that this account has sent. Nothing is sent.

        Two that are signed before either is sent have the same nonce, and only one of them can be mined.

        Raises:
            ChainUnavailable: the node did not answer.
            ChainUnclear: it refuses the call, or the account cannot pay the gas.
        """
        eth = self._web3.eth
        payer, contract = AsyncWeb3.to_checksum_address(self.address), AsyncWeb3.to_checksum_address(to)
        call: TxParams = {"from": payer, "to": contract, "data": data, "value": Wei(0)}
        with _translated("prepare a transaction"):
            nonce = await eth.get_transaction_count(payer, "pending")
            gas = await eth.estimate_gas(call)
            tip = await eth.max_priority_fee
            base = (await eth.get_block("latest"))["baseFeePerGas"]
        fields = {
            "chainId": self._chain,
            "nonce": nonce,
            "to": contract,
            "data": data,
            "value": 0,
            "gas": int(gas * _GAS_MARGIN),
            "maxPriorityFeePerGas": tip,
            "maxFeePerGas": 2 * base + tip,  # six full blocks ahead of us cannot price it out (EIP-1559)
        }
        signed = self._account.sign_transaction(fields)
        return Signed("0x" + bytes(signed.hash).hex(), bytes(signed.raw_transaction))

    async def send(self, signed: Signed) -> bool:
        """Hand it to the node. False: another transaction has its nonce, so it must be signed anew.

        Raises:
            ChainUnavailable: the node did not answer; it may have it.
            ChainUnclear: it does not take it.
        """
        try:
            with _translated("send a transaction", _KNOWN + _NONCE_TAKEN):
                await self._web3.eth.send_raw_transaction(signed.raw)
        except Web3RPCError as exc:
            return any(words in str(exc).lower() for words in _KNOWN)
        return True

    async def aclose(self) -> None:
        """Close the connections to the node."""
        await self._provider.disconnect()


@contextmanager
def _translated(what: str, passed: tuple[str, ...] = ()) -> Iterator[None]:
    """Errors of web3 and aiohttp as ours; they may quote the node's URL and its key, so they are not chained.

    A refusal of the node with one of the words in `passed` goes through as it is.
    """
    try:
        yield
    except Web3RPCError as exc:
        if any(words in str(exc).lower() for words in passed):
            raise
        raise ChainUnclear(f"the relayer's node refuses to {what}") from None
    except (Web3Exception, KeyError) as exc:
        raise ChainUnclear(f"the relayer's node gave no answer to {what}: {type(exc).__name__}") from None
    except (TimeoutError, ClientError, OSError) as exc:
        raise ChainUnavailable(f"the relayer could not {what}: {type(exc).__name__}") from None
