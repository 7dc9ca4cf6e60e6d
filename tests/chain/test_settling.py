"""A facilitator that settles on a real chain: money moves once, and what is not known is said to be unknown."""

from __future__ import annotations

import asyncio

import pytest

from scripts.demo.local_chain import CHAIN_ID, RELAYER_KEY, LocalChain
from tests.chain.bank import DOLLAR, Bank
from tests.chain.node import Node
from x402.chain.facilitator import ChainFacilitator
from x402.chain.ports import Unused, Used
from x402.chain.reader import RpcChain
from x402.chain.relayer import Web3Relayer
from x402.errors import FacilitatorUnavailable, SettlementUnknown
from x402.failures import Failure
from x402.selling.facilitator import Kind


async def test_a_settled_payment_has_moved_to_the_micro_dollar(bank: Bank) -> None:
    offer = bank.offer(1, amount="1234567")
    payment = await bank.payment(offer)
    assert (await bank.facilitator.verify(payment, offer)).valid
    receipt = await bank.facilitator.settle(payment, offer)
    assert (receipt.success, receipt.amount, receipt.network) == (True, 1_234_567, "eip155:31337")
    assert bank.held == (100 * DOLLAR - 1_234_567, 1_234_567)
    fate = await RpcChain(bank.rpc).fate(bank.token, payment.authorization)
    assert isinstance(fate, Used)
    assert (fate.transaction, fate.received) == (receipt.transaction, 1_234_567)


async def test_what_is_settled_here_is_told(bank: Bank) -> None:
    assert await bank.facilitator.supported() == (Kind(2, "exact", "eip155:31337"),)


async def test_settling_again_gives_the_first_outcome_and_sends_nothing(bank: Bank, node: Node) -> None:
    payment = await bank.payment(bank.offer())
    first = await bank.facilitator.settle(payment, bank.offer())
    assert await bank.facilitator.settle(payment, bank.offer()) == first
    assert (
        await bank.confirming(1).settle(payment, bank.offer()) == first
    )  # another process, which remembers nothing
    assert node.calls["eth_sendRawTransaction"] == 1
    assert bank.held == (99 * DOLLAR, DOLLAR)


async def test_a_payment_settled_before_is_no_payment_for_anything_else(bank: Bank) -> None:
    payment = await bank.payment(bank.offer())
    await bank.facilitator.settle(payment, bank.offer())
    assert (await bank.facilitator.verify(payment, bank.offer())).failure is Failure.NONCE_USED


async def test_the_same_payment_settled_ten_times_at_once_moves_once(bank: Bank, node: Node) -> None:
    payment = await bank.payment(bank.offer())
    receipts = await asyncio.gather(*(bank.facilitator.settle(payment, bank.offer()) for _ in range(10)))
    assert len(set(receipts)) == 1
    assert receipts[0].success
    assert node.calls["eth_sendRawTransaction"] == 1


async def test_many_payments_at_once_each_have_a_nonce_of_the_relayer(bank: Bank) -> None:
    payments = [await bank.payment(bank.offer()) for _ in range(8)]
    receipts = await asyncio.gather(*(bank.facilitator.settle(each, bank.offer()) for each in payments))
    assert len({receipt.transaction for receipt in receipts if receipt.success}) == 8
    assert bank.held == (92 * DOLLAR, 8 * DOLLAR)


async def test_settled_but_the_answer_was_lost(bank: Bank, node: Node) -> None:
    """The node took the transaction and its answer never came: asked again, it is the same transaction."""
    payment = await bank.payment(bank.offer())
    node.mute.add("eth_sendRawTransaction")
    with pytest.raises(SettlementUnknown, match=r"0x[0-9a-f]{64} may have moved the money"):
        await bank.facilitator.settle(payment, bank.offer())
    node.mute.clear()
    receipt = await bank.facilitator.settle(payment, bank.offer())
    assert receipt.success
    assert bank.held == (99 * DOLLAR, DOLLAR)
    assert node.calls["eth_sendRawTransaction"] == 1


