"""What a chain says of an authorization, and what is concluded when it says something odd."""

from __future__ import annotations

import httpx
import pytest

from net.strict_json import Json
from tests.x402.chain.standin import BLOCK_SECONDS, Refuse, StandIn, log_json, usdc
from tests.x402.samples import NOW, OTHER, PAYEE, PAYER, USDC, offer, payment_for
from x402.chain import rpc as chain_rpc
from x402.chain.logs import AUTHORIZATION_USED, TRANSFER, Log, logs_of, received, topic
from x402.chain.ports import Block, Cancelled, Fate, Unused, Used
from x402.chain.reader import RpcChain, Trial
from x402.chain.rpc import RpcRefused
from x402.eip3009 import transfer_calldata
from x402.errors import ChainUnavailable, ChainUnclear
from x402.wire import Payment

HASH = "0x" + "77" * 32


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain_rpc, "_PAUSE_SECONDS", 0)


def call_of(payment: Payment) -> bytes:
    return transfer_calldata(payment.authorization, bytes.fromhex(payment.signature[2:]))


async def fate_of(node: StandIn, payment: Payment, confirmations: int = 1) -> Fate:
    return await RpcChain(node.rpc(), confirmations).fate(usdc(), payment.authorization)


async def test_unused() -> None:
    node, payment = StandIn(), await payment_for(offer())
    fate = await fate_of(node, payment)
    assert isinstance(fate, Unused)
    assert fate.seen.time == NOW
    assert not fate.for_ever(NOW + 1)
    assert fate.for_ever(NOW)


async def test_used() -> None:
    node, payment = StandIn(), await payment_for(offer())
    transaction = node.carry_out(call_of(payment))
    assert await fate_of(node, payment) == Used(transaction, 2, 10_000)


async def test_cancelled() -> None:
    node, payment = StandIn(), await payment_for(offer())
    transaction = node.cancel(PAYER, payment.authorization.nonce)
    assert await fate_of(node, payment) == Cancelled(transaction)


async def test_the_state_is_that_of_the_block_with_the_confirmations() -> None:
    node, payment = StandIn(), await payment_for(offer())
    node.carry_out(call_of(payment))
    assert isinstance(await fate_of(node, payment, 2), Unused)
    node.mine()
    assert isinstance(await fate_of(node, payment, 2), Used)


async def test_a_chain_younger_than_the_confirmations_is_read_at_its_start() -> None:
    fate = await fate_of(StandIn(), await payment_for(offer()), 99)
    assert isinstance(fate, Unused)
    assert fate.seen.number == 0


def test_at_least_one_confirmation() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        RpcChain(StandIn().rpc(), 0)


@pytest.mark.parametrize("blocks", [0, 1, 254, 255, 256, 257, 1_200, 2_500])
async def test_a_use_is_found_however_deep_it_lies(blocks: int) -> None:
    """Few calls find it: neither the whole chain nor every block is asked for."""
    node = StandIn()
    node.mine(3_000)
    payment = await payment_for(offer(), now=node.tip.times[-1])
    transaction = node.carry_out(call_of(payment))
    node.mine(blocks)
    fate = await fate_of(node, payment)
    assert isinstance(fate, Used)
    assert fate.transaction == transaction
    assert node.calls["eth_getBlockByNumber"] < 25
    assert node.calls["eth_getLogs"] <= 1 + (blocks + 300 + 1) // 1_000


async def test_a_use_right_after_valid_after_is_found() -> None:
    node = StandIn()
    node.mine(400)
    payment = await payment_for(offer(), now=node.tip.times[-1] + 600 - BLOCK_SECONDS + 1)
    transaction = node.carry_out(call_of(payment))
    assert await fate_of(node, payment) == Used(transaction, 402, 10_000)


async def test_the_receipt_of_a_named_transaction_is_asked_for_first() -> None:
    """No search for logs, which nodes bound so differently."""
    node, payment = StandIn(log_blocks=0), await payment_for(offer())
    transaction = node.carry_out(call_of(payment))
    node.mine(500)
    chain = RpcChain(node.rpc())
    assert await chain.fate(usdc(), payment.authorization, transaction) == Used(transaction, 2, 10_000)
    assert node.calls["eth_getLogs"] == 0


