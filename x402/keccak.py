"""Keccak-256 as Ethereum uses it, and addresses written with a checksum (EIP-55)."""

from __future__ import annotations

from Crypto.Hash import keccak

from x402.codec import is_address

__all__ = ["checksum_address", "keccak256"]


def keccak256(data: bytes) -> bytes:
    """The 32-byte hash (the padding before SHA-3 was standardised, so not `hashlib.sha3_256`)."""
    return keccak.new(digest_bits=256, data=data).digest()


def checksum_address(address: str) -> str:
    """The address with its letters cased as a checksum (EIP-55).

    Raises:
        ValueError: it is no address.
    """
    if not is_address(address):
        raise ValueError("an address is 0x and 40 hex digits")
    plain = address[2:].lower()
    digits = keccak256(plain.encode()).hex()
    return "0x" + "".join(c.upper() if int(d, 16) >= 8 else c for c, d in zip(plain, digits, strict=False))
