"""The facilitator without a chain: verdicts in order, money moved once, ids that anyone can recompute."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from net.strict_json import Json
from tests.x402.samples import (
    NETWORK,
    NOW,
    OTHER,
    PAYEE,
    PAYER,
    USDC,
    challenge,
    entry,
    offer,
    payment_for,
    v1_entry,
)
from x402.decode import offer_from
from x402.failures import Failure, classify
from x402.keccak import keccak256
from x402.negotiation import build_payment
from x402.selling.facilitator import Kind, check
from x402.selling.offline import MemoryLedger, OfflineFacilitator, Transfer, transaction_id
from x402.wallets.signers import LocalSigner
from x402.wire import Offer, Payment

KEY_2 = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d"


def facilitator(ledger: MemoryLedger, now: float = NOW) -> OfflineFacilitator:
    return OfflineFacilitator(ledger, lambda: now)


async def signed(chosen: Offer, *, after: int, before: int) -> Payment:
    """A payment with a validity window of the test's choice."""
    wallet = LocalSigner(KEY_2)
    nonce = "0x" + "01" * 32
    unsigned = build_payment(
        challenge(chosen), chosen, payer=wallet.address, nonce=nonce, valid_after=after, valid_before=before
    )
    return Payment(
        version=2,
        scheme="exact",
        network=NETWORK,
        authorization=unsigned.typed.authorization,
        signature=await wallet.sign_typed_data(unsigned.typed),
        accepted=chosen.raw,
    )


@pytest.mark.parametrize(
    ("after", "before", "failure"),
    [
        (NOW - 1, NOW + 6, None),
        (NOW - 1, NOW + 5, Failure.EXPIRED),
        (NOW, NOW + 6, Failure.NOT_YET_VALID),
        (NOW + 1, NOW + 60, Failure.NOT_YET_VALID),
        (0, 2**256 - 1, None),
    ],
)
async def test_the_window_is_open_strictly_after_and_six_seconds_before(
    after: int, before: int, failure: Failure | None
) -> None:
    """EIP-3009: validAfter < now < validBefore; verifiers keep 6 s for the block (section 5)."""
    payment = await signed(offer(), after=after, before=before)
    assert check(payment, offer(), NOW).failure is failure


@pytest.mark.parametrize(
    ("change", "failure"),
    [
        ({"scheme": "upto"}, Failure.UNSUPPORTED),
        ({"network": "eip155:8453"}, Failure.NETWORK_MISMATCH),
        ({"extra": {}}, Failure.DOMAIN_MISSING),
        ({"extra": {"name": "USDC"}}, Failure.DOMAIN_MISSING),
        ({"extra": {"name": "USDC", "version": 2}}, Failure.DOMAIN_MISSING),
        ({"payTo": OTHER}, Failure.RECIPIENT_MISMATCH),
        ({"amount": "9999"}, Failure.AMOUNT_MISMATCH),
        ({"amount": "10001"}, Failure.AMOUNT_MISMATCH),
        ({"extra": {"name": "USD Coin", "version": "2"}}, Failure.BAD_SIGNATURE),
        ({"asset": OTHER}, Failure.BAD_SIGNATURE),
    ],
)
async def test_a_payment_is_held_against_the_sellers_own_terms(change: dict[str, Json], failure: Failure) -> None:
    """What the payer echoed does not matter; each difference has its class."""
    verdict = check(await payment_for(offer()), offer(**change), NOW)
    assert verdict.failure is failure
    assert not verdict.valid
    assert verdict.payer == PAYER
    assert verdict.message


async def test_the_first_failure_is_the_answer() -> None:
    """The order of section 8, so that every facilitator tells the payer the same."""
    payment = replace(await payment_for(offer()), signature="0x")
    wrong: dict[str, Json] = {"scheme": "upto", "network": "eip155:8453", "extra": {}, "payTo": OTHER}
    wrong["amount"] = "1"
    expected = [
        Failure.UNSUPPORTED,
        Failure.NETWORK_MISMATCH,
        Failure.DOMAIN_MISSING,
        Failure.RECIPIENT_MISMATCH,
        Failure.AMOUNT_MISMATCH,
    ]
    for failure in expected:
        assert check(payment, offer(**wrong), 2 * NOW).failure is failure
        del wrong[next(iter(wrong))]
    assert check(payment, offer(), 2 * NOW).failure is Failure.EXPIRED
    assert check(payment, offer(), 1).failure is Failure.NOT_YET_VALID
    assert check(payment, offer(), NOW).failure is Failure.BAD_SIGNATURE


async def test_payee_case_is_spelling() -> None:
    """The check is of the address, not of its letters."""
    assert check(await payment_for(offer()), offer(payTo=PAYEE.lower()), NOW).valid


async def test_a_payment_is_checked_in_its_own_version() -> None:
    """A version 2 payment does not answer version 1 terms."""
    verdict = check(await payment_for(offer()), offer_from(v1_entry(), 1), NOW)
    assert verdict.failure is Failure.UNSUPPORTED


