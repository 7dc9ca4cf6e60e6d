"""The vendor registry over HTTP."""

from __future__ import annotations

import pytest

from gpu_vendor_mock.catalog import DEFAULT_CATALOG
from tests.api.client import Api, an_api

KEY = "0f" * 32
SECRET = "the-token-of-gamma-0123456789"

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
        "sealed": False,
        "allowTxId": False,
        "record": {"completed": 0, "failed": 0, "evidence": [], "voteCount": 0, "voteAverage": None},
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
        ({"endpoint": "https://10.0.0.1"}, "endpoint"),
        ({"endpoint": "https://[64:ff9b::a9fe:a9fe]"}, "endpoint"),
        ({"secret": ""}, "secret"),
        ({"secret": "two words"}, "secret"),
        ({"secret": "x" * 4_097}, "secret"),
        ({"secret": 7}, "secret"),
        ({"secret": "a-token"}, "secret"),
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


async def test_a_payee_can_be_corrected_and_the_one_before_is_kept() -> None:
    """The trail of the next payment says that it was changed."""
    api = await an_api()
    other = "0x90F79bf6EB2c4f870365E785982E1f101E93b906"

    changed = await api.http.patch("/api/vendors/gpu_vendor_1", json={"payTo": other})

    vendor = await api.stage.services.vendors.find("gpu_vendor_1")
    assert vendor is not None
    assert (changed.json()["payTo"], vendor.former_pay_to) == (other, DEFAULT_CATALOG[0].pay_to)


async def test_the_wallet_itself_is_no_payee() -> None:
    """It would pay itself."""
    api = await an_api()
    wallet = api.stage.services.wallet.address

    refused = await api.http.patch("/api/vendors/gpu_vendor_1", json={"payTo": wallet.lower()})

    assert refused.status_code == 422
    assert "would pay itself" in refused.json()["detail"]


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


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:4001", "https://[::1]", "http://gpu.localhost:1"])
async def test_this_machine_is_no_vendor_where_that_is_refused(endpoint: str) -> None:
    """Neither a new one nor a change; what is registered already can still be changed otherwise."""
    api = await an_api(loopback_vendors="refuse")

    for answer in (
        await api.post("/api/vendors", {**NEW, "endpoint": endpoint}),
        await api.http.patch("/api/vendors/gpu_vendor_1", json={"endpoint": endpoint}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
        assert answer.json()["errors"] == [
            {
                "field": "endpoint",
                "message": "must not be on this machine, which is refused unless LOOPBACK_VENDORS=allow",
            }
        ]
    assert (await api.http.patch("/api/vendors/gpu_vendor_1", json={"name": "Alpha"})).status_code == 200
    assert (await api.post("/api/vendors", NEW)).status_code == 201


async def test_a_wallet_or_a_platform_rules_this_machine_out() -> None:
    """Unless an operator says otherwise."""
    for settings, status in (
        ({"x402_private_key": "11" * 32, "api_token": None}, 503),
        ({"x402_private_key": "11" * 32, "api_token": "token-of-the-operator"}, 422),
        ({"x402_private_key": "11" * 32, "api_token": "token-of-the-operator", "loopback_vendors": "allow"}, 201),
    ):
        api = await an_api(**settings)
        body = {**NEW, "endpoint": "http://127.0.0.1:4001"}
        answer = await api.post("/api/vendors", body, Authorization="Bearer token-of-the-operator")
        assert answer.status_code == status, answer.text


async def test_a_secret_is_taken_and_never_given() -> None:
    """Neither by the answer, nor by the list, nor by what is stored; the vendor is called with it."""
    api = await an_api(sealing_keys=KEY)

    added = await api.post("/api/vendors", {**NEW, "secret": SECRET})
    listed = await api.http.get("/api/vendors")

    assert (added.status_code, added.json()["secretRef"], added.json()["sealed"]) == (201, None, True)
    stored = await api.stage.database.collection("vendors").find_one({"_id": "gpu_vendor_3"})
    assert stored is not None
    assert stored["sealedSecret"]
    for shown in (added.text, listed.text, str(stored)):
        assert SECRET not in shown
        assert SECRET.encode().hex() not in shown
    assert stored["sealedSecret"] not in added.text + listed.text
    assert "sealedSecret" not in added.text + listed.text


async def test_a_token_moves_between_a_variable_and_the_registry() -> None:
    """What was there before is gone, and neither is mixed with the other."""
    api = await an_api(sealing_keys=KEY)
    path = "/api/vendors/gpu_vendor_1"

    sealed = (await api.http.patch(path, json={"secret": SECRET})).json()
    assert (sealed["secretRef"], sealed["sealed"]) == (None, True)
    renamed = (await api.http.patch(path, json={"name": "Alpha"})).json()
    assert (renamed["secretRef"], renamed["sealed"]) == (None, True)
    named = (await api.http.patch(path, json={"secretRef": "GPU_VENDOR_SECRET_EU"})).json()
    assert (named["secretRef"], named["sealed"]) == ("GPU_VENDOR_SECRET_EU", False)
    stored = await api.stage.database.collection("vendors").find_one({"_id": "gpu_vendor_1"})
    assert stored is not None
    assert stored["sealedSecret"] is None


async def test_a_sealed_secret_does_not_follow_its_vendor_to_another_address() -> None:
    """It would be sent to whoever is there. Given again it goes along; below the same address it stays."""
    api = await an_api(sealing_keys=KEY)
    path = "/api/vendors/gpu_vendor_1"
    here = (await api.http.patch(path, json={"secret": SECRET})).json()["endpoint"]

    refused = await api.http.patch(path, json={"endpoint": "https://thief.example"})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "secret")
    assert (await api.http.patch(path, json={"endpoint": f"{here}/v2"})).status_code == 200
    for host, change in (("new", {"secret": "another-token"}), ("newer", {"secretRef": "GPU_VENDOR_SECRET_EU"})):
        moved = await api.http.patch(path, json={"endpoint": f"https://{host}.example", **change})
        assert moved.status_code == 200


@pytest.mark.parametrize("change", [{"secret": SECRET, "secretRef": "GPU_VENDOR_SECRET"}, {"secret": None}])
async def test_a_secret_is_one_and_is_there(change: dict[str, object]) -> None:
    """Which of two would be meant? Nothing is written, and the answer does not repeat it."""
    api = await an_api(sealing_keys=KEY)

    answer = await api.http.patch("/api/vendors/gpu_vendor_1", json=change)

    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "secret")
    assert SECRET not in answer.text


