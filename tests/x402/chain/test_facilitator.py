"""The facilitator on a chain, where the chain does what a real one does not do on demand. See tests/chain too."""

from __future__ import annotations

import httpx
import pytest

from net.strict_json import Json
from tests.x402.chain.standin import Refuse, StandIn, StandInRelayer
from tests.x402.samples import NETWORK, OTHER, PAYEE, PAYER, header_for, offer, payment_for, v1_entry
from x402.chain import facilitator as chain_facilitator
from x402.chain import rpc as chain_rpc
from x402.chain.facilitator import ChainFacilitator
from x402.chain.reader import RpcChain
from x402.decode import decode_payment, offer_from
from x402.eip3009 import transfer_calldata
from x402.errors import (
    ChainUnavailable,
    ChainUnclear,
    FacilitatorError,
    FacilitatorUnavailable,
    SettlementUnknown,
)
from x402.failures import Failure
from x402.selling.facilitator import Kind
from x402.selling.seller import Seller
from x402.wire import Payment


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain_rpc, "_PAUSE_SECONDS", 0)


class Desk:
    """A facilitator, its node and its relayer. Each look at the chain takes a second of its own clock."""

    def __init__(self, confirmations: int = 1, network: str = NETWORK) -> None:
        self.node = StandIn()
        self.relayer = StandInRelayer(self.node)
        self.time = 0
        self.facilitator = ChainFacilitator(
            network,
            RpcChain(self.node.rpc()),
            self.relayer,
            confirmations=confirmations,
            settle_seconds=3,
            sleep=self.sleep,
            monotonic=lambda: self.time,
        )

    async def sleep(self, _: float) -> None:
        self.time += 1

    @property
    def held(self) -> int:
        return self.node.tip.balances.get(PAYEE[2:].lower().rjust(64, "0"), 0)


def call_of(payment: Payment) -> bytes:
    return transfer_calldata(payment.authorization, bytes.fromhex(payment.signature[2:]))


async def test_both_versions_are_settled() -> None:
    desk = Desk()
    assert await desk.facilitator.supported() == (Kind(2, "exact", NETWORK), Kind(1, "exact", "base-sepolia"))
    assert await Desk(network="eip155:42161").facilitator.supported() == (Kind(2, "exact", "eip155:42161"),)
    first = offer_from(v1_entry(), 1)
    header = await header_for(first)
    payment = decode_payment(header.name, header.value)
    assert (await desk.facilitator.settle(payment, first)).success
    assert desk.held == 10_000


async def test_a_seller_is_paid_through_it() -> None:
    desk = Desk()
    terms = Seller(desk.facilitator, PAYEE, NETWORK).terms(10_000, "https://gpu.example/v1/rent")
    receipt = await Seller(desk.facilitator, PAYEE, NETWORK).collect(await payment_for(terms.offers[2]), terms)
    assert (receipt.payer, receipt.amount) == (PAYER, 10_000)


@pytest.mark.parametrize(
    ("changes", "failure"),
    [
        ({"network": "eip155:8453"}, Failure.UNSUPPORTED),
        ({"asset": OTHER}, Failure.UNSUPPORTED),
        ({"extra": {"name": "USD Coin", "version": "2"}}, Failure.DOMAIN_MISMATCH),
        ({"payTo": OTHER}, Failure.RECIPIENT_MISMATCH),
        ({"amount": "10001"}, Failure.AMOUNT_MISMATCH),
    ],
)
async def test_other_terms_are_refused(changes: dict[str, Json], failure: Failure) -> None:
    desk, payment = Desk(), await payment_for(offer())
    assert (await desk.facilitator.verify(payment, offer(**changes))).failure is failure
    assert (await desk.facilitator.settle(payment, offer(**changes))).error_reason == failure.value
    assert desk.relayer.signs == 0


@pytest.mark.parametrize("signature", ["0x", "0x" + "11" * 65, "0x" + "11" * 64, "0x" + "6492" * 40])
async def test_a_forged_payment_has_no_receipt_even_of_a_nonce_that_was_settled(signature: str) -> None:
    """All but the signature can be read on the chain; that must not be enough to be served."""
    desk, payment = Desk(), await payment_for(offer())
    await desk.facilitator.settle(payment, offer())
    a, accepted = payment.authorization, payment.accepted
    forged = Payment(2, "exact", payment.network, a, signature, accepted)
    receipt = await desk.facilitator.settle(forged, offer())
    assert not receipt.success
    assert receipt.error_reason in ("bad_signature", "factory_not_allowed")


async def test_a_contract_with_another_domain_is_refused() -> None:
    desk, payment = Desk(), await payment_for(offer())
    desk.node.answer("eth_call", "0x" + "00" * 32)
    verdict = await desk.facilitator.verify(payment, offer())
    assert verdict.failure is Failure.UNSUPPORTED
    assert "domain" in verdict.message
    assert (await desk.facilitator.verify(payment, offer())).valid


