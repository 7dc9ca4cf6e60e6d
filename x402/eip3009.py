"""EIP-3009 `TransferWithAuthorization` as EIP-712 typed data, hashed directly.

The struct has a fixed shape, so it is packed by hand: no ABI library, and the domain separator of a token is
computed once. Equality with eth-account's general encoder is proven in the tests.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from net.strict_json import Json
from x402.codec import is_address
from x402.keccak import keccak256
from x402.wire import Authorization

__all__ = ["TRANSFER_TYPEHASH", "Domain", "TypedAuthorization", "domain_separator", "transfer_calldata"]

TRANSFER_TYPEHASH: Final = bytes.fromhex("7c7c6cdb67a18743f49ec6fa9b35f50d52ed05cbed4cc592e13b44501c1a2267")
"""keccak256 of the struct's type string (EIP-3009)."""

_DOMAIN_TYPEHASH: Final = bytes.fromhex("8b73c3c69bb8fe3d512ecc4cf759cc79239f7b179b0ffacaa9a75d522b39400f")
_TRANSFER_SELECTOR: Final = bytes.fromhex("e3ee160e")  # of transferWithAuthorization(..., v, r, s)
_PAD: Final = bytes(12)
_DOMAIN_FIELDS: Final = (
    ("name", "string"),
    ("version", "string"),
    ("chainId", "uint256"),
    ("verifyingContract", "address"),
)
_TRANSFER_FIELDS: Final = (
    ("from", "address"),
    ("to", "address"),
    ("value", "uint256"),
    ("validAfter", "uint256"),
    ("validBefore", "uint256"),
    ("nonce", "bytes32"),
)


@dataclass(frozen=True, slots=True)
class Domain:
    """The EIP-712 domain of a token: its own name and version, its chain, its address."""

    name: str
    version: str
    chain_id: int
    contract: str

    def __post_init__(self) -> None:
        if not is_address(self.contract):
            raise ValueError("verifyingContract is not an address")
        if not 0 < self.chain_id < 2**256:
            raise ValueError("chainId is not a positive 256-bit number")


@dataclass(frozen=True, slots=True)
class TypedAuthorization:
    """An authorization together with the token it is for: all that a wallet needs to sign it."""

    domain: Domain
    authorization: Authorization

    @property
    def struct_hash(self) -> bytes:
        """EIP-712 `hashStruct` of the message."""
        return keccak256(TRANSFER_TYPEHASH + _words(self.authorization))

    @property
    def digest(self) -> bytes:
        """The 32 bytes that are signed (EIP-712)."""
        return keccak256(b"\x19\x01" + domain_separator(self.domain) + self.struct_hash)

    def as_typed_data(self) -> dict[str, Json]:
        """The JSON of `eth_signTypedData_v4`, for wallets that hash by themselves."""
        return {
            "types": {
                "EIP712Domain": [{"name": name, "type": kind} for name, kind in _DOMAIN_FIELDS],
                "TransferWithAuthorization": [{"name": name, "type": kind} for name, kind in _TRANSFER_FIELDS],
            },
            "primaryType": "TransferWithAuthorization",
            "domain": {
                "name": self.domain.name,
                "version": self.domain.version,
                "chainId": self.domain.chain_id,
                "verifyingContract": self.domain.contract,
            },
            "message": self.authorization.as_json(),
        }


@lru_cache(maxsize=256)
def domain_separator(domain: Domain) -> bytes:
    """EIP-712 `hashStruct` of the domain; equal to the token's `DOMAIN_SEPARATOR()`."""
    return keccak256(
        _DOMAIN_TYPEHASH
        + keccak256(domain.name.encode())
        + keccak256(domain.version.encode())
        + domain.chain_id.to_bytes(32)
        + _PAD
        + bytes.fromhex(domain.contract[2:])
    )


def transfer_calldata(authorization: Authorization, signature: bytes) -> bytes:
    """The call that settles a payment: `transferWithAuthorization` with a 65-byte signature r, s, v."""
    v = signature[64] if signature[64] >= 27 else signature[64] + 27
    return _TRANSFER_SELECTOR + _words(authorization) + v.to_bytes(32) + signature[:64]


def _words(a: Authorization) -> bytes:
    return b"".join(
        (
            _PAD,
            bytes.fromhex(a.payer[2:]),
            _PAD,
            bytes.fromhex(a.payee[2:]),
            a.value.to_bytes(32),
            a.valid_after.to_bytes(32),
            a.valid_before.to_bytes(32),
            bytes.fromhex(a.nonce[2:]),
        )
    )
