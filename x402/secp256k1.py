"""Signatures of 32-byte digests on Ethereum's curve: 65 bytes r, s, v. The one module that knows coincurve."""

from __future__ import annotations

import hmac
from functools import lru_cache
from typing import Final, Self

from coincurve import PrivateKey, PublicKey

from x402.keccak import checksum_address, keccak256

__all__ = ["HALF_ORDER", "SigningKey", "recover"]

HALF_ORDER: Final = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
"""Half of the curve's order. FiatToken refuses an s above it, so no signature has a twin (EIP-2)."""


class SigningKey:
    """A private key that signs deterministically (RFC 6979) with low s. Only its address is ever shown."""

    __slots__ = ("_key", "address")

    def __init__(self, secret: bytes) -> None:
        """Raises `ValueError` when the secret is not 32 bytes within the curve's order; it is not quoted."""
        if len(secret) != 32:
            del secret  # some tracebacks show the locals of each frame
            raise ValueError("a private key has 32 bytes")
        try:
            self._key = PrivateKey(secret)
        except ValueError:
            del secret
            raise ValueError("a private key must be above zero and below the curve's order") from None
        self.address: Final = checksum_address("0x" + _address(self._key.public_key).hex())

    @classmethod
    def from_hex(cls, text: str) -> Self:
        """A key from its 64 hex digits, with or without `0x`. Raises `ValueError`, which never quotes them."""
        try:
            return cls(bytes.fromhex(text.removeprefix("0x")))
        except ValueError as exc:
            reason = str(exc) if str(exc).startswith("a private key") else "a private key is 64 hex digits"
            del text, exc
            raise ValueError(reason) from None

    @classmethod
    def generate(cls) -> Self:
        """A new key, from the operating system's randomness."""
        return cls(PrivateKey().secret)

    def __repr__(self) -> str:
        return f"SigningKey({self.address})"

    @property
    def secret(self) -> bytes:
        """The key's 32 bytes, to be written away encrypted. Keep them out of variables: tracebacks show those."""
        return self._key.secret

    def derive(self, purpose: bytes) -> bytes:
        """32 secret bytes of this key's for one purpose, always the same; they tell nothing of the key."""
        return hmac.digest(self._key.secret, purpose, "sha256")

    def sign(self, digest: bytes) -> bytes:
        """The signature of a 32-byte digest, v 27 or 28."""
        signature = self._key.sign_recoverable(digest, hasher=None)
        return signature[:64] + bytes((signature[64] + 27,))


@lru_cache(maxsize=256)  # who verifies and then settles asks twice; it is most of what either costs
def recover(digest: bytes, signature: bytes) -> str:
    """The address, in lower case, whose key signed the digest. v may be 27 or 28, or 0 or 1.

    Raises:
        ValueError: the signature has not 65 bytes, has a high s, an odd v, or belongs to no key.
    """
    if len(signature) != 65:
        raise ValueError("a signature has 65 bytes")
    v = signature[64]
    recovery_id = v - 27 if v >= 27 else v
    if recovery_id not in (0, 1):
        raise ValueError("v is not 27 or 28")
    if int.from_bytes(signature[32:64]) > HALF_ORDER:
        raise ValueError("s is in the upper half of the order, which the token refuses")
    try:
        key = PublicKey.from_signature_and_message(signature[:64] + bytes((recovery_id,)), digest, hasher=None)
    except Exception as exc:  # coincurve raises bare Exception for points off the curve
        raise ValueError("the signature belongs to no key") from exc
    return "0x" + _address(key).hex()


def _address(key: PublicKey) -> bytes:
    return keccak256(key.format(compressed=False)[1:])[12:]
