"""The vendor registry over HTTP."""

from __future__ import annotations

import pytest

from tests.api.client import Api, an_api

NEW = {
    "vendorId": "gpu_vendor_3",
    "name": "Gamma",
    "endpoint": "https://gamma.example",
    "basePricePerHour": 2.05,
    "supportedGpuTypes": ["B200"],
}


async def test_vendors_are_listed_with_their_record() -> None:
    """By id; what a payment needs to know is there, the secret is not."""
    api = await an_api("gpu_vendor_1:fail_at_epoch=1")
    run = await api.started()
    for _ in range(3):
        await api.post("/api/agent-tick", {"runId": run["_id"]})
        api.stage.clock.pass_(15)

    first, second = (await api.http.get("/api/vendors")).json()["vendors"]

    assert (first["vendorId"], first["basePricePerHour"], second["vendorId"]) == (
        "gpu_vendor_1",
        1.4,
        "gpu_vendor_2",
    )
    assert (first["record"]["completed"], first["record"]["failed"]) == (0, 1)
    assert first["record"]["evidence"][0]["runId"] == run["_id"]
    assert first["reliabilityScore"] < 0.9
    assert first["secretRef"] == "GPU_VENDOR_SECRET"


async def test_a_vendor_is_added_changed_and_removed() -> None:
    """Fields left out of a change stay as they are."""
    api = await an_api()

    added = await api.post("/api/vendors", NEW)
    assert added.status_code == 201
    assert added.json() == {
        **NEW,
        "reliabilityScore": 0.9,
        "payTo": None,
        "secretRef": "GPU_VENDOR_SECRET",
        "record": {"completed": 0, "failed": 0, "evidence": []},
        "createdAt": "2026-11-21T08:00:00.000Z",
    }

    change = {"basePricePerHour": 1.95, "supportedGpuTypes": ["B200", "H200"]}
    changed = await api.http.patch("/api/vendors/gpu_vendor_3", json=change)
    assert changed.json() == {**added.json(), **change}

    assert (await api.http.delete("/api/vendors/gpu_vendor_3")).status_code == 204
    again = await api.http.delete("/api/vendors/gpu_vendor_3")
    assert (again.status_code, again.json()["code"]) == (404, "vendor_not_found")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"endpoint": "ftp://gamma.example"}, "endpoint"),
        ({"endpoint": "http://gamma.example"}, "endpoint"),
        ({"endpoint": "https://user:pw@gamma.example"}, "endpoint"),
        ({"basePricePerHour": 0}, "basePricePerHour"),
        ({"basePricePerHour": "2"}, "basePricePerHour"),
        ({"reliabilityScore": 1.1}, "reliabilityScore"),
        ({"reliabilityScore": "0.9"}, "reliabilityScore"),
        ({"supportedGpuTypes": []}, "supportedGpuTypes"),
        ({"payTo": "0x12"}, "payTo"),
        ({"secretRef": "X402_PRIVATE_KEY"}, "secretRef"),
        ({"vendorId": "a b"}, "vendorId"),
        ({"name": "x" * 101}, "name"),
        ({"extra": 1}, "extra"),
    ],
)
async def test_a_vendor_that_must_not_be_used_is_refused(change: dict[str, object], field: str) -> None:
    """With the field at fault; nothing is written."""
    api = await an_api()

    answer = await api.post("/api/vendors", {**NEW, **change})

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert answer.json()["errors"][0]["field"] == field
    assert len((await api.http.get("/api/vendors")).json()["vendors"]) == 2


async def test_a_payee_can_be_unpinned() -> None:
    """By an operator, who then trusts the next one that the vendor names."""
    api = await an_api()

    changed = await api.http.patch("/api/vendors/gpu_vendor_1", json={"payTo": None})

    assert (changed.status_code, changed.json()["payTo"]) == (200, None)


async def refused_change(api: Api, vendor_id: str, body: object) -> tuple[int, str]:
    answer = await api.http.patch(f"/api/vendors/{vendor_id}", json=body)
    return answer.status_code, answer.json()["code"]


async def test_a_change_has_the_same_bounds() -> None:
    """And an id is taken once."""
    api = await an_api()

    assert await refused_change(api, "gpu_vendor_1", {"endpoint": "http://10.0.0.1"}) == (422, "invalid_request")
    assert await refused_change(api, "gpu_vendor_1", {"vendorId": "other"}) == (422, "invalid_request")
    assert await refused_change(api, "gpu_vendor_1", {}) == (422, "invalid_request")
    assert await refused_change(api, "gpu_vendor_1", {"name": None}) == (422, "invalid_request")
    assert await refused_change(api, "nobody", {"name": "Nobody"}) == (404, "vendor_not_found")
    taken = await api.post("/api/vendors", {**NEW, "vendorId": "gpu_vendor_1"})
    assert (taken.status_code, taken.json()["code"]) == (409, "vendor_exists")
