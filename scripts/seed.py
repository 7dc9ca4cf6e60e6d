"""The two vendors that `purser vendors seed` makes: those that the mock vendor plays, payees pinned."""

from __future__ import annotations

from pydantic import JsonValue

from agent.book.money import usd_json
from gpu_vendor_mock.catalog import DEFAULT_CATALOG
from scripts.client.api import Client, Reply
from scripts.client.errors import Refused
from scripts.client.registry import Vendor, add_vendor

__all__ = ["catalog", "seed"]


def catalog(endpoint: str) -> list[dict[str, JsonValue]]:
    """The bodies of POST /api/vendors."""
    return [
        {
            "vendorId": each.vendor_id,
            "name": each.name,
            "endpoint": endpoint,
            "basePricePerHour": usd_json(each.base_price_per_hour),
            "reliabilityScore": each.reliability_score,
            "supportedGpuTypes": list(each.supported_gpu_types),
            "payTo": each.pay_to,
        }
        for each in DEFAULT_CATALOG
    ]


def seed(client: Client, endpoint: str) -> list[Reply[Vendor]]:
    """Register them; those that are there already stay as they are. The ones that were added."""
    added = []
    for vendor in catalog(endpoint):
        try:
            added.append(add_vendor(client, vendor))
        except Refused as exc:
            if exc.code != "vendor_exists":
                raise
    return added