@given(st.integers(0, 64), st.integers(1, 255))
def test_any_changed_byte_of_a_signature_is_noticed(index: int, flip: int) -> None:
    """No signature but the payer's own passes; v may only change its spelling."""
    payment = asyncio.run(payment_for(offer()))
    raw = bytearray.fromhex(payment.signature[2:])
    raw[index] ^= flip
    changed = replace(payment, signature="0x" + raw.hex())
    spelling = index == 64 and raw[64] + 27 == bytes.fromhex(payment.signature[2:])[64]
    assert check(changed, offer(), NOW).valid is spelling


async def test_money_moves_once_and_the_same_payment_has_the_same_receipt() -> None:
    """Settling is idempotent (x402#452, #786); verifying a settled payment says that its nonce is used."""
    ledger = MemoryLedger()
    payment = await payment_for(offer())
    first = await facilitator(ledger).settle(payment, offer())
    again = await facilitator(ledger, now=2 * NOW).settle(payment, offer())
    assert first.success
    assert first == again
    assert ledger.journal == [
        Transfer(first.transaction, NETWORK, USDC, PAYER, PAYEE, 10_000, payment.authorization.nonce)
    ]
    verdict = await facilitator(ledger).verify(payment, offer())
    assert verdict.failure is Failure.NONCE_USED


@pytest.mark.parametrize(
    "change",
    [
        {"amount": "100000000"},
        {"payTo": OTHER},
        {"extra": {"name": "Other", "version": "2"}},
        {"scheme": "upto"},
    ],
    ids=str,
)
async def test_a_receipt_is_none_for_other_terms(change: dict[str, Json]) -> None:
    """A payment of a cent that was settled does not settle an order of a hundred dollars."""
    ledger = MemoryLedger()
    payment = await payment_for(offer())
    assert (await facilitator(ledger).settle(payment, offer())).success

    receipt = await facilitator(ledger).settle(payment, offer(**change))

    assert not receipt.success
    assert (await facilitator(ledger).settle(payment, offer())).success
    assert len(ledger.journal) == 1


async def test_another_payment_of_a_used_nonce_does_not_inherit_the_receipt() -> None:
    """Neither another window or amount, nor the same authorization with a forged signature."""
    ledger = MemoryLedger()
    payment = await payment_for(offer())
    await facilitator(ledger).settle(payment, offer())
    later = await payment_for(offer(), now=NOW + 1)
    dearer = offer(amount="20000")
    for other, terms in (
        (later, offer()),
        (await payment_for(dearer), dearer),
    ):
        receipt = await facilitator(ledger, NOW + 2).settle(other, terms)
        assert receipt.error_reason == "nonce_used"
    forged = replace(payment, signature="0x" + "11" * 64 + "1b")
    assert (await facilitator(ledger).settle(forged, offer())).error_reason == "bad_signature"
    assert len(ledger.journal) == 1


async def test_a_nonce_is_the_payers_own() -> None:
    """EIP-3009: used per (payer, nonce); two payers may pick the same one, in any spelling of its hex."""
    ledger = MemoryLedger()
    mine, theirs = await payment_for(offer()), await payment_for(offer(), key=KEY_2)
    assert (await facilitator(ledger).settle(mine, offer())).success
    assert (await facilitator(ledger).settle(theirs, offer())).success
    shouted = replace(mine.authorization, nonce="0x" + mine.authorization.nonce[2:].upper(), payer=PAYER.lower())
    respelled = replace(mine, authorization=shouted)
    assert (await facilitator(ledger).verify(respelled, offer())).failure is Failure.NONCE_USED


async def test_balances_move_and_are_never_overdrawn() -> None:
    """A payer with an entry can spend what it says, to the last unit."""
    payer, payee = (NETWORK, USDC.lower(), PAYER.lower()), (NETWORK, USDC.lower(), PAYEE.lower())
    ledger = MemoryLedger(balances={payer: 25_000, payee: 0})
    payments = [await payment_for(offer(), nonce=f"0x{number:064x}") for number in range(3)]
    outcomes = [await facilitator(ledger).settle(payment, offer()) for payment in payments]
    assert [receipt.error_reason for receipt in outcomes] == [None, None, "insufficient_funds"]
    assert ledger.balances == {payer: 5_000, payee: 20_000}
    last = offer(amount="5000")
    assert (await facilitator(ledger).settle(await payment_for(last), last)).success
    assert ledger.balances[payer] == 0


async def test_settling_at_once_moves_money_once() -> None:
    """x402#803: one authorization sent five times at the same moment."""
    ledger = MemoryLedger()
    payment = await payment_for(offer())
    desk = facilitator(ledger)
    receipts = await asyncio.gather(*(desk.settle(payment, offer()) for _ in range(5)))
    assert len(set(map(repr, receipts))) == 1
    assert len(ledger.journal) == 1


