"""The vendor contract over HTTP: who is let in, what is quoted, what a job reports, how errors look."""

from __future__ import annotations

import json

import httpx
import pytest

from gpu_vendor_mock.catalog import GPU_VENDOR_2_PAY_TO
from tests.gpu_vendor_mock.conftest import OpenShop
from tests.gpu_vendor_mock.support import NOW, Buyer, Clock, Vendor, decoded, dig, text

_ROUTES = [("POST", "/quote"), ("POST", "/submit-job"), ("GET", "/job-status"), ("GET", "/journal")]


def _code(response: httpx.Response) -> str:
    assert set(response.json()) == {"error"}
    assert text(response.json(), "error", "message")
    return text(response.json(), "error", "code")


@pytest.mark.parametrize(("method", "path"), _ROUTES)
@pytest.mark.parametrize(
    "token", [None, b"", b"Bearer", b"Bearer wrong-secret", b"Basic bW9jaw==", b"Bearer \xe9\xff"]
)
async def test_nobody_gets_in_without_the_secret(
    vendor: Vendor, method: str, path: str, token: bytes | None
) -> None:
    """The bearer token is needed on each call, before anything else is looked at."""
    headers = {b"x-vendor-id": b"gpu_vendor_1"} | ({} if token is None else {b"authorization": token})
    response = await vendor.http.request(method, path, headers=headers)
    assert (response.status_code, _code(response)) == (401, "unauthorized")
    assert response.headers["www-authenticate"] == "Bearer"


async def test_health_is_for_everybody(vendor: Vendor) -> None:
    """A start script asks it before it knows any secret."""
    response = await vendor.http.get("/health")
    assert response.status_code == 200
    assert response.json() == {"status": "ok", "vendors": ["gpu_vendor_1", "gpu_vendor_2"]}


@pytest.mark.parametrize(("method", "path"), _ROUTES[:3])
async def test_an_unknown_vendor_is_not_found(vendor: Vendor, method: str, path: str) -> None:
    """x-vendor-id says whom one speaks to; there is no default."""
    for headers in ({"authorization": f"Bearer {vendor.secret}"}, vendor.headers({"x-vendor-id": "gpu_vendor_9"})):
        response = await vendor.http.request(method, path, headers=headers)
        assert (response.status_code, _code(response)) == (404, "unknown_vendor")


async def test_unknown_routes_and_methods_answer_in_the_same_shape(vendor: Vendor) -> None:
    """One shape of error for everything."""
    missing = await vendor.http.get("/nothing")
    assert (missing.status_code, _code(missing)) == (404, "not_found")
    wrong = await vendor.http.get("/quote")
    assert (wrong.status_code, _code(wrong)) == (405, "method_not_allowed")
    assert wrong.headers["allow"] == "POST"


async def test_a_quote_has_the_price_of_the_hours(vendor: Vendor) -> None:
    """priceEstimate = price per hour x maxHours."""
    response = await vendor.quote(maxHours=2.5)
    assert response.status_code == 200
    assert response.json() == {
        "vendorJobTemplateId": text(response.json(), "vendorJobTemplateId"),
        "priceEstimate": 3.5,
        "currency": "USD",
        "etaMinutes": 1,
    }


async def test_each_vendor_has_its_own_price(vendor: Vendor) -> None:
    """One process plays several."""
    vendor.vendor_id = "gpu_vendor_2"
    assert dig((await vendor.quote()).json(), "priceEstimate") == 1.8


async def test_each_quote_is_a_new_template(vendor: Vendor) -> None:
    """A quote is frozen under its id; asking again makes another."""
    assert await vendor.template() != await vendor.template()


async def test_the_eta_follows_the_length_of_the_training(open_shop: OpenShop) -> None:
    """In minutes, of the simulated training."""
    vendor = open_shop(epochs=9, epoch_seconds=60.0)
    assert dig((await vendor.quote()).json(), "etaMinutes") == 10


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"maxHours": 0}, "maxHours"),
        ({"maxHours": -1}, "maxHours"),
        ({"maxHours": 721}, "maxHours"),
        ({"maxHours": 0.0000001}, "maxHours"),
        ({"maxHours": float("nan")}, "maxHours"),
        ({"maxHours": True}, "maxHours"),
        ({"maxHours": None}, "maxHours"),
        ({"jobType": ""}, "jobType"),
        ({"jobType": "x" * 65}, "jobType"),
        ({"gpuType": 7}, "gpuType"),
        ({"colour": "red"}, "colour"),
    ],
)
async def test_a_bad_quote_request_names_the_field(vendor: Vendor, body: dict[str, object], says: str) -> None:
    """422, with the field at fault."""
    content = json.dumps({"jobType": "fine_tune", "gpuType": "A100", "maxHours": 1} | body)
    headers = vendor.headers({"content-type": "application/json"})
    response = await vendor.http.post("/quote", content=content, headers=headers)
    assert (response.status_code, _code(response)) == (422, "invalid_request")
    assert text(response.json(), "error", "message").startswith(f"{says}: ")