async def test_a_transaction_that_never_arrived_is_sent_again_as_it_was(bank: Bank, node: Node) -> None:
    payment = await bank.payment(bank.offer())
    node.deaf.add("eth_sendRawTransaction")
    with pytest.raises(SettlementUnknown) as lost:
        await bank.facilitator.settle(payment, bank.offer())
    assert bank.held == (100 * DOLLAR, 0)
    node.deaf.clear()
    receipt = await bank.facilitator.settle(payment, bank.offer())
    assert receipt.success
    assert receipt.transaction in str(lost.value)


async def test_a_transaction_that_arrived_late_is_not_signed_anew(bank: Bank, node: Node) -> None:
    """Mined just before it was sent again: the node calls its nonce used, and it is the one that used it."""
    payment = await bank.payment(bank.offer())
    node.deaf.add("eth_sendRawTransaction")
    with pytest.raises(SettlementUnknown) as lost:
        await bank.facilitator.settle(payment, bank.offer())
    node.deaf.clear()
    [(_, raw)] = node.dropped
    assert isinstance(raw, list)
    node.before["eth_sendRawTransaction"] = lambda: bank.chain.rpc("eth_sendRawTransaction", *raw)
    receipt = await bank.facilitator.settle(payment, bank.offer())
    assert receipt.success
    assert receipt.transaction in str(lost.value)
    assert node.calls["eth_sendRawTransaction"] == 1


async def test_chain_down_in_mid_payment(bank: Bank, node: Node) -> None:
    """It went away between sending and the receipt: the outcome is unknown until it is back."""
    payment = await bank.payment(bank.offer())
    node.deaf.add("eth_getTransactionReceipt")
    with pytest.raises(SettlementUnknown):
        await bank.facilitator.settle(payment, bank.offer())
    node.deaf.clear()
    node.down = True
    with pytest.raises(SettlementUnknown):
        await bank.facilitator.settle(payment, bank.offer())
    node.down = False
    assert (await bank.facilitator.settle(payment, bank.offer())).success
    assert bank.held == (99 * DOLLAR, DOLLAR)


async def test_chain_down_before_anything_was_sent(bank: Bank, node: Node) -> None:
    payment = await bank.payment(bank.offer())
    node.down = True
    with pytest.raises(FacilitatorUnavailable, match="nothing happened"):
        await bank.facilitator.verify(payment, bank.offer())
    with pytest.raises(FacilitatorUnavailable, match="nothing was sent"):
        await bank.facilitator.settle(payment, bank.offer())


async def test_a_reorganisation_takes_the_transaction_away_and_it_is_settled_again(bank: Bank) -> None:
    payment = await bank.payment(bank.offer())
    before = bank.chain.rpc("evm_snapshot")
    assert (await bank.facilitator.settle(payment, bank.offer())).success
    bank.chain.rpc("evm_revert", before)
    bank.chain.mine()
    assert bank.held == (100 * DOLLAR, 0)
    assert (await bank.facilitator.settle(payment, bank.offer())).success
    assert bank.held == (99 * DOLLAR, DOLLAR)


async def test_a_reorganisation_before_the_confirmations_leaves_the_outcome_unknown(bank: Bank) -> None:
    payment, before = await bank.payment(bank.offer()), bank.chain.rpc("evm_snapshot")

    def reorganise(look: int) -> None:
        if look == 1:
            assert bank.held == (99 * DOLLAR, DOLLAR)
            bank.chain.rpc("evm_revert", before)
        bank.chain.mine()

    facilitator = bank.confirming(3, reorganise, looks=4)
    with pytest.raises(SettlementUnknown, match="not 3 blocks deep"):
        await facilitator.settle(payment, bank.offer())
    assert bank.held == (100 * DOLLAR, 0)
    assert (await facilitator.settle(payment, bank.offer())).success
    assert bank.held == (99 * DOLLAR, DOLLAR)


