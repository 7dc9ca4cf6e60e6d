"""Keccak-256 as Ethereum uses it, and addresses written with a checksum (EIP-55)."""

from __future__ import annotations

from functools import lru_cache

from Crypto.Hash import keccak

from x402.codec import is_address

__all__ = ["checksum_address", "keccak256", "why_no_address"]


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


@lru_cache(maxsize=1_024)
def why_no_address(text: str) -> str | None:
    """Why a text cannot be an address, or None. Letters of both cases are a checksum (EIP-55) that must match."""
    if not is_address(text):
        return "must be an address: 0x and 40 hex digits"
    digits = text[2:]
    if digits in (digits.lower(), digits.upper()) or checksum_address(text) == text:
        return None
    return "must match the checksum in the case of its letters (EIP-55): something in it is mistyped"
