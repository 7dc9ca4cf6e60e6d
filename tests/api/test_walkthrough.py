"""The walk through of the README, answer by answer."""

from __future__ import annotations

from agent.book.audit import verify
from tests.api.client import an_api


async def test_a_goal_becomes_a_finished_job() -> None:
    """Start, tick, status: the shapes that the README promises."""
    api = await an_api("gpu_vendor_1:fail_at_epoch=3")

    run = await api.started()
    assert (run["status"], run["budgetTotal"], run["budgetRemaining"]) == ("running", 5, 5)
    assert '"budgetTotal":5,' in (await api.http.get("/api/agent-status", params={"runId": run["_id"]})).text

    tick = (await api.post("/api/agent-tick", {"runId": run["_id"]})).json()
    assert tick["message"] == "Job started"
    assert tick["action"]["action"] == "start_job"
    assert tick["action"]["vendorId"] == "gpu_vendor_1"
    assert tick["action"]["maxHours"] == 1
    assert tick["action"]["reason"]

    status = (await api.http.get("/api/agent-status", params={"runId": run["_id"]})).json()
    assert (status["run"]["status"], status["run"]["budgetRemaining"]) == ("running", 3.6)
    assert [job["status"] for job in status["jobs"]] == ["submitted"]
    assert [(each["amount"], each["status"], each["currency"]) for each in status["payments"]] == [
        (1.4, "completed", "USDC")
    ]
    assert status["payments"][0]["x402TxId"].startswith("0x")
    assert status["observations"][0]["type"] == "run_started"

    while (run := (await api.post("/api/agent-tick", {"runId": run["_id"]})).json()["run"])["nextTickAt"]:
        api.stage.clock.pass_(15)
    assert (run["status"], run["budgetRemaining"], run["budgetSpent"]) == ("completed", 1.8, 3.2)


async def test_a_tick_may_name_its_run_in_the_query() -> None:
    """As users of the first system do, without a body; where there is one, it decides."""
    api = await an_api()
    run = await api.started()

    by_query = await api.http.post("/api/agent-tick", params={"runId": run["_id"]})
    by_both = await api.http.post("/api/agent-tick", params={"runId": "0" * 24}, json={"runId": run["_id"]})
    odd = await api.http.post("/api/agent-tick", params={"runId": run["_id"]}, json={})
    none = await api.http.post("/api/agent-tick")
    bad = await api.http.post("/api/agent-tick", params={"runId": "mine"})

    assert (by_query.status_code, by_query.json()["message"], by_both.status_code) == (200, "Job started", 200)
    assert [(each.status_code, each.json()["code"]) for each in (none, odd, bad)] == [
        (400, "invalid_json"),
        (422, "invalid_request"),
        (422, "invalid_request"),
    ]
    assert [each.json()["errors"][0]["field"] for each in (odd, bad)] == ["runId", "query.runId"]


async def test_a_run_shows_the_phases_that_it_came_through() -> None:
    api = await an_api()
    run = await api.started()

    ticked = (await api.post("/api/agent-tick", {"runId": run["_id"]})).json()["run"]

    assert [each["phase"] for each in ticked["history"]] == ["planning", "executing", "waiting"]
    assert {each["tick"] for each in ticked["history"]} == {1}
    assert ticked["phase"] == "waiting"


async def test_vendor_ids_that_no_vendor_can_have_are_refused_at_the_start() -> None:
    """A run that could never rent anything is a typing error, and told at once."""
    api = await an_api()
    start = {"userId": "u1", "goal": "g", "budgetTotal": 5}

    refused = await api.post("/api/agent-start", start | {"vendorIds": ["gpu.vendor"]})

    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "vendorIds.0")


async def test_the_trail_can_be_verified_from_the_api_alone() -> None:
    """Page by page, with the run's head."""
    api = await an_api()
    run = await api.started()
    while (await api.post("/api/agent-tick", {"runId": run["_id"]})).json()["run"]["nextTickAt"]:
        api.stage.clock.pass_(15)

    entries, last = [], 0
    while True:
        params = {"runId": run["_id"], "after": str(last), "limit": "3"}
        status = (await api.http.get("/api/agent-status", params=params)).json()
        if not status["observations"]:
            break
        entries += status["observations"]
        last = status["page"]["lastSeq"]

    assert len(entries) == status["page"]["total"] > 10
    assert not verify(entries, status["run"]["audit"])


async def test_a_usable_authorization_is_never_shown() -> None:
    """Not in the run, not in a payment, not in the trail: whoever holds it can cash it."""
    api = await an_api("gpu_vendor_1:drop_before_payment")
    run = await api.started()
    await api.post("/api/agent-tick", {"runId": run["_id"]})
    stored = await api.stage.services.runs.get((await api.stage.services.runs.page(1)).runs[0].id)
    (reservation,) = stored.reservations.values()
    assert reservation.authorization is not None

    answer = await api.http.get("/api/agent-status", params={"runId": run["_id"]})

    assert reservation.authorization.header_value not in answer.text
    (shown,) = answer.json()["run"]["reservations"].values()
    assert shown == {
        "vendorId": "gpu_vendor_1",
        "amount": 1.4,
        "authorized": True,
        "validBefore": "2026-11-21T08:05:00.000Z",
        "chainSeenAt": None,
    }


async def test_a_cancelled_run_says_so() -> None:
    """With what it had to wait for, if anything."""
    api = await an_api()
    run = await api.started()

    answer = (await api.post("/api/agent-cancel", {"runId": run["_id"]})).json()

    assert answer["run"]["status"] == "cancelled"
    assert answer["run"]["failure"] == {"code": "cancelled", "message": "cancelled by its user"}


async def test_the_same_key_starts_one_run() -> None:
    """And refuses another order."""
    api = await an_api()
    body = {"userId": "u1", "goal": "goal", "budgetTotal": 5}
    key = {"Idempotency-Key": "abc"}

    first = await api.post("/api/agent-start", body, **key)
    again = await api.post("/api/agent-start", body, **key)
    other = await api.post("/api/agent-start", {**body, "budgetTotal": 6}, **key)

    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json()["_id"] == again.json()["_id"]
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_conflict")


async def test_runs_are_listed_page_by_page() -> None:
    """Newest first; the cursor leads on."""
    api = await an_api()
    made = []
    for number in range(5):
        made.append((await api.started(userId=f"u{number % 2}"))["_id"])
        api.stage.clock.pass_(1)

    first = (await api.http.get("/api/runs", params={"limit": "3"})).json()
    rest = (await api.http.get("/api/runs", params={"limit": "3", "cursor": first["nextCursor"]})).json()
    mine = (await api.http.get("/api/runs", params={"userId": "u1", "status": "running"})).json()

    assert [run["_id"] for run in first["runs"] + rest["runs"]] == made[::-1]
    assert rest["nextCursor"] is None
    assert len(mine["runs"]) == 2


async def test_constraints_come_back_as_they_were_given() -> None:
    """Dollars, hours and times alike."""
    api = await an_api()
    given = {
        "gpuType": "A100",
        "jobType": "fine_tune",
        "maxHours": 1.5,
        "maxPricePerHour": 1.45,
        "vendorIds": ["gpu_vendor_1"],
        "deadline": "2026-11-22T09:00:00.000Z",
        "priceTolerance": 0.1,
    }

    assert (await api.started(**given))["constraints"] == given
