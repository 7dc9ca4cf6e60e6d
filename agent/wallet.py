"""The wallet: signs authorizations whose nonce is fixed by the purchase, never by chance.

The nonce is an HMAC of the job's id under a secret derived from the wallet's key, and the validity window starts
at the stored reservation. Signatures are deterministic (RFC 6979). So two processes that sign for one purchase
sign the same bytes, and the chain takes them once (EIP-3009).
"""

from __future__ import annotations

from typing import Final

__all__ = ["Wallet"]

_BACKDATE: Final = 600
"""Seconds by which `validAfter` precedes the reservation: the verifier's clock may be behind (x402#208)."""