@pytest.mark.parametrize("secret", [SECRET + " ", SECRET + "é", [SECRET], {SECRET: 1}])
async def test_a_secret_that_is_refused_is_not_repeated(secret: object, caplog: pytest.LogCaptureFixture) -> None:
    """Not in the answer, and not in the log."""
    api = await an_api(sealing_keys=KEY)

    answer = await api.post("/api/vendors", {**NEW, "secret": secret})

    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "secret")
    assert SECRET not in answer.text + caplog.text


async def test_without_a_key_a_secret_is_refused() -> None:
    """Saying what to set, or to do instead."""
    api = await an_api()

    answer = await api.post("/api/vendors", {**NEW, "secret": SECRET})

    assert answer.status_code == 422
    assert answer.json()["detail"] == (
        "secret: needs SEALING_KEYS, which is not set: set it, or give secretRef instead"
    )


async def test_the_secrets_are_sealed_anew() -> None:
    """With the counts, and the vendors whose secret does not open."""
    api = await an_api(sealing_keys=f"{KEY},{'1e' * 32}")
    vendors = api.stage.database.collection("vendors")
    await api.http.patch("/api/vendors/gpu_vendor_1", json={"secret": SECRET})
    await api.http.patch("/api/vendors/gpu_vendor_2", json={"secret": SECRET})
    stored = await vendors.find_one({"_id": "gpu_vendor_1"})
    assert stored is not None
    await vendors.update({"_id": "gpu_vendor_2"}, {"$set": {"sealedSecret": stored["sealedSecret"]}})

    answer = await api.post("/api/vendors/reseal", {})

    assert (answer.status_code, answer.json()["resealed"], answer.json()["current"]) == (200, 0, 1)
    (failed,) = answer.json()["failed"]
    assert failed["vendorId"] == "gpu_vendor_2"
    assert "another vendor" in failed["reason"]


