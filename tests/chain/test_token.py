"""The test dollar refuses what FiatToken refuses: tests on it would say little otherwise."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scripts.serve.servers import ServerFailed
from tests.chain.bank import DOLLAR, Bank
from x402.secp256k1 import HALF_ORDER

ORDER = HALF_ORDER * 2 + 1


def twin(signature: str) -> str:
    """The other signature of the same key and digest: s mirrored, v flipped (EIP-2 forbids it)."""
    raw = bytes.fromhex(signature[2:])
    s = ORDER - int.from_bytes(raw[32:64])
    return "0x" + raw[:32].hex() + s.to_bytes(32).hex() + bytes((55 - raw[64],)).hex()


@pytest.mark.parametrize("spoil", ["high_s", "odd_v", "other_amount", "other_payee", "other_window"])
async def test_a_spoiled_authorization_moves_nothing(bank: Bank, spoil: str) -> None:
    payment = await bank.payment(bank.offer())
    a = payment.authorization
    spoiled = {
        "high_s": replace(payment, signature=twin(payment.signature)),
        "odd_v": replace(payment, signature=payment.signature[:-2] + "1d"),
        "other_amount": replace(payment, authorization=replace(a, value=2 * DOLLAR)),
        "other_payee": replace(payment, authorization=replace(a, payee="0x" + "12" * 20)),
        "other_window": replace(payment, authorization=replace(a, valid_before=a.valid_before + 1)),
    }[spoil]
    with pytest.raises(ServerFailed, match="reverted"):
        bank.send_in(spoiled)
    assert bank.held == (100 * DOLLAR, 0)
    bank.send_in(payment)
    assert bank.held == (99 * DOLLAR, DOLLAR)


async def test_a_plain_signature_of_an_address_with_code_moves_nothing(bank: Bank) -> None:
    """FiatToken v2.2 asks the code (EIP-1271) instead of looking at the signature, after a delegation too."""
    payment = await bank.payment(bank.offer())
    bank.delegate(bank.token.address)
    with pytest.raises(ServerFailed, match="reverted"):
        bank.send_in(payment)
    assert not (await bank.facilitator.settle(payment, bank.offer())).success
    assert bank.held == (100 * DOLLAR, 0)
    bank.delegate("0x" + "00" * 20)
    bank.send_in(payment)
    assert bank.held == (99 * DOLLAR, DOLLAR)


@pytest.mark.parametrize(("signed", "moves"), [(600, False), (599, True), (-299, True), (-300, False)])
async def test_the_window_is_open_between_its_ends_only(bank: Bank, signed: int, moves: bool) -> None:
    """validAfter < block time < validBefore, strictly (EIP-3009); ours: 600 s before signing, 300 s after."""
    block = bank.now + 1_000
    payment = await bank.payment(bank.offer(), now=block + signed)
    bank.chain.rpc("evm_setNextBlockTimestamp", block)
    if moves:
        bank.send_in(payment)
    else:
        with pytest.raises(ServerFailed, match="reverted"):
            bank.send_in(payment)
    assert bank.held == ((99 * DOLLAR, DOLLAR) if moves else (100 * DOLLAR, 0))


async def test_an_authorization_works_once(bank: Bank) -> None:
    payment = await bank.payment(bank.offer())
    bank.send_in(payment)
    with pytest.raises(ServerFailed, match="reverted"):
        bank.send_in(payment)
    assert bank.held == (99 * DOLLAR, DOLLAR)
