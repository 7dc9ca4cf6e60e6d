"""The vendors that one process plays."""

from __future__ import annotations

import json

import pytest
from eth_utils.address import to_checksum_address

from gpu_vendor_mock.catalog import (
    DEFAULT_CATALOG,
    GPU_VENDOR_1_PAY_TO,
    GPU_VENDOR_2_PAY_TO,
    WRONG_PAYEE,
    Persona,
    parse_catalog,
)
from gpu_vendor_mock.errors import BadSetting


def _entry(**changes: object) -> dict[str, object]:
    entry: dict[str, object] = {
        "vendorId": "cheap",
        "name": "Cheap GPUs",
        "basePricePerHour": 0.25,
        "supportedGpuTypes": ["RTX4090"],
    }
    return entry | changes


def test_the_default_vendors_are_those_the_planner_is_measured_against() -> None:
    """The design names their prices and reliability."""
    first, second = DEFAULT_CATALOG
    assert (first.vendor_id, first.base_price_per_hour, first.reliability_score) == (
        "gpu_vendor_1",
        1_400_000,
        0.9,
    )
    assert (second.vendor_id, second.base_price_per_hour, second.reliability_score) == (
        "gpu_vendor_2",
        1_800_000,
        0.95,
    )


@pytest.mark.parametrize("address", [GPU_VENDOR_1_PAY_TO, GPU_VENDOR_2_PAY_TO, WRONG_PAYEE])
def test_payees_are_checksummed_addresses(address: str) -> None:
    """Wallets refuse an address whose EIP-55 checksum is off."""
    assert to_checksum_address(address) == address


def test_the_payees_differ() -> None:
    """Otherwise the fault `wrong_payee` and a pinned payee could not be told apart."""
    assert len({GPU_VENDOR_1_PAY_TO, GPU_VENDOR_2_PAY_TO, WRONG_PAYEE}) == 3


def test_a_catalog_is_read_from_json() -> None:
    """MOCK_VENDORS replaces the default vendors; prices are decimal dollars and exact."""
    text = json.dumps(
        [_entry(), _entry(vendorId="paid", basePricePerHour=2, payTo=WRONG_PAYEE, reliabilityScore=0.5)]
    )
    assert parse_catalog(text) == (
        Persona("cheap", "Cheap GPUs", 250_000, 0.9, ("RTX4090",), None),
        Persona("paid", "Cheap GPUs", 2_000_000, 0.5, ("RTX4090",), WRONG_PAYEE),
    )


def test_a_vendor_without_a_payee_is_free() -> None:
    """It asks for no payment, as some real vendors do."""
    free, paid = parse_catalog(json.dumps([_entry(), _entry(vendorId="paid", payTo=WRONG_PAYEE)]))
    assert free.free
    assert not paid.free


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("not json", "not a list of vendors"),
        ("[]", "at least 1 item"),
        (json.dumps([_entry(vendorId="a b")]), "0.vendorId"),
        (json.dumps([_entry(basePricePerHour=0)]), "0.basePricePerHour"),
        (json.dumps([_entry(basePricePerHour=0.0000001)]), "0.basePricePerHour"),
        (
            '[{"vendorId":"a","name":"A","basePricePerHour":NaN,"supportedGpuTypes":["A100"]}]',
            "0.basePricePerHour",
        ),
        (json.dumps([_entry(payTo="0x12")]), "0.payTo"),
        (json.dumps([_entry(supportedGpuTypes=[])]), "0.supportedGpuTypes"),
        (json.dumps([_entry(colour="red")]), "0.colour"),
        (json.dumps([_entry(), _entry()]), "appear once"),
    ],
)
def test_a_bad_catalog_is_refused_with_the_field_at_fault(text: str, says: str) -> None:
    """Nobody should have to guess which entry is wrong."""
    with pytest.raises(BadSetting, match=says):
        parse_catalog(text)