async def test_a_gpu_that_is_not_offered_is_refused(vendor: Vendor) -> None:
    """With the list of those that are."""
    response = await vendor.quote(gpuType="H100")
    assert (response.status_code, _code(response)) == (422, "gpu_not_offered")
    assert "A100, RTX4090" in text(response.json(), "error", "message")


@pytest.mark.parametrize("path", ["/quote", "/submit-job"])
@pytest.mark.parametrize(
    ("content", "content_type", "status", "code"),
    [
        (b"{}", "text/plain", 415, "unsupported_media_type"),
        (b"not json", "application/json", 400, "invalid_json"),
        (b"[" * 60_000, "application/json; charset=utf-8", 400, "invalid_json"),
        (b"[]", "application/json", 422, "invalid_request"),
        (b"{}", "application/json", 422, "invalid_request"),
        (b" " * (64 * 1024 + 1), "application/json", 413, "body_too_large"),
    ],
)
async def test_a_body_that_cannot_be_read_is_refused(
    vendor: Vendor, path: str, content: bytes, content_type: str, status: int, code: str
) -> None:
    """Each with the status that says why."""
    headers = vendor.headers({"content-type": content_type, "idempotency-key": "k"})
    response = await vendor.http.post(path, content=content, headers=headers)
    assert (response.status_code, _code(response)) == (status, code)


@pytest.mark.parametrize("key", ["", "x" * 129, "with blank"])
async def test_an_idempotency_key_must_be_one(vendor: Vendor, key: str) -> None:
    """Where there is one: a retry must be told from a second order."""
    response = await vendor.http.post("/submit-job", json={}, headers=vendor.headers({"idempotency-key": key}))
    assert (response.status_code, _code(response)) == (400, "bad_idempotency_key")


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"gpuType": "RTX4090"}, "jobParams.gpuType: the quote was for A100"),
        ({"maxHours": 1.5}, "jobParams.maxHours: the quote was for 1"),
        ({"jobType": "inference"}, "jobParams.jobType: the quote was for fine_tune"),
        ({"maxHours": float("nan")}, "jobParams: "),
    ],
)
async def test_an_order_must_be_for_what_was_quoted(vendor: Vendor, params: dict[str, object], says: str) -> None:
    """Otherwise one could be quoted an hour and order a month."""
    body = {"vendorJobTemplateId": await vendor.template(), "jobParams": vendor.params | params}
    headers = vendor.headers({"content-type": "application/json", "idempotency-key": "k"})
    response = await vendor.http.post("/submit-job", content=json.dumps(body), headers=headers)
    assert response.status_code == 422
    assert text(response.json(), "error", "message").startswith(says)


async def test_an_order_may_say_the_quoted_fraction_of_an_hour_again(vendor: Vendor) -> None:
    """1.1 in the quote and 1.1 in the order are the same hours, whatever a float makes of them."""
    template = text((await vendor.quote(maxHours=1.1)).json(), "vendorJobTemplateId")
    assert (await vendor.submit(template, "k", maxHours=1.1)).status_code == 402


async def test_an_unknown_or_foreign_quote_is_gone(vendor: Vendor) -> None:
    """410: ask for a new one. Another vendor's quote is as good as none."""
    template = await vendor.template()
    unknown = await vendor.submit("tpl_unknown", "k")
    assert (unknown.status_code, _code(unknown)) == (410, "quote_expired")
    vendor.vendor_id = "gpu_vendor_2"
    assert (await vendor.submit(template, "k")).status_code == 410


async def test_a_quote_is_good_for_ten_minutes(vendor: Vendor, clock: Clock) -> None:
    """Until then it can be ordered, and from then on not."""
    template = await vendor.template()
    clock.now = NOW + 599.9
    assert (await vendor.submit(template, "k1")).status_code == 402
    clock.now = NOW + 600
    assert (await vendor.submit(template, "k2")).status_code == 410
    fresh = await vendor.template()
    assert (await vendor.submit(template, "k3")).status_code == 410
    assert (await vendor.submit(fresh, "k2")).status_code == 402, "the key was not used up"


