"""Typed data and signatures: equal to eth-account's general implementation, byte for byte."""

from __future__ import annotations

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.x402.vectors import VECTORS, External, row_id
from x402.codec import UINT256_MAX
from x402.eip3009 import TRANSFER_TYPEHASH, Domain, TypedAuthorization, domain_separator, transfer_calldata
from x402.keccak import checksum_address, keccak256
from x402.networks import chain_id
from x402.secp256k1 import HALF_ORDER, SigningKey, recover
from x402.wire import Authorization

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141

_address = st.binary(min_size=20, max_size=20).map(lambda raw: "0x" + raw.hex())
_uint = st.integers(0, UINT256_MAX)
_key = st.integers(1, ORDER - 1).map(lambda number: number.to_bytes(32))
_name = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
_typed = st.builds(
    TypedAuthorization,
    st.builds(Domain, _name, _name, st.integers(1, 2**64), _address),
    st.builds(
        Authorization,
        payer=_address,
        payee=_address,
        value=_uint,
        valid_after=_uint,
        valid_before=_uint,
        nonce=st.binary(min_size=32, max_size=32).map(lambda raw: "0x" + raw.hex()),
    ),
)


@settings(max_examples=60, deadline=None)
@given(_typed, _key)
def test_hash_and_signature_equal_eth_accounts(typed: TypedAuthorization, secret: bytes) -> None:
    """Our fixed packing and our curve library agree with eth-account on every digest and every signature."""
    theirs = Account.sign_message(encode_typed_data(full_message=typed.as_typed_data()), secret)
    assert typed.digest == bytes(theirs.message_hash)
    assert SigningKey(secret).sign(typed.digest) == bytes(theirs.signature)


@settings(max_examples=60)
@given(_typed, _key)
def test_a_signature_recovers_to_its_signer_only_in_low_s(typed: TypedAuthorization, secret: bytes) -> None:
    """v may be 27/28 or 0/1; the twin with high s is refused, as FiatToken does."""
    key, digest = SigningKey(secret), typed.digest
    signature = key.sign(digest)
    assert recover(digest, signature) == key.address.lower()
    assert recover(digest, signature[:64] + bytes((signature[64] - 27,))) == key.address.lower()
    s = int.from_bytes(signature[32:64])
    assert s <= HALF_ORDER
    twin = signature[:32] + (ORDER - s).to_bytes(32) + bytes((55 - signature[64],))
    with pytest.raises(ValueError, match="upper half"):
        recover(digest, twin)


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=80) | st.binary(min_size=65, max_size=65))
def test_any_bytes_recover_to_an_address_or_to_a_value_error(digest: bytes, signature: bytes) -> None:
    """The curve library's own exceptions never come out."""
    try:
        assert recover(digest, signature).startswith("0x")
    except ValueError:
        return


@pytest.mark.parametrize(
    ("signature", "why"),
    [
        (bytes(64), "65 bytes"),
        (bytes(66), "65 bytes"),
        (bytes(64) + b"\x1b", "no key"),
        (b"\xff" * 32 + bytes(31) + b"\x01\x1b", "no key"),
        (b"\x01" * 64 + b"\x02", "v is not"),
        (b"\x01" * 64 + b"\x1d", "v is not"),
        (b"\x01" * 32 + b"\xff" * 32 + b"\x1b", "upper half"),
    ],
)
def test_signatures_of_nobody_are_refused(signature: bytes, why: str) -> None:
    """Length, v, s and r are each looked at."""
    with pytest.raises(ValueError, match=why):
        recover(bytes(32), signature)


def test_type_hashes_are_those_of_their_texts() -> None:
    """The constants are the hashes of the EIP-3009 and EIP-712 type strings."""
    text = (
        b"TransferWithAuthorization(address from,address to,uint256 value,"
        b"uint256 validAfter,uint256 validBefore,bytes32 nonce)"
    )
    assert keccak256(text) == TRANSFER_TYPEHASH
    assert VECTORS["typeHashes"]["TransferWithAuthorization"] == "0x" + TRANSFER_TYPEHASH.hex()


@pytest.mark.parametrize("row", VECTORS["external"], ids=row_id)
def test_the_example_of_the_spec_recovers_to_its_payer(row: External) -> None:
    """A signature that neither we nor the SDK made."""
    signed, chain = row["authorization"], chain_id(row["network"])
    assert chain is not None
    authorization = Authorization(
        payer=str(signed["from"]),
        payee=str(signed["to"]),
        value=int(str(signed["value"])),
        valid_after=int(str(signed["validAfter"])),
        valid_before=int(str(signed["validBefore"])),
        nonce=str(signed["nonce"]),
    )
    assert authorization.as_json() == signed
    typed = TypedAuthorization(
        Domain(row["domain"]["name"], row["domain"]["version"], chain, row["asset"]), authorization
    )
    assert recover(typed.digest, bytes.fromhex(row["signature"][2:])) == row["recoversTo"].lower()


def test_every_field_of_the_domain_is_in_its_separator() -> None:
    """Another name, version, chain or contract is another domain."""
    address = "0x" + "11" * 20
    domains = [
        Domain("USDC", "2", 1, address),
        Domain("USD Coin", "2", 1, address),
        Domain("USDC", "1", 1, address),
        Domain("USDC", "2", 2, address),
        Domain("USDC", "2", 1, "0x" + "12" * 20),
    ]
    assert len({domain_separator(domain) for domain in domains}) == len(domains)


@pytest.mark.parametrize(("chain", "contract"), [(0, "0x" + "11" * 20), (2**256, "0x" + "11" * 20), (1, "0x11")])
def test_a_domain_that_is_none_cannot_be_built(chain: int, contract: str) -> None:
    """Frozen values are valid by construction."""
    with pytest.raises(ValueError, match=r"chainId|verifyingContract"):
        Domain("USDC", "2", chain, contract)


def test_calldata_is_the_call_that_settles() -> None:
    """EIP-3009 transferWithAuthorization(from,to,value,validAfter,validBefore,nonce,v,r,s), v as 27 or 28."""
    authorization = Authorization("0x" + "aa" * 20, "0x" + "bb" * 20, 1, 2, 3, "0x" + "cc" * 32)
    signature = b"\x0e" * 32 + b"\x0f" * 32
    data = transfer_calldata(authorization, signature + b"\x1c")
    words = [data[start : start + 32] for start in range(4, len(data), 32)]
    assert data[:4].hex() == "e3ee160e"
    assert [word.hex().lstrip("0") for word in words] == [
        "aa" * 20,
        "bb" * 20,
        "1",
        "2",
        "3",
        "cc" * 32,
        "1c",
        ("0e" * 32)[1:],
        ("0f" * 32)[1:],
    ]
    assert transfer_calldata(authorization, signature + b"\x01") == data


@pytest.mark.parametrize(
    "address",
    [
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
        "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
        "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
    ],
)
def test_checksums_are_those_of_eip_55(address: str) -> None:
    """The examples printed in EIP-55."""
    assert checksum_address(address.lower()) == address
    assert checksum_address("0x" + address[2:].upper()) == address


def test_a_checksum_needs_an_address() -> None:
    """Anything else is the caller's mistake."""
    with pytest.raises(ValueError, match="40 hex digits"):
        checksum_address("0x12")
