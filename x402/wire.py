"""The messages of x402 as frozen values, and how they are written.

Shapes: x402 specs `x402-specification-v1.md`, `x402-specification-v2.md`, `schemes/exact/scheme_exact_evm.md`.
A value that exists is well formed: constructors raise `ValueError`. `x402.decode` reads them from strangers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from net.strict_json import Json, JsonObject
from x402.codec import UINT256_MAX, encode_header, is_address
from x402.networks import chain_id

__all__ = [
    "CHALLENGE_HEADER",
    "PAYMENT_HEADERS",
    "PAYMENT_IDENTIFIER",
    "RECEIPT_HEADERS",
    "Authorization",
    "Challenge",
    "Offer",
    "Payment",
    "PaymentHeader",
    "Receipt",
    "valid_payment_id",
]

CHALLENGE_HEADER: Final = "PAYMENT-REQUIRED"
PAYMENT_HEADERS: Final[Mapping[int, str]] = {1: "X-PAYMENT", 2: "PAYMENT-SIGNATURE"}
RECEIPT_HEADERS: Final[Mapping[int, str]] = {1: "X-PAYMENT-RESPONSE", 2: "PAYMENT-RESPONSE"}
PAYMENT_IDENTIFIER: Final = "payment-identifier"
"""The extension that carries an idempotency id (`specs/extensions/payment_identifier.md`)."""

_NONCE: Final = re.compile(r"0x[0-9a-fA-F]{64}")
_SIGNATURE: Final = re.compile(r"0x[0-9a-fA-F]{0,8192}")
_TRANSACTION: Final = re.compile(r"[\x21-\x7e]{0,256}")
_PAYMENT_ID: Final = re.compile(r"[A-Za-z0-9_-]{16,128}")


@dataclass(frozen=True, slots=True)
class Offer:
    """One entry of `accepts`: what a seller takes (PaymentRequirements).

    `network` is a CAIP-2 id whatever the version; `amount` is in atomic units. `raw` is the entry exactly as it
    was sent: it is what a payment echoes, so it is never rebuilt.
    """

    version: int
    scheme: str
    network: str
    amount: int
    asset: str
    pay_to: str
    max_timeout_seconds: int
    extra: JsonObject
    raw: JsonObject = field(repr=False)

    def __post_init__(self) -> None:
        if chain_id(self.network) is None:
            raise ValueError("network is not an EVM chain that is known here")
        if not 0 <= self.amount <= UINT256_MAX:
            raise ValueError("amount is not an unsigned 256-bit number")
        if not is_address(self.asset):
            raise ValueError("asset is not an address")
        if not is_address(self.pay_to):
            raise ValueError("payTo is not an address")
        if self.max_timeout_seconds <= 0:
            raise ValueError("maxTimeoutSeconds is not positive, so a payment would be expired when signed")


@dataclass(frozen=True, slots=True)
class Challenge:
    """The terms of a 402 (PaymentRequired).

    `skipped` says for each entry that could not be read why; the others are in `offers`, in the seller's order.
    `resource` and `extensions` (version 2) are as sent, to be echoed whole. `clock_skew` is by how many seconds
    the seller's clock is ahead of ours, by its `Date` header (None: it does not say).
    """

    version: int
    offers: tuple[Offer, ...]
    skipped: tuple[str, ...] = ()
    error: str | None = None
    resource: JsonObject | None = None
    extensions: JsonObject | None = None
    clock_skew: float | None = None


@dataclass(frozen=True, slots=True)
class Authorization:
    """What the payer signs (EIP-3009 `TransferWithAuthorization`).

    `value` in atomic units, times in unix seconds (valid strictly between them), `nonce` `0x` and 64 hex digits.
    """

    payer: str
    payee: str
    value: int
    valid_after: int
    valid_before: int
    nonce: str

    def __post_init__(self) -> None:
        if not is_address(self.payer):
            raise ValueError("from is not an address")
        if not is_address(self.payee):
            raise ValueError("to is not an address")
        if not 0 <= self.value <= UINT256_MAX:
            raise ValueError("value is not an unsigned 256-bit number")
        if not 0 <= self.valid_after <= UINT256_MAX or not 0 <= self.valid_before <= UINT256_MAX:
            raise ValueError("validAfter and validBefore must be unsigned 256-bit numbers")
        if not _NONCE.fullmatch(self.nonce):
            raise ValueError("nonce is not 32 bytes of hex")

    def as_json(self) -> dict[str, Json]:
        """The object as it travels: all strings, keys in the official client's order."""
        return {
            "from": self.payer,
            "to": self.payee,
            "value": str(self.value),
            "validAfter": str(self.valid_after),
            "validBefore": str(self.valid_before),
            "nonce": self.nonce,
        }