async def finished(api: Api) -> str:
    """The id of a run that has had a job at gpu_vendor_1."""
    run = await api.started()
    while (await api.post("/api/agent-tick", {"runId": run["_id"]})).json()["run"]["nextTickAt"]:
        api.stage.clock.pass_(15)
    return str(run["_id"])


async def test_feedback_moves_a_score_and_counts_once_for_a_run() -> None:
    """The last vote of a user on a run is the one that counts."""
    api = await an_api()
    run = await finished(api)
    before = (await api.http.get("/api/vendors")).json()["vendors"][0]["reliabilityScore"]

    bad = await api.post("/api/vendors/gpu_vendor_1/feedback", {"runId": run, "score": 0})
    good = await api.post("/api/vendors/gpu_vendor_1/feedback", {"runId": run, "score": 5})

    assert (bad.status_code, good.status_code) == (200, 200)
    assert bad.json()["reliabilityScore"] < before < good.json()["reliabilityScore"]
    assert (good.json()["votes"], good.json()["voteAverage"]) == (1, 5)
    shown = (await api.http.get("/api/vendors")).json()["vendors"][0]
    assert (shown["record"]["voteCount"], shown["reliabilityScore"]) == (1, good.json()["reliabilityScore"])


@pytest.mark.parametrize("score", [-1, 6, 2.5, "5", None, True])
async def test_a_vote_is_a_whole_number_from_0_to_5(score: object) -> None:
    api = await an_api()
    answer = await api.post("/api/vendors/gpu_vendor_1/feedback", {"runId": await finished(api), "score": score})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "score")


async def test_who_has_had_no_job_there_has_no_vote() -> None:
    """Nor on a run that is not there, nor on a vendor that is not."""
    api = await an_api()
    run = await finished(api)

    elsewhere = await api.post("/api/vendors/gpu_vendor_2/feedback", {"runId": run, "score": 5})
    nowhere = await api.post("/api/vendors/gpu_vendor_1/feedback", {"runId": "0" * 24, "score": 5})
    await api.http.delete("/api/vendors/gpu_vendor_1")
    nobody = await api.post("/api/vendors/gpu_vendor_1/feedback", {"runId": run, "score": 5})

    assert (elsewhere.status_code, elsewhere.json()["code"]) == (409, "no_job_there")
    assert [each.json()["code"] for each in (nowhere, nobody)] == ["run_not_found", "vendor_not_found"]


async def test_a_payee_that_was_stored_before_its_check_can_be_corrected() -> None:
    """A misspelt one does not make its vendor vanish, nor the jobs that were paid for there."""
    api = await an_api()
    payee = str(DEFAULT_CATALOG[0].pay_to)
    odd = payee[:-1] + payee[-1].swapcase() if payee[-1].isalpha() else payee.swapcase().replace("X", "x")
    await api.stage.database.collection("vendors").update({"_id": "gpu_vendor_1"}, {"$set": {"payTo": odd}})

    listed = (await api.http.get("/api/vendors")).json()["vendors"]
    mended = await api.http.patch("/api/vendors/gpu_vendor_1", json={"payTo": payee})

    assert [each["vendorId"] for each in listed] == ["gpu_vendor_1", "gpu_vendor_2"]
    assert (mended.status_code, mended.json()["payTo"]) == (200, payee)


@pytest.mark.parametrize(
    "payee",
    [
        "0x" + "0" * 40,
        "0x036CbD53842c5426634e7929541eC2318f3dCF7e",
        "0x90f79bf6EB2c4f870365E785982E1f101E93b906",
    ],
    ids=["zero", "a token", "a wrong checksum"],
)
async def test_what_can_never_be_paid_is_no_payee(payee: str) -> None:
    """Neither of a new vendor nor of one that is changed."""
    api = await an_api()

    added = await api.post("/api/vendors", {**NEW, "payTo": payee})
    changed = await api.http.patch("/api/vendors/gpu_vendor_1", json={"payTo": payee})

    assert [each.status_code for each in (added, changed)] == [422, 422]
    assert [each.json()["errors"][0]["field"] for each in (added, changed)] == ["payTo", "payTo"]
