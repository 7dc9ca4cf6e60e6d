"""Values that many tests share: a payer, a payee, terms, and a payment made the way a payer makes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from net.strict_json import Json
from x402.decode import decode_payment, offer_from
from x402.negotiation import build_payment, window
from x402.networks import Asset, default_asset
from x402.wallets.signers import LocalSigner, sign_payment
from x402.wire import Challenge, Offer, Payment, PaymentHeader

NOW: Final = 1_800_000_000
NETWORK: Final = "eip155:84532"
USDC: Final = "0x036CbD53842c5426634e7929541eC2318f3dCF7e"
PAYEE: Final = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C"
OTHER: Final = "0x90F79bf6EB2c4f870365E785982E1f101E93b906"
KEY: Final = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
PAYER: Final = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
URL: Final = "https://gpu.example/v1/rent"
NONCE: Final = "0x" + "ab" * 32
HALF: Final = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0


def entry(**changes: Json) -> dict[str, Json]:
    """One version 2 entry of `accepts`."""
    usual: dict[str, Json] = {
        "scheme": "exact",
        "network": NETWORK,
        "asset": USDC,
        "amount": "10000",
        "payTo": PAYEE,
        "maxTimeoutSeconds": 300,
        "extra": {"name": "USDC", "version": "2"},
    }
    return usual | changes


def v1_entry(**changes: Json) -> dict[str, Json]:
    """One version 1 entry of `accepts`."""
    usual: dict[str, Json] = {
        "scheme": "exact",
        "network": "base-sepolia",
        "maxAmountRequired": "10000",
        "resource": URL,
        "description": "",
        "mimeType": "application/json",
        "payTo": PAYEE,
        "maxTimeoutSeconds": 300,
        "asset": USDC,
        "extra": {"name": "USDC", "version": "2"},
    }
    return usual | changes


def offer(**changes: Json) -> Offer:
    return offer_from(entry(**changes), 2)


def usual(network: str) -> Asset:
    """The usual token of a network."""
    token = default_asset(network)
    assert token is not None
    return token


def challenge(*offers: Offer, extensions: Mapping[str, Json] | None = None) -> Challenge:
    return Challenge(version=2, offers=offers or (offer(),), resource={"url": URL}, extensions=extensions)


async def header_for(chosen: Offer, *, now: int = NOW, nonce: str = NONCE, key: str = KEY) -> PaymentHeader:
    """A payment of an offer, signed."""
    signer = LocalSigner(key)
    after, before = window(chosen, now, 900)
    unsigned = build_payment(
        challenge(chosen), chosen, payer=signer.address, nonce=nonce, valid_after=after, valid_before=before
    )
    return await sign_payment(unsigned, signer)


async def payment_for(chosen: Offer, *, now: int = NOW, nonce: str = NONCE, key: str = KEY) -> Payment:
    """The same as a seller reads it."""
    header = await header_for(chosen, now=now, nonce=nonce, key=key)
    return decode_payment(header.name, header.value)