@pytest.mark.parametrize("said", ["unknown", "another's", "odd", "refused", "reverted"])
async def test_a_named_transaction_that_shows_nothing_leaves_it_to_the_logs(said: str) -> None:
    """A vendor may name any transaction: its word decides nothing."""
    node, payment = StandIn(), await payment_for(offer())
    other = await payment_for(offer(amount="7"), nonce="0x" + "cd" * 32)
    named = node.carry_out(call_of(other)) if said == "another's" else HASH
    transaction = node.carry_out(call_of(payment))
    if said == "reverted":
        named = node.carry_out(call_of(payment))
    if said == "odd":
        node.answer("eth_getTransactionReceipt", {"status": "?"})
    if said == "refused":
        node.answer("eth_getTransactionReceipt", Refuse("not a hash that is indexed here"), times=2)
    fate = await RpcChain(node.rpc()).fate(usdc(), payment.authorization, named)
    assert isinstance(fate, Used)
    assert (fate.transaction, fate.received) == (transaction, 10_000)


async def test_a_named_transaction_without_the_confirmations_is_not_used_yet() -> None:
    node, payment = StandIn(), await payment_for(offer())
    transaction = node.carry_out(call_of(payment))
    assert isinstance(await RpcChain(node.rpc(), 2).fate(usdc(), payment.authorization, transaction), Unused)


@pytest.mark.parametrize("most", [1, 3, 5, 10, 500])
async def test_a_range_that_a_node_refuses_is_halved_and_what_worked_is_remembered(most: int) -> None:
    node = StandIn(log_blocks=most)
    node.mine(3_000)
    payment = await payment_for(offer(), now=node.tip.times[-1])
    transaction = node.carry_out(call_of(payment))
    node.mine(300)
    chain = RpcChain(node.rpc())
    for searches in (12, 2):
        fate = await chain.fate(usdc(), payment.authorization)
        assert isinstance(fate, Used)
        assert fate.transaction == transaction
        assert node.calls.pop("eth_getLogs") <= 2 * searches  # each refusal is asked for twice


async def test_a_search_that_would_not_end_says_so() -> None:
    """64 searches, and the use lies beyond them: the next look goes on where this one ended."""
    node = StandIn(log_blocks=1)
    node.mine(400)
    payment = await payment_for(offer(), now=node.tip.times[-1])
    node.mine(100)
    transaction = node.carry_out(call_of(payment))
    chain = RpcChain(node.rpc())
    with pytest.raises(ChainUnclear, match="64 searches do not say"):
        await chain.fate(usdc(), payment.authorization)
    fate = await chain.fate(usdc(), payment.authorization)
    assert isinstance(fate, Used)
    assert fate.transaction == transaction


async def test_a_refusal_that_is_not_for_the_length_is_forgotten() -> None:
    """A node that refuses even one block has another reason, which may pass: the next search is a wide one."""
    node = StandIn(log_blocks=0)
    node.mine(500)
    payment = await payment_for(offer(), now=node.tip.times[-1])
    transaction = node.carry_out(call_of(payment))
    chain = RpcChain(node.rpc())
    with pytest.raises(RpcRefused):
        await chain.fate(usdc(), payment.authorization)
    node.log_blocks, node.calls["eth_getLogs"] = 10_000, 0
    fate = await chain.fate(usdc(), payment.authorization)
    assert isinstance(fate, Used)
    assert fate.transaction == transaction
    assert node.calls["eth_getLogs"] == 1


async def test_a_node_that_is_asked_too_often_has_not_refused_the_range() -> None:
    node, payment = StandIn(), await payment_for(offer())
    node.carry_out(call_of(payment))
    busy = httpx.Response(429, json={"jsonrpc": "2.0", "id": 1, "error": {"code": -32005, "message": "rate"}})
    node.answer("eth_getLogs", busy, times=2)
    with pytest.raises(ChainUnavailable, match="429"):
        await fate_of(node, payment)


