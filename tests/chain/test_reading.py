"""What a payer reads of a real chain: balances, and what became of an authorization that it signed."""

from __future__ import annotations

import httpx
import pytest

from scripts.demo.local_chain import CHAIN_ID, NETWORK
from scripts.serve.servers import ServerFailed
from tests.chain.bank import DOLLAR, Bank
from tests.chain.node import Node
from x402.chain import search as chain_search
from x402.chain.ports import Cancelled, Unused, Used
from x402.chain.purse import look_up
from x402.chain.reader import RpcChain
from x402.chain.rpc import JsonRpc
from x402.eip3009 import Domain, domain_separator
from x402.errors import ChainUnavailable, FacilitatorError, FacilitatorUnavailable, WrongChain
from x402.purse import Funds, HasCode


async def test_the_tokens_domain_is_the_one_that_is_signed_for(bank: Bank) -> None:
    domain = Domain(bank.token.name, bank.token.version, CHAIN_ID, bank.token.address)
    assert await RpcChain(bank.rpc).domain_separator(bank.token) == domain_separator(domain)


async def test_the_balance_is_the_tokens(bank: Bank) -> None:
    reader = RpcChain(bank.rpc)
    assert await reader.balance(bank.token, bank.payer) == 100 * DOLLAR
    assert await reader.balance(bank.token, bank.payee) == 0


async def test_the_code_of_a_plain_key_is_none_and_that_of_a_token_is_some(bank: Bank) -> None:
    reader = RpcChain(bank.rpc)
    assert await reader.code(bank.payer) == b""
    assert len(await reader.code(bank.token.address)) > 23


async def test_a_delegated_payer_is_found_and_so_is_that_it_no_longer_is(bank: Bank) -> None:
    """x402-rs/x402-rs#26: an EIP-7702 transaction leaves code at the address, another one takes it away."""
    chains = {NETWORK: RpcChain(bank.rpc)}
    bank.delegate(bank.token.address)
    assert await look_up(chains, bank.payer, (bank.token,)) == {bank.token: HasCode(bank.token.address)}
    bank.delegate("0x" + "00" * 20)
    assert await look_up(chains, bank.payer, (bank.token,)) == {bank.token: Funds(100 * DOLLAR)}


async def test_a_node_that_is_down_leaves_the_purse_unknown(bank: Bank, node: Node) -> None:
    node.down = True
    (told,) = (await look_up({NETWORK: RpcChain(bank.rpc)}, bank.payer, (bank.token,))).values()
    assert isinstance(told, ChainUnavailable)


async def test_unused_is_for_ever_when_the_chains_clock_says_so(bank: Bank) -> None:
    """The payer's clock does not matter: a block at `validBefore` or later is what rules the transfer out."""
    payment = await bank.payment(bank.offer())
    reader, ends = RpcChain(bank.rpc), payment.authorization.valid_before
    fate = await reader.fate(bank.token, payment.authorization)
    assert isinstance(fate, Unused)
    assert not fate.for_ever(ends)
    bank.chain.rpc("evm_setNextBlockTimestamp", ends)
    bank.chain.mine()
    fate = await reader.fate(bank.token, payment.authorization)
    assert isinstance(fate, Unused)
    assert fate.for_ever(ends)
    with pytest.raises(ServerFailed, match="reverted"):
        bank.send_in(payment)


async def test_a_use_counts_when_it_is_deep_enough(bank: Bank) -> None:
    payment = await bank.payment(bank.offer())
    reader = RpcChain(bank.rpc, confirmations=3)
    bank.send_in(payment)
    bank.chain.mine()
    assert isinstance(await reader.fate(bank.token, payment.authorization), Unused)
    bank.chain.mine()
    fate = await reader.fate(bank.token, payment.authorization)
    assert isinstance(fate, Used)
    assert fate.received == DOLLAR


async def test_a_use_that_a_reorganisation_took_away_is_none(bank: Bank) -> None:
    payment, before = await bank.payment(bank.offer()), bank.chain.rpc("evm_snapshot")
    bank.send_in(payment)
    reader = RpcChain(bank.rpc)
    assert isinstance(await reader.fate(bank.token, payment.authorization), Used)
    bank.chain.rpc("evm_revert", before)
    bank.chain.mine()
    assert isinstance(await reader.fate(bank.token, payment.authorization), Unused)


async def test_cancelled_is_another_outcome_than_used(bank: Bank) -> None:
    payment = await bank.payment(bank.offer())
    bank.cancel(payment.authorization.nonce)
    assert isinstance(await RpcChain(bank.rpc).fate(bank.token, payment.authorization), Cancelled)


@pytest.mark.parametrize("later", [0, 1, 39, 40, 41])
async def test_a_use_is_found_after_many_blocks(bank: Bank, monkeypatch: pytest.MonkeyPatch, later: int) -> None:
    """The log is looked for from the first block in which it can be, however long ago that was."""
    monkeypatch.setattr(chain_search, "_MOST_BLOCKS", 20)
    monkeypatch.setattr(chain_search, "_FIRST_STEP", 16)
    bank.chain.rpc("anvil_mine", hex(40), hex(60))
    payment = await bank.payment(bank.offer())
    bank.send_in(payment)
    bank.chain.mine(later)
    fate = await RpcChain(bank.rpc).fate(bank.token, payment.authorization)
    assert isinstance(fate, Used)
    assert fate.received == DOLLAR


async def test_another_payers_use_of_the_same_nonce_is_not_ours(bank: Bank) -> None:
    payment = await bank.payment(bank.offer(), nonce="0x" + "11" * 32)
    bank.send_in(payment)
    ours = payment.authorization
    bank.key = "22" * 32
    other = await bank.payment(bank.offer(), nonce=ours.nonce)
    assert isinstance(await RpcChain(bank.rpc).fate(bank.token, other.authorization), Unused)


async def test_wrong_chain_id(bank: Bank, node: Node) -> None:
    """A URL of another chain is a mistake in the settings: nothing is read from it."""
    async with httpx.AsyncClient(trust_env=False) as http:
        chain = RpcChain(JsonRpc(http, [node.url], 8453))
        with pytest.raises(WrongChain, match="serves chain 31337, not 8453"):
            await chain.balance(bank.token, bank.payer)
        bank.facilitator._chain = chain  # type: ignore[misc]
        payment = await bank.payment(bank.offer())
        with pytest.raises(FacilitatorError, match="not 8453"):
            await bank.facilitator.verify(payment, bank.offer())
        with pytest.raises(FacilitatorUnavailable, match="nothing was sent"):
            await bank.facilitator.settle(payment, bank.offer())
    assert bank.held == (100 * DOLLAR, 0)


async def test_the_second_node_is_asked_when_the_first_is_down(bank: Bank, node: Node) -> None:
    async with httpx.AsyncClient(trust_env=False) as http:
        node.down = True
        chain = RpcChain(JsonRpc(http, [node.url, bank.chain.url], CHAIN_ID))
        assert await chain.balance(bank.token, bank.payer) == 100 * DOLLAR


async def test_a_node_that_is_down_is_no_answer(bank: Bank, node: Node) -> None:
    node.down = True
    with pytest.raises(ChainUnavailable):
        await RpcChain(bank.rpc).balance(bank.token, bank.payer)