async def test_a_token_that_is_not_known_is_not_settled() -> None:
    """Even when the signature is right for the terms' own domain."""
    strange = replace(offer(), asset=OTHER)
    wallet = LocalSigner(KEY_2)
    typed = build_payment(
        challenge(), offer(), payer=wallet.address, nonce="0x" + "01" * 32, valid_after=0, valid_before=NOW + 60
    ).typed
    typed = replace(typed, domain=replace(typed.domain, contract=OTHER))
    payment = Payment(
        2, "exact", NETWORK, typed.authorization, await wallet.sign_typed_data(typed), accepted=entry(asset=OTHER)
    )
    verdict = await facilitator(MemoryLedger()).verify(payment, strange)
    assert verdict.failure is Failure.UNSUPPORTED
    assert "token is not known" in verdict.message


async def test_an_offline_transaction_can_be_recomputed_from_the_payment() -> None:
    """keccak256 of the settling call, the chain id and the token; the spelling of v does not change it."""
    payment = await payment_for(offer())
    a, raw = payment.authorization, bytes.fromhex(payment.signature[2:])
    words = (int(a.payer, 16), int(a.payee, 16), a.value, a.valid_after, a.valid_before, int(a.nonce, 16), raw[64])
    call = bytes.fromhex("e3ee160e") + b"".join(word.to_bytes(32) for word in words) + raw[:64]
    expected = keccak256(call + (84532).to_bytes(32) + bytes.fromhex(USDC[2:]))
    assert transaction_id(payment, offer()) == "0x" + expected.hex()
    respelled = replace(payment, signature=payment.signature[:-2] + f"{raw[64] - 27:02x}")
    assert transaction_id(respelled, offer()) == "0x" + expected.hex()


async def test_what_is_supported_is_what_is_known() -> None:
    """Every chain of the table, in both versions where it has a version 1 name."""
    kinds = await facilitator(MemoryLedger()).supported()
    assert Kind(2, "exact", NETWORK) in kinds
    assert Kind(1, "exact", "base-sepolia") in kinds
    assert Kind(2, "exact", "eip155:42161") in kinds
    assert len(set(kinds)) == len(kinds)


@pytest.mark.parametrize(
    ("reason", "failure"),
    [
        ("invalid_exact_evm_payload_authorization_value_mismatch", Failure.AMOUNT_MISMATCH),
        ("invalid_exact_evm_authorization_value", Failure.AMOUNT_MISMATCH),
        ("invalid_exact_evm_payload_authorization_value", Failure.AMOUNT_MISMATCH),
        ("invalid_exact_evm_payload_signature", Failure.BAD_SIGNATURE),
        ("invalid_exact_evm_signature", Failure.BAD_SIGNATURE),
        ("invalid_exact_evm_token_name_mismatch", Failure.DOMAIN_MISMATCH),
        ("missing_eip712_domain", Failure.DOMAIN_MISSING),
        ("invalid_exact_evm_missing_eip712_domain", Failure.DOMAIN_MISSING),
        ("invalid_exact_evm_payload_recipient_mismatch", Failure.RECIPIENT_MISMATCH),
        ("invalid_exact_evm_recipient_mismatch", Failure.RECIPIENT_MISMATCH),
        ("invalid_exact_evm_payload_authorization_valid_before", Failure.EXPIRED),
        ("invalid_exact_evm_payload_authorization_valid_after", Failure.NOT_YET_VALID),
        ("invalid_exact_evm_nonce_already_used", Failure.NONCE_USED),
        ("invalid_exact_evm_insufficient_balance", Failure.INSUFFICIENT_FUNDS),
        ("insufficient_funds", Failure.INSUFFICIENT_FUNDS),
        ("network_mismatch", Failure.NETWORK_MISMATCH),
        ("invalid_exact_evm_network_mismatch", Failure.NETWORK_MISMATCH),
        ("invalid_network", Failure.NETWORK_MISMATCH),
        ("unsupported_scheme", Failure.UNSUPPORTED),
        ("invalid_exact_evm_scheme", Failure.UNSUPPORTED),
        ("invalid_payload", Failure.MALFORMED),
        ("invalid_exact_evm_payload", Failure.MALFORMED),
        ("invalid_exact_evm_payload_missing_signature", Failure.MALFORMED),
        ("eip6492_factory_not_allowed", Failure.FACTORY_NOT_ALLOWED),
        ("invalid_exact_evm_payload_undeployed_smart_wallet", Failure.FACTORY_NOT_ALLOWED),
        ("invalid_exact_evm_transaction_failed", Failure.CHAIN_FAILURE),
        ("settlement_pending", Failure.CHAIN_FAILURE),
        ("invalid_exact_evm_payload_authorization_from_address_kyt", Failure.REFUSED),
        ("the dog ate it", Failure.REFUSED),
        ("", Failure.REFUSED),
    ],
)
def test_the_words_of_other_facilitators_are_understood(reason: str, failure: Failure) -> None:
    """The table of section 8; a text that is not in it means "refused, reason unknown"."""
    assert classify(reason) is failure


@pytest.mark.parametrize("failure", list(Failure))
def test_our_own_words_are_understood(failure: Failure) -> None:
    """What our facilitator writes, our seller reads."""
    assert classify(failure.value) is failure