@dataclass(frozen=True, slots=True)
class PaymentHeader:
    """A payment ready to be sent. Whoever holds `value` can cash it, so it is never shown."""

    name: str
    value: str = field(repr=False)

    def __post_init__(self) -> None:
        if self.name not in PAYMENT_HEADERS.values():
            raise ValueError("a payment travels in X-PAYMENT or PAYMENT-SIGNATURE")


@dataclass(frozen=True, slots=True)
class Payment:
    """A signed payment (PaymentPayload) of scheme `exact`, EIP-3009.

    `scheme` and `network` are as sent: at the top in version 1, inside `accepted` in version 2. `signature` may be
    of any length (smart wallets); who verifies decides. It is never shown.
    """

    version: int
    scheme: str
    network: str
    authorization: Authorization
    signature: str = field(repr=False)
    accepted: JsonObject | None = None
    resource: JsonObject | None = None
    extensions: JsonObject | None = None

    def __post_init__(self) -> None:
        if self.version not in PAYMENT_HEADERS:
            raise ValueError("version must be 1 or 2")
        if (self.accepted is None) != (self.version == 1):
            raise ValueError("accepted belongs to version 2, and must be there")
        if len(self.signature) % 2 or not _SIGNATURE.fullmatch(self.signature):
            raise ValueError("signature is not 0x and at most 4096 bytes of hex")

    @property
    def payment_id(self) -> str | None:
        """The idempotency id the payer chose, if it sent a well-formed one."""
        entry = (self.extensions or {}).get(PAYMENT_IDENTIFIER)
        info = entry.get("info") if isinstance(entry, dict) else None
        value = info.get("id") if isinstance(info, dict) else None
        return value if isinstance(value, str) and valid_payment_id(value) else None

    def as_json(self) -> dict[str, Json]:
        """The message, keys in the order of the official client."""
        payload: dict[str, Json] = {"authorization": self.authorization.as_json(), "signature": self.signature}
        if self.accepted is None:
            return {"x402Version": 1, "scheme": self.scheme, "network": self.network, "payload": payload}
        message: dict[str, Json] = {"x402Version": self.version, "payload": payload, "accepted": self.accepted}
        if self.resource is not None:
            message["resource"] = self.resource
        if self.extensions is not None:
            message["extensions"] = self.extensions
        return message

    def encode(self) -> PaymentHeader:
        """The header that carries this payment."""
        return PaymentHeader(PAYMENT_HEADERS[self.version], encode_header(self.as_json()))


@dataclass(frozen=True, slots=True)
class Receipt:
    """The outcome of settling (SettlementResponse).

    `transaction` is "" when there is none. `network` is a CAIP-2 id where the name is known. `amount` is what was
    taken, when the answer says so. It is the sender's word: nothing here was checked on a chain.
    """

    success: bool
    transaction: str
    network: str
    payer: str | None = None
    amount: int | None = None
    error_reason: str | None = None

    def __post_init__(self) -> None:
        if not _TRANSACTION.fullmatch(self.transaction):
            raise ValueError("transaction is not an identifier")

    def as_json(self) -> dict[str, Json]:
        """The message; what is not known is left out."""
        message: dict[str, Json] = {"success": self.success}
        if self.error_reason is not None:
            message["errorReason"] = self.error_reason
        if self.payer is not None:
            message["payer"] = self.payer
        message |= {"transaction": self.transaction, "network": self.network}
        if self.amount is not None:
            message["amount"] = str(self.amount)
        return message


def valid_payment_id(text: str) -> bool:
    """Whether the text may be an id of the `payment-identifier` extension: 16 to 128 of `A-Z a-z 0-9 _ -`."""
    return _PAYMENT_ID.fullmatch(text) is not None
