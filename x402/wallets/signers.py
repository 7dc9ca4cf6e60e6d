"""Who signs: a wallet, as an address that can sign one kind of typed data."""

from __future__ import annotations

from typing import Protocol

from x402.eip3009 import TypedAuthorization
from x402.errors import SigningFailed
from x402.negotiation import UnsignedPayment
from x402.secp256k1 import SigningKey
from x402.wire import PaymentHeader

__all__ = ["LocalSigner", "Signer", "sign_payment"]


class Signer(Protocol):
    """A wallet. It may live elsewhere, so signing is awaited."""

    @property
    def address(self) -> str:
        """The payer's address, with a checksum (EIP-55)."""
        ...

    async def sign_typed_data(self, data: TypedAuthorization) -> str:
        """The signature as `0x` and 65 bytes of hex: r, s, v."""
        ...


class LocalSigner:
    """A private key held in this process. Signs deterministically (RFC 6979): same data, same bytes."""

    __slots__ = ("_key",)

    def __init__(self, key: SigningKey | str) -> None:
        """A key, or its 64 hex digits with or without `0x`. Raises `ValueError`, which never quotes them."""
        self._key = SigningKey.from_hex(key) if isinstance(key, str) else key

    @property
    def address(self) -> str:
        """The payer's address, with a checksum (EIP-55)."""
        return self._key.address

    def __repr__(self) -> str:
        return f"LocalSigner({self.address})"

    async def sign_typed_data(self, data: TypedAuthorization) -> str:
        """The signature as `0x` and 65 bytes of hex: r, s, v."""
        return "0x" + self._key.sign(data.digest).hex()

    def derive(self, purpose: bytes) -> bytes:
        """32 secret bytes of this wallet's for one purpose, always the same; they tell nothing of the key."""
        return self._key.derive(purpose)


async def sign_payment(unsigned: UnsignedPayment, signer: Signer) -> PaymentHeader:
    """The payment, signed by its payer.

    Raises:
        SigningFailed: the wallet is another one than the payer's, failed, or gave no usable signature.
    """
    payer = unsigned.typed.authorization.payer
    if signer.address.lower() != payer.lower():
        raise SigningFailed(f"the payment is of {payer}, the wallet is {signer.address}")
    try:
        signature = await signer.sign_typed_data(unsigned.typed)
    except SigningFailed:
        raise
    except Exception as exc:  # a wallet of any make: its errors are not ours to list
        raise SigningFailed(f"the wallet {signer.address} did not sign: {type(exc).__name__}") from exc
    return unsigned.finish(signature)
