"""The registry of vendors over the API: its calls and its answers. Amounts in micro-dollars."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from pydantic import JsonValue

from scripts.client.api import Client, Reply
from scripts.client.shapes import Shape, Usd

__all__ = [
    "Resealed",
    "Unopened",
    "Vendor",
    "VendorRecord",
    "Vendors",
    "add_vendor",
    "change_vendor",
    "list_vendors",
    "remove_vendor",
    "reseal_vendors",
]


class VendorRecord(Shape):
    """All outcomes of a vendor, counted."""

    completed: int
    failed: int


class Vendor(Shape):
    """A vendor as registered."""

    vendor_id: str
    name: str
    endpoint: str
    base_price_per_hour: Usd
    reliability_score: float
    record: VendorRecord
    supported_gpu_types: tuple[str, ...]
    pay_to: str | None


class Vendors(Shape):
    """The registry."""

    vendors: tuple[Vendor, ...]


class Unopened(Shape):
    """A vendor whose sealed secret does not open."""

    vendor_id: str
    reason: str


class Resealed(Shape):
    """What a rotation of the sealing keys did."""

    resealed: int
    current: int
    failed: tuple[Unopened, ...]


def list_vendors(client: Client) -> Reply[Vendors]:
    """The registry."""
    return client.read(Vendors, client.ask("GET", "/api/vendors"))


def add_vendor(client: Client, vendor: Mapping[str, JsonValue]) -> Reply[Vendor]:
    """Register a vendor. `vendor` is the body of POST /api/vendors."""
    return client.read(Vendor, client.ask("POST", "/api/vendors", body=vendor))


def change_vendor(client: Client, vendor_id: str, changes: Mapping[str, JsonValue]) -> Reply[Vendor]:
    """Change the given fields of a vendor."""
    return client.read(Vendor, client.ask("PATCH", _path(vendor_id), body=changes))


def reseal_vendors(client: Client) -> Reply[Resealed]:
    """Seal every secret in the registry with the newest key."""
    return client.read(Resealed, client.ask("POST", "/api/vendors/reseal", body={}))


def remove_vendor(client: Client, vendor_id: str) -> None:
    """Strike a vendor off."""
    client.ask("DELETE", _path(vendor_id))


def _path(vendor_id: str) -> str:
    return f"/api/vendors/{quote(vendor_id, safe='')}"
