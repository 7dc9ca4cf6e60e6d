"""A vendor that must not be used cannot be built."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import FrozenInstanceError, fields

import pytest

from tests.vendors.samples import a_vendor
from vendors.errors import InvalidVendor
from vendors.models import MAX_PRICE, Record, Vendor


@pytest.mark.parametrize(
    ("build", "field"),
    [
        (lambda: a_vendor(vendor_id=""), "vendor_id"),
        (lambda: a_vendor(vendor_id="a" * 65), "vendor_id"),
        (lambda: a_vendor(vendor_id="gpu.vendor"), "vendor_id"),
        (lambda: a_vendor(vendor_id="gpu_vendor_1\n"), "vendor_id"),
        (lambda: a_vendor(vendor_id="$where"), "vendor_id"),
        (lambda: a_vendor(name=""), "name"),
        (lambda: a_vendor(name="a" * 101), "name"),
        (lambda: a_vendor(name="Al\x1b[31mpha"), "name"),
        (lambda: a_vendor(base_price_per_hour=0), "base_price_per_hour"),
        (lambda: a_vendor(base_price_per_hour=MAX_PRICE + 1), "base_price_per_hour"),
        (lambda: a_vendor(reliability_score=1.1), "reliability_score"),
        (lambda: a_vendor(reliability_score=float("nan")), "reliability_score"),
        (lambda: a_vendor(reliability_prior=-0.1), "reliability_prior"),
        (lambda: a_vendor(supported_gpu_types=()), "supported_gpu_types"),
        (lambda: a_vendor(supported_gpu_types=("A100",) * 65), "supported_gpu_types"),
        (lambda: a_vendor(supported_gpu_types=("A 100",)), "supported_gpu_types"),
        (lambda: a_vendor(pay_to="0x" + "0" * 39), "pay_to"),
        (lambda: a_vendor(pay_to=""), "pay_to"),
        (lambda: a_vendor(secret_ref="gpu_vendor_secret"), "secret_ref"),
        (lambda: a_vendor(secret_ref=""), "secret_ref"),
    ],
)
def test_each_field_has_its_rule(build: Callable[[], Vendor], field: str) -> None:
    """What breaks a rule is refused, and the error names the field, for the API to say so too."""
    with pytest.raises(InvalidVendor) as caught:
        build()
    assert caught.value.field == field
    assert str(caught.value) == f"{field} {caught.value.problem}"


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://gpu.example",
        "https://gpu.example:8443/v1/",
        "https://[2606:4700::1111]/x",
        "http://127.0.0.1:4001",
        "http://localhost:4001",
        "http://[::1]:4001",
        "http://vendor.localhost",
    ],
)
def test_an_endpoint_over_tls_or_on_this_machine_is_taken(endpoint: str) -> None:
    """https anywhere, http where nobody can listen."""
    assert a_vendor(endpoint).endpoint == endpoint


@pytest.mark.parametrize(
    "endpoint",
    [
        "",
        "gpu.example",
        "ftp://gpu.example",
        "https://",
        "https://:443",
        "https://gpu.example:99999",
        "https://gpu.example:port",
        "https://[::1",
        "https://gpu .example",
        "https://gpu.example\n",
        "https://gpü.example",
        "https://user:password@gpu.example",
        "https://gpu.example/?key=1",
        "https://gpu.example/#top",
        "https://gpu..example",
        "https://[fe80::1%25eth0]",
        "https://999.1.1.1",
        "https://1.2.3",
        "https://vendor.7",
        "https://0x7f000001",
        "https://127.0x1",
        "https://a:b:c",
        "https://" + "a" * 64 + ".example",
        "https://gpu.example/" + "a" * 2_000,
        "http://gpu.example",
        "http://vendor:4001",
        "http://10.0.0.7",
        "http://93.184.216.34",
        "http://169.254.169.254",
        "http://2852039166",
        "http://localhost.example",
    ],
)
def test_any_other_endpoint_is_refused(endpoint: str) -> None:
    """A token or a payment is not sent in the clear, to nobody, or to an address that says two things."""
    with pytest.raises(InvalidVendor) as caught:
        a_vendor(endpoint)
    assert caught.value.field == "endpoint"


def test_values_do_not_change() -> None:
    """A vendor is a value: what was checked stays true."""
    vendor = a_vendor()
    assert vendor.record == Record(completed=0, failed=0, evidence=())
    for field in fields(vendor):
        with pytest.raises(FrozenInstanceError):
            setattr(vendor, field.name, None)
