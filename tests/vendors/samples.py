"""A vendor, and answers as the contract has them, to be bent by the tests."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from vendors.models import Evidence, Outcome, Vendor

__all__ = [
    "PAYEE",
    "QUOTE",
    "REPORT",
    "SUBMITTED",
    "TOKEN",
    "TRANSACTION",
    "a_vendor",
    "evidence",
    "header",
    "receipt_header",
]

PAYEE: Final = "0xaac546D967d12a9C4408267e8AF0C1eed7cb621c"
TOKEN: Final = "a-very-secret-token"
TRANSACTION: Final = "0x" + "ab" * 32
NOON: Final = datetime(2026, 11, 21, 12, tzinfo=UTC)

QUOTE: Final = {"vendorJobTemplateId": "tpl_1", "priceEstimate": 1.4, "currency": "USD", "etaMinutes": 12}
SUBMITTED: Final = {"vendorJobId": "job_1", "status": "queued"}
REPORT: Final = {
    "status": "running",
    "progress": 42.5,
    "logs": ["queued", "epoch 1/5 loss=2.4"],
    "estimatedRemainingMinutes": 7,
    "costSoFar": 0.5,
}


def a_vendor(
    endpoint: str = "https://gpu.example",
    *,
    vendor_id: str = "gpu_vendor_1",
    name: str = "Alpha GPU",
    base_price_per_hour: int = 1_400_000,
    reliability_score: float = 0.9,
    reliability_prior: float = 0.9,
    supported_gpu_types: tuple[str, ...] = ("A100", "RTX4090"),
    pay_to: str | None = PAYEE,
    secret_ref: str = "GPU_VENDOR_SECRET",
) -> Vendor:
    return Vendor(
        vendor_id=vendor_id,
        name=name,
        endpoint=endpoint,
        base_price_per_hour=base_price_per_hour,
        reliability_score=reliability_score,
        reliability_prior=reliability_prior,
        supported_gpu_types=supported_gpu_types,
        pay_to=pay_to,
        secret_ref=secret_ref,
        created_at=NOON,
    )


def evidence(number: int, outcome: Outcome) -> Evidence:
    return Evidence(job_id=f"job{number}", run_id="run1", outcome=outcome, at=NOON)


def header(message: Mapping[str, object]) -> str:
    """An x402 header's value."""
    return base64.b64encode(json.dumps(message).encode()).decode()


def receipt_header(*, success: bool = True, transaction: str = TRANSACTION) -> dict[str, str]:
    message = {"success": success, "transaction": transaction, "network": "eip155:84532"}
    if not success:
        message["errorReason"] = "insufficient_funds"
    return {"PAYMENT-RESPONSE": header(message)}
