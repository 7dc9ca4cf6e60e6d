"""Ordering a job at the mock vendor, and a front of it that speaks version 1 only."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx

from gpu_vendor_mock.settings import LOCAL_SECRET
from tests.x402.server import Reply, Seen, serving
from x402.wire import CHALLENGE_HEADER

_ACCESS = {"authorization": f"Bearer {LOCAL_SECRET}", "x-vendor-id": "gpu_vendor_1"}
_HOP_BY_HOP = {"connection", "content-length", "date", "keep-alive", "server", "transfer-encoding"}


@dataclass(frozen=True, slots=True)
class Order:
    """One job to buy: where, with which headers and body, at what price in micro-dollars."""

    url: str
    headers: dict[str, str]
    body: str
    price: int

    @property
    def key(self) -> str:
        return self.headers["idempotency-key"]


async def quoted(vendor: str, hours: float = 0.5, fault: str | None = None) -> Order:
    """A job that the vendor has given a price for. `fault` is one of the mock vendor's."""
    async with httpx.AsyncClient(base_url=vendor, headers=_ACCESS, timeout=60) as http:
        wanted = {"jobType": "fine_tune", "gpuType": "A100", "maxHours": hours}
        quote = (await http.post("/quote", json=wanted)).raise_for_status().json()
    headers = _ACCESS | {"content-type": "application/json", "idempotency-key": secrets.token_hex(16)}
    if fault is not None:
        headers["x-mock-fault"] = fault
    body = json.dumps({"vendorJobTemplateId": quote["vendorJobTemplateId"], "jobParams": {"gpuType": "A100"}})
    return Order(f"{vendor}/submit-job", headers, body, round(quote["priceEstimate"] * 1_000_000))


async def journal(vendor: str, name: str, key: str) -> list[dict[str, object]]:
    """The vendor's own record of one order: `settlements`, `jobs`, `payments` or `refusals`."""
    async with httpx.AsyncClient(base_url=vendor, headers=_ACCESS, timeout=60) as http:
        entries: list[dict[str, object]] = (await http.get("/journal")).raise_for_status().json()[name]
    return [entry for entry in entries if entry["key"] == key]


@asynccontextmanager
async def speaking_version_1(vendor: str) -> AsyncIterator[str]:
    """The vendor as it would be without version 2: its challenges have no header, only the body."""
    async with httpx.AsyncClient(timeout=60) as http:

        async def forward(request: Seen) -> Reply:
            sent = {name: value for name, value in request.headers.items() if name not in _HOP_BY_HOP}
            answer = await http.request(request.method, vendor + request.path, headers=sent, content=request.body)
            hidden = _HOP_BY_HOP | {CHALLENGE_HEADER.lower()}
            headers = {name: value for name, value in answer.headers.items() if name.lower() not in hidden}
            return Reply(answer.status_code, headers, answer.content)

        async with serving(forward) as url:
            yield url