async def test_the_contracts_domain_is_read_once() -> None:
    desk, payment = Desk(), await payment_for(offer())
    for _ in range(2):
        assert (await desk.facilitator.verify(payment, offer())).valid
    assert desk.node.calls["eth_call"] == 5  # the domain, then state and balance each time


async def test_an_answer_that_is_none_is_no_verdict() -> None:
    desk, payment = Desk(), await payment_for(offer())
    desk.node.answer("eth_call", "0x")  # an address without code
    with pytest.raises(FacilitatorError, match="DOMAIN_SEPARATOR"):
        await desk.facilitator.verify(payment, offer())


async def test_what_the_token_would_refuse_is_refused_with_its_reason() -> None:
    desk, payment = Desk(), await payment_for(offer())
    desk.node.answer("eth_simulateV1", [{"calls": [{}, {"status": "0x0", "error": {"message": "paused"}}, {}]}])
    verdict = await desk.facilitator.verify(payment, offer())
    assert (verdict.failure, verdict.message) == (Failure.CHAIN_FAILURE, "the token would refuse it: paused")


async def test_a_fee_that_the_trial_did_not_show_is_seen_in_the_logs() -> None:
    """The money has moved, the payee got less: no success, and the transaction says what happened."""
    desk, payment = Desk(), await payment_for(offer())
    desk.relayer.before_send = lambda: setattr(desk.node, "fee", 1)
    receipt = await desk.facilitator.settle(payment, offer())
    assert (receipt.success, receipt.error_reason) == (False, "amount_mismatch")
    assert receipt.transaction == desk.relayer.sent[0]


async def test_a_transaction_whose_logs_show_no_use_is_no_success() -> None:
    desk, payment = Desk(), await payment_for(offer())
    desk.relayer.before_send = lambda: desk.node.answer(
        "eth_getTransactionReceipt",
        {"transactionHash": "0x" + "11" * 32, "blockNumber": "0x1", "status": "0x1", "logs": []},
    )
    receipt = await desk.facilitator.settle(payment, offer())
    assert (receipt.success, receipt.error_reason) == (False, "nonce_used")


async def test_a_nonce_taken_each_time_ends() -> None:
    desk, payment = Desk(), await payment_for(offer())
    desk.relayer.fails.extend([False] * 3)
    with pytest.raises(SettlementUnknown, match="taken by others each time"):
        await desk.facilitator.settle(payment, offer())
    assert desk.relayer.signs == 3
    assert (await desk.facilitator.settle(payment, offer())).success


async def test_a_transaction_that_the_node_refuses_was_not_sent() -> None:
    desk, payment = Desk(), await payment_for(offer())
    desk.relayer.fails.append(ChainUnclear("out of gas"))
    with pytest.raises(FacilitatorUnavailable, match="nothing was sent"):
        await desk.facilitator.settle(payment, offer())
    assert (await desk.facilitator.settle(payment, offer())).success


async def test_a_refusal_of_what_may_be_out_already_leaves_the_outcome_unknown() -> None:
    desk, payment = Desk(), await payment_for(offer())
    desk.relayer.fails.extend([ChainUnavailable("no answer"), ChainUnclear("mempool full")])
    for _ in range(2):
        with pytest.raises(SettlementUnknown):
            await desk.facilitator.settle(payment, offer())
    assert desk.relayer.signs == 1


async def test_sent_before_and_not_possible_now_is_waited_for() -> None:
    """The payer's balance went elsewhere for a moment; the transaction is out and may be mined all the same."""
    desk, payment = Desk(), await payment_for(offer())
    desk.relayer.fails.append(ChainUnavailable("no answer"))
    with pytest.raises(SettlementUnknown):
        await desk.facilitator.settle(payment, offer())
    balances, desk.node.tip.balances = desk.node.tip.balances, {}
    with pytest.raises(SettlementUnknown, match="not 1 blocks deep after 3 s"):
        await desk.facilitator.settle(payment, offer())
    desk.node.tip.balances = balances
    assert (await desk.facilitator.settle(payment, offer())).success
    assert desk.relayer.signs == 1


async def test_a_reverted_transaction_and_nobody_else_paid() -> None:
    desk, payment = Desk(), await payment_for(offer())
    desk.relayer.before_send = lambda: desk.node.tip.balances.clear()
    receipt = await desk.facilitator.settle(payment, offer())
    assert (receipt.success, receipt.error_reason) == (False, "chain_failure")
    assert receipt.transaction == "0x" + receipt.transaction[2:]