async def test_confirmations_are_waited_for(bank: Bank) -> None:
    payment, looks = await bank.payment(bank.offer()), []

    def mine(look: int) -> None:
        looks.append(look)
        bank.chain.mine()

    assert (await bank.confirming(3, mine).settle(payment, bank.offer())).success
    assert looks == [1, 2]


async def test_somebody_else_sent_the_same_authorization_in(bank: Bank, node: Node) -> None:
    """Anyone who holds an authorization may settle it; the payee is paid, so the payment is."""
    payment = await bank.payment(bank.offer())
    bank.send_in(payment)
    receipt = await bank.facilitator.settle(payment, bank.offer())
    assert receipt.success
    assert node.calls["eth_sendRawTransaction"] == 0
    assert bank.held == (99 * DOLLAR, DOLLAR)


async def test_somebody_else_was_faster_by_a_block(bank: Bank, node: Node) -> None:
    """Our transaction reverts; the receipt is that of the one which moved the money."""
    payment = await bank.payment(bank.offer())
    node.before["eth_sendRawTransaction"] = lambda: bank.send_in(payment)
    receipt = await bank.facilitator.settle(payment, bank.offer())
    assert receipt.success
    fate = await RpcChain(bank.rpc).fate(bank.token, payment.authorization)
    assert isinstance(fate, Used)
    assert fate.transaction == receipt.transaction
    assert bank.held == (99 * DOLLAR, DOLLAR)


async def test_nonce_used_elsewhere(bank: Bank) -> None:
    """The payer spent the nonce on another payee: refused, and nothing is sent."""
    nonce = "0x" + "5e" * 32
    other = bank.offer(payTo="0x90F79bf6EB2c4f870365E785982E1f101E93b906")
    bank.send_in(await bank.payment(other, nonce=nonce))
    payment = await bank.payment(bank.offer(), nonce=nonce)
    assert (await bank.facilitator.verify(payment, bank.offer())).failure is Failure.NONCE_USED
    receipt = await bank.facilitator.settle(payment, bank.offer())
    assert (receipt.success, receipt.error_reason) == (False, "nonce_used")
    assert bank.held == (99 * DOLLAR, 0)


async def test_cancelled_authorization(bank: Bank) -> None:
    payment = await bank.payment(bank.offer())
    bank.cancel(payment.authorization.nonce)
    assert (await bank.facilitator.verify(payment, bank.offer())).failure is Failure.NONCE_USED
    receipt = await bank.facilitator.settle(payment, bank.offer())
    assert (receipt.success, receipt.error_reason, receipt.transaction) == (False, "nonce_used", "")
    assert bank.held == (100 * DOLLAR, 0)


async def test_balance_too_low(bank: Bank, node: Node) -> None:
    offer = bank.offer(101)
    payment = await bank.payment(offer)
    assert (await bank.facilitator.verify(payment, offer)).failure is Failure.INSUFFICIENT_FUNDS
    assert (await bank.facilitator.settle(payment, offer)).error_reason == "insufficient_funds"
    assert node.calls["eth_sendRawTransaction"] == 0


async def test_the_balance_went_elsewhere_after_the_transaction_was_sent(bank: Bank, node: Node) -> None:
    """Sent, and reverted when it was mined: refused, with the transaction that shows it."""
    offer = bank.offer(100)
    payment = await bank.payment(offer)
    rival = await bank.payment(bank.offer(1))
    node.before["eth_sendRawTransaction"] = lambda: bank.send_in(rival)
    receipt = await bank.facilitator.settle(payment, offer)
    assert (receipt.success, receipt.error_reason) == (False, "chain_failure")
    assert len(receipt.transaction) == 66
    assert bank.held == (99 * DOLLAR, DOLLAR)