async def test_a_spent_nonce_without_a_log_is_no_outcome() -> None:
    """A node that lags or keeps no logs says nothing: least of all that the money did not move."""
    node, payment = StandIn(), await payment_for(offer())
    node.carry_out(call_of(payment))
    node.answer("eth_getLogs", [])
    with pytest.raises(ChainUnclear, match="no log says on what"):
        await fate_of(node, payment)


async def test_a_log_whose_receipt_is_missing_is_no_outcome() -> None:
    node, payment = StandIn(), await payment_for(offer())
    transaction = node.carry_out(call_of(payment))
    node.answer("eth_getTransactionReceipt", None)
    with pytest.raises(ChainUnclear, match="does not show"):
        await fate_of(node, payment)
    empty: Json = {"transactionHash": transaction, "blockNumber": "0x1", "status": "0x1", "logs": []}
    node.answer("eth_getTransactionReceipt", empty)
    with pytest.raises(ChainUnclear, match="does not show"):
        await fate_of(node, payment)


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        ("eth_getBlockByNumber", None),
        ("eth_getBlockByNumber", {"number": "0x1", "hash": HASH}),
        ("eth_getBlockByNumber", {"number": 1, "hash": HASH, "timestamp": "0x1"}),
        ("eth_call", None),
        ("eth_call", "0x"),
        ("eth_getLogs", {}),
        ("eth_getLogs", [None]),
        ("eth_getLogs", [{"address": USDC, "data": "0x", "topics": None}]),
        ("eth_getLogs", [{"address": USDC, "data": "0x", "topics": [HASH] * 5}]),
        ("eth_getLogs", [{"address": USDC, "data": "0x", "topics": [HASH], "removed": True}]),
        ("eth_getLogs", [{"address": USDC, "data": "0x", "topics": ["0x1"]}]),
        ("eth_getLogs", [{"address": "0x1", "data": "0x", "topics": []}]),
        ("eth_getLogs", [{"address": USDC, "data": None, "topics": []}]),
        ("eth_getTransactionReceipt", []),
        ("eth_getTransactionReceipt", {"transactionHash": HASH, "blockNumber": "0x1", "status": None}),
    ],
)
async def test_what_is_no_answer_is_refused(method: str, answer: Json) -> None:
    node, payment = StandIn(), await payment_for(offer())
    node.carry_out(call_of(payment))
    node.answer(method, answer)
    with pytest.raises(ChainUnclear):
        await fate_of(node, payment)


async def test_balance_and_domain_are_the_tokens() -> None:
    chain = RpcChain(StandIn().rpc())
    assert await chain.balance(usdc(), PAYER) == 1_000_000
    assert await chain.balance(usdc(), OTHER) == 0
    assert len(await chain.domain_separator(usdc())) == 32


async def test_the_code_of_an_address_is_read() -> None:
    """Empty for a plain key; a delegation and a contract are told apart by others."""
    node = StandIn(code={PAYER.lower(): b"\xef\x01\x00" + b"\xcd" * 20})
    chain = RpcChain(node.rpc())
    assert await chain.code(PAYER) == b"\xef\x01\x00" + b"\xcd" * 20
    assert await chain.code(OTHER) == b""


async def test_that_there_is_no_code_is_believed_for_five_minutes() -> None:
    """One question less for each payment; a delegation that comes meanwhile is found after them."""
    now, node = 1_000.0, StandIn()
    chain = RpcChain(node.rpc(), monotonic=lambda: now)
    assert await chain.code(PAYER) == b""
    node.code[PAYER.lower()] = b"\x01"
    now += 299
    assert await chain.code(PAYER.lower()) == b""
    assert node.calls["eth_getCode"] == 1
    now += 1
    assert await chain.code(PAYER) == b"\x01"


async def test_code_is_asked_about_each_time_so_that_whoever_removes_it_can_pay() -> None:
    node = StandIn(code={PAYER.lower(): b"\x01"})
    chain = RpcChain(node.rpc(), monotonic=lambda: 0.0)
    assert await chain.code(PAYER) == b"\x01"
    del node.code[PAYER.lower()]
    assert await chain.code(PAYER) == b""