async def test_a_node_that_says_reverted_and_used_at_once_is_not_believed_for_ever() -> None:
    desk, payment = Desk(), await payment_for(offer())
    receipt = await desk.facilitator.settle(payment, offer())
    block, _ = desk.node.tip.mined[receipt.transaction]
    mined: Json = {"transactionHash": receipt.transaction, "blockNumber": hex(block), "status": "0x0"}
    good = desk.node._receipt(receipt.transaction)
    assert isinstance(mined, dict)
    odd: Json = {**mined, "logs": []}
    desk.node.answer("eth_getTransactionReceipt", good, odd, good)
    again = await desk.facilitator.settle(payment, offer())
    assert (again.success, again.error_reason) == (False, "chain_failure")


async def test_moved_by_somebody_else_and_not_confirmed_yet_is_unknown_not_undone() -> None:
    """After the chain went away again, too: nobody may be told that nothing happened."""
    desk, payment = Desk(confirmations=3), await payment_for(offer())
    desk.node.carry_out(call_of(payment))
    with pytest.raises(SettlementUnknown, match="not 3 blocks deep"):
        await desk.facilitator.settle(payment, offer())
    desk.node.answer("eth_getBlockByNumber", Refuse("down"), times=2)
    with pytest.raises(SettlementUnknown, match="may have moved the money"):
        await desk.facilitator.settle(payment, offer())
    desk.node.mine(2)
    assert (await desk.facilitator.settle(payment, offer())).success
    assert desk.relayer.signs == 0


async def test_moved_by_somebody_else_and_taken_away_again_is_sent_by_us() -> None:
    desk, payment = Desk(confirmations=2), await payment_for(offer())
    before = desk.node.snapshot()
    desk.node.carry_out(call_of(payment))
    with pytest.raises(SettlementUnknown):
        await desk.facilitator.settle(payment, offer())
    desk.node.tip = before
    desk.relayer.before_send = lambda: None
    with pytest.raises(SettlementUnknown):
        await desk.facilitator.settle(payment, offer())
    desk.node.mine()
    assert (await desk.facilitator.settle(payment, offer())).transaction == desk.relayer.sent[0]


async def test_expired_by_the_chains_clock_is_refused_for_good_only_when_it_is_over() -> None:
    """Six seconds before the end no new payment is taken; one that was sent may still be mined."""
    desk, payment = Desk(), await payment_for(offer())
    desk.relayer.fails.append(ChainUnavailable("no answer"))
    with pytest.raises(SettlementUnknown):
        await desk.facilitator.settle(payment, offer())
    desk.node.mine(seconds=295)
    with pytest.raises(SettlementUnknown):
        await desk.facilitator.settle(payment, offer())
    desk.node.mine(seconds=5)
    assert (await desk.facilitator.settle(payment, offer())).error_reason == "expired"


async def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain_facilitator, "_MOST_SENT", 2)
    desk = Desk()
    for number in range(4):
        desk.relayer.fails.append(ChainUnavailable("no answer"))
        payment = await payment_for(offer(), nonce=f"0x{number:064x}")
        with pytest.raises(SettlementUnknown):
            await desk.facilitator.settle(payment, offer())
    assert len(desk.facilitator._sent) == 2


async def test_used_elsewhere_cancelled_poor_and_unreachable() -> None:
    """In short; tests/chain has each of them on a real chain."""
    desk, used, cancelled = Desk(), await payment_for(offer()), await payment_for(offer(), nonce="0x" + "ca" * 32)
    other = await payment_for(offer(payTo=OTHER))
    desk.node.carry_out(call_of(other))
    desk.node.cancel(PAYER, cancelled.authorization.nonce)
    for payment in (used, cancelled):
        assert (await desk.facilitator.verify(payment, offer())).failure is Failure.NONCE_USED
        assert (await desk.facilitator.settle(payment, offer())).error_reason == "nonce_used"
    dear = offer(amount="1000001")
    assert (await desk.facilitator.verify(await payment_for(dear), dear)).failure is Failure.NONCE_USED
    rich = await payment_for(dear, nonce="0x" + "dd" * 32)
    assert (await desk.facilitator.verify(rich, dear)).failure is Failure.INSUFFICIENT_FUNDS
    fee, desk.node.fee = offer(amount="50000"), 1
    whole = await payment_for(fee, nonce="0x" + "ee" * 32)
    verdict = await desk.facilitator.verify(whole, fee)
    assert (verdict.failure, verdict.message[:24]) == (Failure.UNSUPPORTED, "of 50000 only 49999 woul")
    desk.node.answer("eth_getBlockByNumber", httpx.ConnectError("down"), times=2)
    with pytest.raises(FacilitatorUnavailable, match="nothing happened"):
        await desk.facilitator.verify(used, offer())


async def test_somebody_else_was_faster() -> None:
    desk, payment = Desk(), await payment_for(offer())
    desk.relayer.before_send = lambda: desk.node.carry_out(call_of(payment), "0x" + "fa" * 32)
    receipt = await desk.facilitator.settle(payment, offer())
    assert (receipt.success, receipt.transaction) == (True, "0x" + "fa" * 32)
    assert desk.held == 10_000