async def test_token_that_takes_a_fee(chain: LocalChain, node: Node, bank: Bank) -> None:
    """The payee would get less than was signed: refused before anything moves."""
    async with Bank.open(chain, node, fee=10) as taxed:
        payment = await taxed.payment(taxed.offer())
        verdict = await taxed.facilitator.verify(payment, taxed.offer())
        assert verdict.failure is Failure.UNSUPPORTED
        assert "of 1000000 only 990000 would reach the payee" in verdict.message
        assert not (await taxed.facilitator.settle(payment, taxed.offer())).success
        assert taxed.held == (100 * DOLLAR, 0)
        taxed.send_in(payment)  # somebody who does not look sends it in all the same
        receipt = await taxed.facilitator.settle(payment, taxed.offer())
        assert (receipt.success, receipt.error_reason) == (False, "amount_mismatch")
        fate = await RpcChain(taxed.rpc).fate(taxed.token, payment.authorization)
        assert isinstance(fate, Used)
        assert fate.received == 990_000


@pytest.mark.parametrize(("skew", "failure"), [(-700, Failure.EXPIRED), (700, Failure.NOT_YET_VALID)])
async def test_clock_skew_is_judged_by_the_chains_clock(bank: Bank, skew: int, failure: Failure) -> None:
    """A payer whose clock is wrong by more than the window signs what the chain would not take."""
    payment = await bank.payment(bank.offer(), now=bank.now + skew)
    assert (await bank.facilitator.verify(payment, bank.offer())).failure is failure
    assert (await bank.facilitator.settle(payment, bank.offer())).error_reason == failure.value


async def test_a_payer_whose_clock_is_ahead_a_little_can_pay(bank: Bank) -> None:
    payment = await bank.payment(bank.offer(), now=bank.now + 500)
    assert (await bank.facilitator.settle(payment, bank.offer())).success


async def test_a_transaction_that_expired_unsent_is_refused_for_good(bank: Bank, node: Node) -> None:
    payment = await bank.payment(bank.offer())
    node.deaf.add("eth_sendRawTransaction")
    with pytest.raises(SettlementUnknown):
        await bank.facilitator.settle(payment, bank.offer())
    node.deaf.clear()
    bank.chain.rpc("evm_increaseTime", 400)
    bank.chain.mine()
    assert (await bank.facilitator.settle(payment, bank.offer())).error_reason == "expired"
    fate = await RpcChain(bank.rpc).fate(bank.token, payment.authorization)
    assert isinstance(fate, Unused)
    assert fate.for_ever(payment.authorization.valid_before)


async def test_a_nonce_of_the_relayer_that_others_took_is_replaced(bank: Bank, node: Node) -> None:
    """Two facilitators with one key: the second's transaction was signed for a nonce that the first has used."""
    mine, theirs = await bank.payment(bank.offer()), await bank.payment(bank.offer())
    node.deaf.add("eth_sendRawTransaction")
    with pytest.raises(SettlementUnknown):
        await bank.facilitator.settle(mine, bank.offer())
    node.deaf.clear()
    assert (await bank.confirming(1).settle(theirs, bank.offer())).success
    assert (await bank.facilitator.settle(mine, bank.offer())).success
    assert bank.held == (98 * DOLLAR, 2 * DOLLAR)


async def test_a_relayer_that_cannot_pay_gas_sends_nothing(bank: Bank, node: Node) -> None:
    poor = Web3Relayer(node.url, "0x" + "77" * 32, CHAIN_ID)
    facilitator = ChainFacilitator("eip155:31337", RpcChain(bank.rpc), poor)
    payment = await bank.payment(bank.offer())
    try:
        with pytest.raises(FacilitatorUnavailable, match="nothing was sent"):
            await facilitator.settle(payment, bank.offer())
    finally:
        await poor.aclose()
    assert (await bank.facilitator.settle(payment, bank.offer())).success


async def test_no_key_shows(bank: Bank) -> None:
    assert RELAYER_KEY[2:] not in repr(bank.relayer)
    with pytest.raises(ValueError, match="not 64 hex digits") as refused:
        Web3Relayer("http://127.0.0.1:1", "0xnot-a-key-but-secret", CHAIN_ID)
    assert refused.value.__cause__ is None
    assert "secret" not in str(refused.value)
