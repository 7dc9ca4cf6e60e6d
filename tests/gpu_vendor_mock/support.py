"""A buyer for the mock vendor that shares no code with it.

Payments are signed by eth-account and put together by hand from the x402 specs, so a fault of our own x402 code
cannot hide itself here.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import httpx
from eth_account import Account

from gpu_vendor_mock.settings import LOCAL_SECRET, Settings

__all__ = [
    "NOW",
    "Buyer",
    "Clock",
    "Sleeper",
    "Vendor",
    "as_version_1",
    "decoded",
    "dig",
    "encoded",
    "low_v",
    "respelled",
    "settings",
    "text",
]

NOW = 1_790_000_000.0
SECRET = LOCAL_SECRET


class Clock:
    """Unix seconds that only move when told."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


class Sleeper:
    """Notes how long it was told to sleep, and does not."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.slept.append(seconds)


def settings(**given: object) -> Settings:
    """Settings as given, whatever the environment of the test run holds."""
    return Settings(_env_file=None, **given)  # type: ignore[arg-type]


def dig(value: object, *path: str | int) -> object:
    """The value at `path` in decoded JSON."""
    for step in path:
        if isinstance(step, str):
            assert isinstance(value, dict)
            value = value[step]
        else:
            assert isinstance(value, list)
            value = value[step]
    return value


def text(value: object, *path: str | int) -> str:
    """The string at `path` in decoded JSON."""
    found = dig(value, *path)
    assert isinstance(found, str)
    return found


def decoded(header: str) -> dict[str, object]:
    """The JSON object in a protocol header."""
    value = json.loads(base64.b64decode(header, validate=True))
    assert isinstance(value, dict)
    return value


def encoded(message: Mapping[str, object]) -> str:
    """A protocol header that holds `message`."""
    return base64.b64encode(json.dumps(message).encode()).decode()


@dataclass
class Buyer:
    """Someone with a key, who pays what a 402 asks for. Changes to the authorization are signed like the rest."""

    key: str = "0x" + "11" * 32
    nonces: int = 0

    @property
    def address(self) -> str:
        """Where the money comes from."""
        return str(Account.from_key(self.key).address)

    def next_nonce(self) -> str:
        """A nonce not used before."""
        self.nonces += 1
        return f"0x{self.nonces:064x}"

    def pay(self, unpaid: httpx.Response, version: Literal[1, 2] = 2, **changes: str | int) -> dict[str, str]:
        """The payment header for the terms in `unpaid`; `changes` go into the authorization before signing."""
        assert unpaid.status_code == 402
        challenge = decoded(unpaid.headers["payment-required"]) if version == 2 else unpaid.json()
        offer = dig(challenge, "accepts", 0)
        assert isinstance(offer, dict)
        named = str(offer["network"])
        network = {"base-sepolia": "eip155:84532", "base": "eip155:8453"}.get(named, named)
        authorization: dict[str, object] = {
            "from": self.address,
            "to": offer["payTo"],
            "value": offer["amount" if version == 2 else "maxAmountRequired"],
            "validAfter": "0",
            "validBefore": str(int(NOW) + offer["maxTimeoutSeconds"]),
            "nonce": changes.pop("nonce", None) or self.next_nonce(),
        } | {name: str(value) for name, value in changes.items()}
        payload = {"signature": self._sign(authorization, offer, network), "authorization": authorization}
        if version == 1:
            message = {"x402Version": 1, "scheme": "exact", "network": offer["network"], "payload": payload}
            return {"X-PAYMENT": encoded(message)}
        message = {"x402Version": 2, "payload": payload, "accepted": offer, "resource": challenge.get("resource")}
        return {"PAYMENT-SIGNATURE": encoded(message)}

    def _sign(self, authorization: Mapping[str, object], offer: Mapping[str, object], network: str) -> str:
        extra = offer["extra"]
        assert isinstance(extra, dict)
        signed = Account.sign_typed_data(
            self.key,
            domain_data={
                "name": extra["name"],
                "version": extra["version"],
                "chainId": int(network.removeprefix("eip155:")),
                "verifyingContract": offer["asset"],
            },
            message_types={
                "TransferWithAuthorization": [
                    {"name": "from", "type": "address"},
                    {"name": "to", "type": "address"},
                    {"name": "value", "type": "uint256"},
                    {"name": "validAfter", "type": "uint256"},
                    {"name": "validBefore", "type": "uint256"},
                    {"name": "nonce", "type": "bytes32"},
                ]
            },
            message_data={
                **authorization,
                "value": int(str(authorization["value"])),
                "validAfter": int(str(authorization["validAfter"])),
                "validBefore": int(str(authorization["validBefore"])),
                "nonce": bytes.fromhex(str(authorization["nonce"]).removeprefix("0x")),
            },
        )
        return "0x" + bytes(signed.signature).hex()


def respelled(header: Mapping[str, str]) -> dict[str, str]:
    """The same authorization and signature, with the hex of the nonce and the payer in capitals."""
    message = decoded(header["PAYMENT-SIGNATURE"])
    authorization = dig(message, "payload", "authorization")
    assert isinstance(authorization, dict)
    for name in ("nonce", "from"):
        authorization[name] = "0x" + str(authorization[name])[2:].upper()
    return {"PAYMENT-SIGNATURE": encoded(message)}


def low_v(header: Mapping[str, str]) -> dict[str, str]:
    """The same signature with a recovery byte of 0 or 1 in place of 27 or 28: other bytes, equally valid."""
    message = decoded(header["PAYMENT-SIGNATURE"])
    payload = dig(message, "payload")
    assert isinstance(payload, dict)
    signature = str(payload["signature"])
    payload["signature"] = signature[:-2] + f"{int(signature[-2:], 16) - 27:02x}"
    return {"PAYMENT-SIGNATURE": encoded(message)}


def as_version_1(header: Mapping[str, str]) -> dict[str, str]:
    """The same signed authorization in the clothes of the older protocol."""
    payload = dig(decoded(header["PAYMENT-SIGNATURE"]), "payload")
    return {
        "X-PAYMENT": encoded({"x402Version": 1, "scheme": "exact", "network": "base-sepolia", "payload": payload})
    }


@dataclass
class Vendor:
    """One vendor, spoken to over HTTP."""

    http: httpx.AsyncClient
    vendor_id: str = "gpu_vendor_1"
    secret: str = SECRET
    params: dict[str, object] = field(
        default_factory=lambda: {"jobType": "fine_tune", "gpuType": "A100", "maxHours": 1, "goal": "tiny-llm"}
    )

    def headers(self, extra: Mapping[str, str] | None = None, fault: str = "") -> dict[str, str]:
        """What every request carries."""
        headers = {"authorization": f"Bearer {self.secret}", "x-vendor-id": self.vendor_id, **(extra or {})}
        return headers | ({"x-mock-fault": fault} if fault else {})

    async def quote(
        self, fault: str = "", payment: Mapping[str, str] | None = None, **changes: object
    ) -> httpx.Response:
        """POST /quote."""
        body = {name: self.params[name] for name in ("jobType", "gpuType", "maxHours")} | changes
        return await self.http.post("/quote", json=body, headers=self.headers(payment, fault))

    async def template(self) -> str:
        """The template id of a fresh quote."""
        return text((await self.quote()).json(), "vendorJobTemplateId")

    async def submit(
        self,
        template: str,
        key: str | None,
        payment: Mapping[str, str] | None = None,
        fault: str = "",
        **params: object,
    ) -> httpx.Response:
        """POST /submit-job, with the payment header if one is given."""
        return await self.http.post(
            "/submit-job",
            json={"vendorJobTemplateId": template, "jobParams": self.params | params},
            headers=self.headers({**({} if key is None else {"idempotency-key": key}), **(payment or {})}, fault),
        )

    async def buy(self, buyer: Buyer, key: str = "order-1", fault: str = "") -> httpx.Response:
        """Quote, challenge, payment: the answer to the paid request. `fault` goes with both submissions."""
        template = await self.template()
        unpaid = await self.submit(template, key, fault=fault)
        return await self.submit(template, key, buyer.pay(unpaid), fault=fault)

    async def status(self, vendor_job_id: str, fault: str = "") -> httpx.Response:
        """GET /job-status."""
        return await self.http.get(
            "/job-status", params={"vendorJobId": vendor_job_id}, headers=self.headers(fault=fault)
        )

    async def journal(self, part: str) -> list[dict[str, object]]:
        """One list of GET /journal."""
        response = await self.http.get("/journal", headers=self.headers())
        entries = dig(response.json(), part)
        assert isinstance(entries, list)
        return entries
