"""Wallets: what they show, what they refuse, and what is done about wallets that fail."""

from __future__ import annotations

import copy
import traceback

import pytest

from tests.x402.samples import HALF, KEY, NONCE, NOW, OTHER, PAYER, challenge, offer
from x402.decode import decode_payment
from x402.eip3009 import TypedAuthorization
from x402.errors import SigningFailed
from x402.negotiation import UnsignedPayment, build_payment
from x402.secp256k1 import SigningKey
from x402.wallets.signers import LocalSigner, Signer, sign_payment


class Wallet:
    """A wallet somewhere else, that answers what the test says."""

    def __init__(self, answer: str | Exception, address: str = PAYER) -> None:
        self.answer = answer
        self.address = address

    async def sign_typed_data(self, data: TypedAuthorization) -> str:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def unsigned(payer: str = PAYER) -> UnsignedPayment:
    return build_payment(challenge(), offer(), payer=payer, nonce=NONCE, valid_after=0, valid_before=NOW + 60)


def test_a_key_never_shows() -> None:
    """repr, str and copies of a wallet show its address only."""
    wallet = LocalSigner(KEY)
    assert wallet.address == PAYER
    assert repr(wallet) == f"LocalSigner({PAYER})"
    assert repr(wallet._key) == f"SigningKey({PAYER})"
    assert KEY[2:] not in f"{wallet} {copy.copy(wallet)!r} {vars(LocalSigner)}"


def test_a_wallet_has_secrets_of_its_own_for_other_purposes() -> None:
    """Always the same for one key and purpose; what fixes the nonces of purchases."""
    wallet = LocalSigner(SigningKey.from_hex(KEY))
    assert wallet.derive(b"a") == LocalSigner(KEY).derive(b"a") != wallet.derive(b"b")


@pytest.mark.parametrize("spelling", [KEY, KEY[2:], KEY[2:].upper()])
def test_a_key_may_be_spelled_with_or_without_prefix(spelling: str) -> None:
    """Both spellings are common in settings files."""
    assert LocalSigner(spelling).address == PAYER


@pytest.mark.parametrize(
    "key",
    ["", "0x", "zz" * 32, "ab" * 31, "ab" * 33, "00" * 32, "ff" * 32],
)
def test_a_bad_key_is_refused_without_being_quoted(key: str) -> None:
    """Not in the message, not in the chain of causes."""
    with pytest.raises(ValueError, match="private key") as caught:
        LocalSigner(key)
    shown = "".join(traceback.format_exception_only(caught.value))
    assert len(key) < 10 or key not in shown
    assert caught.value.__cause__ is None


async def test_a_payment_is_signed_by_its_payer() -> None:
    """The header carries a signature that is deterministic: same data, same bytes (RFC 6979)."""
    wallet: Signer = LocalSigner(KEY)
    first, second = await sign_payment(unsigned(), wallet), await sign_payment(unsigned(), wallet)
    assert first == second
    assert decode_payment(first.name, first.value).authorization.payer == PAYER


async def test_a_wallet_signs_for_itself_only() -> None:
    """A payment of another payer is refused before the wallet is asked."""
    with pytest.raises(SigningFailed, match=OTHER):
        await sign_payment(unsigned(payer=OTHER), LocalSigner(KEY))


async def test_a_wallet_that_fails_is_named_without_its_words() -> None:
    """A wallet's error text may hold anything; only its type is told."""
    with pytest.raises(SigningFailed, match=f"wallet {PAYER} did not sign: RuntimeError") as caught:
        await sign_payment(unsigned(), Wallet(RuntimeError("token abc")))
    assert "abc" not in str(caught.value)


async def test_a_wallet_may_say_itself_why_it_fails() -> None:
    """SigningFailed passes through unchanged."""
    with pytest.raises(SigningFailed, match="locked"):
        await sign_payment(unsigned(), Wallet(SigningFailed("locked")))


@pytest.mark.parametrize("v", ["00", "01"])
async def test_the_older_spelling_of_v_is_put_right(v: str) -> None:
    """Some wallets write 0 or 1; the token wants 27 or 28."""
    header = await sign_payment(unsigned(), Wallet("0x" + "11" * 64 + v))
    assert decode_payment(header.name, header.value).signature == "0x" + "11" * 64 + f"{27 + int(v):02x}"


@pytest.mark.parametrize(
    ("signature", "why"),
    [
        ("0xzz", "not hex"),
        ("0x", "0 bytes"),
        ("0x" + "11" * 64, "64 bytes"),
        ("0x" + "11" * 97, "97 bytes"),
        ("0x" + "11" * 64 + "02", "odd v"),
        ("0x" + "11" * 64 + "1d", "odd v"),
        ("0x" + "11" * 32 + f"{HALF + 1:064x}" + "1b", "high s"),
    ],
)
async def test_a_signature_the_token_would_refuse_is_never_sent(signature: str, why: str) -> None:
    """Better no payment than one that cannot settle."""
    with pytest.raises(SigningFailed, match=why) as caught:
        await sign_payment(unsigned(), Wallet(signature))
    assert signature[2:] == "" or signature not in str(caught.value)