async def test_an_order_not_paid_in_time_is_gone(vendor: Vendor, clock: Clock, buyer: Buyer) -> None:
    """The price was promised for ten minutes; nothing is charged after."""
    template = await vendor.template()
    payment = buyer.pay(await vendor.submit(template, "k"), validBefore=int(NOW) + 9_000)
    clock.now = NOW + 600
    assert (await vendor.submit(template, "k", payment)).status_code == 410
    assert await vendor.journal("settlements") == []


async def test_the_terms_are_those_of_the_quote_in_both_versions(vendor: Vendor) -> None:
    """Version 2 in the header and version 1 in the body, for the quoted price to the vendor's own payee."""
    vendor.vendor_id = "gpu_vendor_2"
    unpaid = await vendor.submit(await vendor.template(), "k")
    assert unpaid.status_code == 402
    assert unpaid.headers["cache-control"] == "no-store"
    v2, v1 = decoded(unpaid.headers["payment-required"]), unpaid.json()
    assert (dig(v2, "x402Version"), dig(v1, "x402Version")) == (2, 1)
    for offer, price, network in (
        (dig(v2, "accepts", 0), "amount", "eip155:84532"),
        (dig(v1, "accepts", 0), "maxAmountRequired", "base-sepolia"),
    ):
        assert dig(offer, "scheme") == "exact"
        assert dig(offer, price) == "1800000"
        assert dig(offer, "network") == network
        assert dig(offer, "payTo") == GPU_VENDOR_2_PAY_TO
        assert dig(offer, "asset") == "0x036CbD53842c5426634e7929541eC2318f3dCF7e"
    assert text(v2, "resource", "url") == "http://vendor.test/submit-job"


async def test_a_job_reports_by_the_contract_from_queue_to_artifact(
    vendor: Vendor, buyer: Buyer, clock: Clock
) -> None:
    """All fields, each time; metrics and artifact once it is done."""
    vendor_job_id = text((await vendor.buy(buyer)).json(), "vendorJobId")
    queued = (await vendor.status(vendor_job_id)).json()
    assert queued == {
        "status": "queued",
        "progress": 0,
        "logs": ["queued: fine_tune waits for 1 x A100"],
        "estimatedRemainingMinutes": 0.08,
        "costSoFar": 0,
    }
    clock.now += 0.25 + 2.5
    running = (await vendor.status(vendor_job_id)).json()
    assert {**running, "logs": len(running["logs"])} == {
        "status": "running",
        "progress": 50,
        "logs": 4,
        "estimatedRemainingMinutes": 0.04,
        "costSoFar": 0.7,
    }
    clock.now += 100
    done = (await vendor.status(vendor_job_id)).json()
    assert (dig(done, "status"), dig(done, "progress"), dig(done, "costSoFar")) == ("completed", 100, 1.4)
    assert dig(done, "finalMetrics", "epochs") == 5
    assert text(done, "artifactUrl") == (
        f"https://artifacts.example.com/gpu_vendor_1/{vendor_job_id}/model.safetensors"
    )


async def test_a_job_is_known_to_its_own_vendor_only(vendor: Vendor, buyer: Buyer) -> None:
    """Two vendors in one process are still two vendors."""
    vendor_job_id = text((await vendor.buy(buyer)).json(), "vendorJobId")
    assert (await vendor.status(vendor_job_id)).status_code == 200
    vendor.vendor_id = "gpu_vendor_2"
    response = await vendor.status(vendor_job_id)
    assert (response.status_code, _code(response)) == (404, "unknown_job")
    assert (await vendor.status("job_unknown")).status_code == 404


async def test_a_vendor_without_a_payee_asks_for_no_payment(open_shop: OpenShop) -> None:
    """The job starts at once, and the journal says that nothing was paid."""
    vendor = open_shop(
        mock_vendors='[{"vendorId":"gpu_vendor_1","name":"Free","basePricePerHour":1,"supportedGpuTypes":["A100"]}]'
    )
    template = await vendor.template()
    first, again = await vendor.submit(template, "k"), await vendor.submit(template, "k")
    assert first.status_code == 200
    assert "payment-response" not in first.headers
    assert again.content == first.content
    jobs = await vendor.journal("jobs")
    assert [(dig(job, "vendorJobId"), dig(job, "paid")) for job in jobs] == [
        (text(first.json(), "vendorJobId"), False)
    ]
    assert await vendor.journal("settlements") == []