async def test_what_is_believed_of_one_address_is_not_of_another() -> None:
    node = StandIn(code={OTHER.lower(): b"\x01"})
    chain = RpcChain(node.rpc())
    assert await chain.code(PAYER) == b""
    assert await chain.code(OTHER) == b"\x01"


@pytest.mark.parametrize("said", [None, 5, "", "00", "0x1", "0xzz", [], {}])
async def test_code_that_is_none_is_no_answer(said: Json) -> None:
    """It is not taken for a plain key."""
    node = StandIn()
    node.answer("eth_getCode", said, times=2)
    with pytest.raises(ChainUnclear, match="eth_getCode is no bytes"):
        await RpcChain(node.rpc()).code(PAYER)


AT = Block(1, HASH, NOW)


async def test_a_trial_says_what_would_reach_the_payee() -> None:
    node, payment = StandIn(fee=100), await payment_for(offer())
    assert await RpcChain(node.rpc()).trial(usdc(), payment, AT) == Trial(9_900)
    assert node.tip.spent == set()


async def test_a_trial_says_why_the_token_refuses() -> None:
    node, payment = StandIn(), await payment_for(offer(amount="1000001"))
    trial = await RpcChain(node.rpc()).trial(usdc(), payment, AT)
    assert trial == Trial(0, "ERC20: transfer amount exceeds balance")


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ({"status": "0x0"}, "the token gave no reason"),
        ({"status": "0x0", "error": {"message": "execution reverted"}}, "execution reverted"),
        ({"status": "0x0", "error": {"message": 3}, "returnData": "0x"}, "the token gave no reason"),
        ({"status": "0x0", "returnData": "0x08c379a0zz", "error": {"message": "odd"}}, "odd"),
        ({"status": "0x0", "returnData": "0x08c379a0"}, ""),
    ],
)
async def test_a_revert_that_is_told_otherwise(call: Json, reason: str) -> None:
    node, payment = StandIn(), await payment_for(offer())
    node.answer("eth_simulateV1", [{"calls": [{}, call, {}]}])
    assert await RpcChain(node.rpc()).trial(usdc(), payment, AT) == Trial(0, reason)


@pytest.mark.parametrize("answer", [None, [], [None], [{}], [{"calls": []}], [{"calls": [None] * 3}]])
async def test_a_trial_that_is_none(answer: Json) -> None:
    node, payment = StandIn(), await payment_for(offer())
    node.answer("eth_simulateV1", answer)
    with pytest.raises(ChainUnclear):
        await RpcChain(node.rpc()).trial(usdc(), payment, AT)


async def test_each_transfer_counts_for_the_authorization_it_follows() -> None:
    """Whoever settles in batches moves several in one transaction; an amount of another is not ours."""
    ours = (await payment_for(offer())).authorization
    other = (await payment_for(offer(amount="7"), nonce="0x" + "cd" * 32)).authorization
    used = [(AUTHORIZATION_USED, topic(PAYER), each.nonce) for each in (other, ours)]
    moved = (TRANSFER, topic(PAYER), topic(PAYEE))
    lines = [(used[0], "0x"), (moved, hex(7)), (used[1], "0x"), (moved, hex(10_000))]
    logs = [Log(USDC.lower(), topics, data, index, 2, HASH) for index, (topics, data) in enumerate(lines)]
    assert received(logs, USDC, ours) == 10_000
    assert received(logs, USDC, other) == 7
    assert received(logs, OTHER, ours) is None
    assert received(logs[:3], USDC, ours) == 0
    elsewhere = Log(USDC.lower(), (TRANSFER, topic(PAYER), topic(OTHER)), hex(5), 9, 2, HASH)
    assert received([*logs, elsewhere], USDC, ours) == 10_000


def test_logs_are_read_in_the_order_they_were_written() -> None:
    logs = [Log(USDC.lower(), (HASH,), "0x", index, block, HASH) for block, index in ((1, 0), (1, 1), (2, 0))]
    assert logs_of([log_json(log) for log in reversed(logs)]) == tuple(logs)
