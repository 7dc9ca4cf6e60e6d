"""API keys over HTTP: made by an admin, shown once, and each lets in for what it is and no more."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest
from bson import ObjectId

from agent.book.errors import StoreUnavailable
from agent.book.models import Run
from agent.store.runs import RunStore
from tests.api.client import Api, an_api

OPERATOR = "Bearer token-of-the-operator"
BODY: dict[str, Any] = {"userId": "u1", "name": "nightly job"}
ADMIN_ONLY = (
    ("GET", "/api/keys"),
    ("POST", "/api/keys"),
    ("DELETE", "/api/keys/aaaaaaaaaaaa"),
    ("POST", "/api/vendors"),
    ("PATCH", "/api/vendors/gpu_vendor_1"),
    ("DELETE", "/api/vendors/gpu_vendor_1"),
    ("POST", "/api/vendors/reseal"),
    ("GET", "/metrics"),
    ("GET", "/api/parked-runs"),
)
RUN = ("/api/agent-start", "/api/agent-tick", "/api/agent-cancel")
READ = ("/api/runs", "/api/vendors", f"/api/agent-status?runId={'0' * 24}")


async def an_api_with_keys(**settings: object) -> Api:
    """An API with an operator and a cron."""
    return await an_api("", **settings, api_token="token-of-the-operator", cron_secret="secret-of-the-cron")


async def made(api: Api, **fields: object) -> dict[str, Any]:
    """A new key, as the operator is shown it; `bearer` is what its holder sends."""
    answer = await api.post("/api/keys", {**BODY, **fields}, Authorization=OPERATOR)
    assert answer.status_code == 201, answer.text
    key: dict[str, Any] = answer.json()
    return {**key, "bearer": f"Bearer {key['token']}"}


async def asked(api: Api, method: str, path: str, bearer: str) -> httpx.Response:
    content = "{}" if method in ("POST", "PATCH") else None
    headers = {"Authorization": bearer, "Content-Type": "application/json"}
    return await api.http.request(method, path, content=content, headers=headers)


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def test_a_key_is_shown_once_and_kept_as_a_hash() -> None:
    """Neither the store nor any other answer has its secret."""
    api = await an_api_with_keys()
    body = {
        "scopes": ["run", "read", "run"],
        "maxPerDay": 10,
        "maxTotal": 100.5,
        "maxRunning": 7,
        "requestsPerMinute": 60,
        "expiresAt": "2027-01-01T00:00:00Z",
    }

    key = await made(api, **body)
    listed = await api.http.get("/api/keys", headers={"Authorization": OPERATOR})

    public = {name: value for name, value in key.items() if name not in ("token", "bearer")}
    assert public == {
        "_id": key["token"][7:19],
        "userId": "u1",
        "name": "nightly job",
        **body,
        "scopes": ["run", "read"],
        "expiresAt": "2027-01-01T00:00:00.000Z",
        "createdAt": "2026-11-21T08:00:00.000Z",
        "revokedAt": None,
    }
    assert listed.json() == {"keys": [public], "nextCursor": None}
    (stored,) = await api.stage.database.collection("keys").find({}, [("_id", 1)], 10)
    assert key["token"][-43:] not in repr(stored) + listed.text
    assert (stored["maxPerDay"], stored["maxTotal"]) == (10_000_000, 100_500_000)
    assert stored["hash"] not in listed.text


async def test_keys_are_paged() -> None:
    """Newest first, each once."""
    api = await an_api_with_keys()
    ids = {(await made(api))["_id"] for _ in range(5)}

    seen, cursor = [], ""
    while cursor is not None:
        query = f"?limit=2{'&cursor=' + cursor if cursor else ''}"
        page = (await api.http.get(f"/api/keys{query}", headers={"Authorization": OPERATOR})).json()
        seen += [key["_id"] for key in page["keys"]]
        cursor = page["nextCursor"]

    assert (len(seen), set(seen)) == (5, ids)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"userId": "a b"}, "userId"),
        ({"name": ""}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["root"]}, "scopes.0"),
        ({"scopes": "run"}, "scopes"),
        ({"maxPerDay": 0}, "maxPerDay"),
        ({"maxTotal": "5"}, "maxTotal"),
        ({"maxRunning": 0}, "maxRunning"),
        ({"maxRunning": 1_001}, "maxRunning"),
        ({"maxRunning": 1.5}, "maxRunning"),
        ({"requestsPerMinute": 0}, "requestsPerMinute"),
        ({"requestsPerMinute": 1.5}, "requestsPerMinute"),
        ({"requestsPerMinute": True}, "requestsPerMinute"),
        ({"requestsPerMinute": 100_001}, "requestsPerMinute"),
        ({"expiresAt": "2026-11-21T08:00:00Z"}, "expiresAt"),
        ({"hash": "x"}, "hash"),
    ],
)
async def test_a_bad_key_is_refused_by_its_field(change: dict[str, object], field: str) -> None:
    """And nothing is kept."""
    api = await an_api_with_keys()

    answer = await api.post("/api/keys", {**BODY, **change}, Authorization=OPERATOR)

    assert code(answer) == (422, "invalid_request")
    assert field in [each["field"] for each in answer.json()["errors"]]
    assert await api.stage.database.collection("keys").count({}) == 0


@pytest.mark.parametrize("cursor", ["x", "1-aaaaaaaaaaa", "999999999999999-aaaaaaaaaaaa", "1-" + "0" * 24])
async def test_a_cursor_that_is_none_of_ours_is_refused(cursor: str) -> None:
    api = await an_api_with_keys()

    answer = await api.http.get(f"/api/keys?cursor={cursor}", headers={"Authorization": OPERATOR})

    assert code(answer) == (422, "invalid_request")


@pytest.mark.parametrize("scope", ["read", "run", "admin"])
async def test_each_scope_opens_its_routes_and_no_others(scope: str) -> None:
    """Too little is a 403 that names what is missing, before the body is looked at."""
    api = await an_api_with_keys()
    bearer = (await made(api, scopes=[scope]))["bearer"]
    opens = {"read": 0, "run": 1, "admin": 2}[scope]
    wanted = [("GET", path, 0) for path in READ] + [("POST", path, 1) for path in RUN]
    wanted += [(method, path, 2) for method, path in ADMIN_ONLY]

    for method, path, needs in wanted:
        answer = await asked(api, method, path, bearer)
        assert answer.status_code != 401, path
        assert (answer.status_code == 403) == (needs > opens), (method, path, answer.text)
        if needs > opens:
            lacking = ("read", "run", "admin")[needs]
            assert answer.json()["code"] == "forbidden"
            assert f"the scope {lacking};" in answer.json()["detail"]
            assert answer.headers["www-authenticate"] == f'Bearer error="insufficient_scope", scope="{lacking}"'


async def test_the_cron_takes_no_key() -> None:
    """Not even an admin's."""
    api = await an_api_with_keys()
    bearer = (await made(api, scopes=["admin"]))["bearer"]

    assert code(await asked(api, "GET", "/api/cron-tick", bearer)) == (401, "unauthorized")


async def test_whoever_has_no_key_is_not_let_in() -> None:
    """Missing, junk, of a wrong secret, unknown: 401, and the operator's hash is no token either."""
    api = await an_api_with_keys()
    token = (await made(api))["token"]
    (stored,) = await api.stage.database.collection("keys").find({}, [("_id", 1)], 10)
    wrong = ["", "Bearer ", "Basic x", f"Bearer {token[:-1]}", f"Bearer {token[:-43]}{'A' * 43}"]
    wrong += [f"Bearer purser_{'a' * 12}_{token[-43:]}", f"Bearer {stored['hash']}"]

    for bearer in wrong:
        answer = await asked(api, "GET", "/api/runs", bearer)
        assert code(answer) == (401, "unauthorized"), bearer
        assert answer.headers["www-authenticate"] == "Bearer"
        assert token[-43:] not in answer.text


async def test_a_key_that_was_revoked_or_has_expired_lets_nobody_in() -> None:
    """401 that says so; revoking is harmless to repeat, and what is not there is not found."""
    api = await an_api_with_keys()
    revoked, expiring = await made(api), await made(api, expiresAt="2026-11-21T08:00:03Z")
    for key in (revoked, expiring):
        assert (await asked(api, "GET", "/api/runs", key["bearer"])).status_code == 200

    for _ in range(2):
        assert (await asked(api, "DELETE", f"/api/keys/{revoked['_id']}", OPERATOR)).status_code == 204
    assert code(await asked(api, "DELETE", "/api/keys/aaaaaaaaaaaa", OPERATOR)) == (404, "key_not_found")
    assert code(await asked(api, "DELETE", "/api/keys/junk", OPERATOR)) == (422, "invalid_request")
    api.stage.clock.pass_(5)

    answer = await asked(api, "GET", "/api/runs", revoked["bearer"])
    assert (code(answer), "was revoked" in answer.json()["detail"]) == ((401, "unauthorized"), True)
    answer = await asked(api, "GET", "/api/runs", expiring["bearer"])
    assert (code(answer), "has expired" in answer.json()["detail"]) == ((401, "unauthorized"), True)
    listed = await api.http.get("/api/keys", headers={"Authorization": OPERATOR})
    assert {key["_id"] for key in listed.json()["keys"]} == {revoked["_id"], expiring["_id"]}


async def test_over_its_rate_a_key_is_told_when_to_come_again() -> None:
    """429 with Retry-After, until the next minute; another key and the operator go on."""
    api = await an_api_with_keys()
    key, other = await made(api, requestsPerMinute=3), await made(api)
    api.stage.clock.pass_(20.5)
    for _ in range(3):
        assert (await asked(api, "GET", "/api/runs", key["bearer"])).status_code == 200

    for method, path in (("GET", "/api/runs"), ("POST", "/api/agent-start")):
        answer = await asked(api, method, path, key["bearer"])
        assert (code(answer), answer.headers["retry-after"]) == ((429, "rate_limited"), "40")
    assert (await asked(api, "GET", "/api/runs", other["bearer"])).status_code == 200
    assert (await asked(api, "GET", "/api/runs", OPERATOR)).status_code == 200

    api.stage.clock.pass_(40)
    assert (await asked(api, "GET", "/api/runs", key["bearer"])).status_code == 200


async def started(api: Api, bearer: str, user: str = "u1", **headers: str) -> httpx.Response:
    body = {"userId": user, "goal": "Fine-tune tiny-llm", "budgetTotal": 5}
    return await api.post("/api/agent-start", body, Authorization=bearer, **headers)


async def test_a_key_starts_runs_of_its_user() -> None:
    """For another user it is refused, by the field; an admin's may. The run says which key it was."""
    api = await an_api_with_keys()
    mine, admin = await made(api), await made(api, userId="boss", scopes=["admin"])

    run = (await started(api, mine["bearer"])).json()
    assert (run["userId"], run["keyId"]) == ("u1", mine["_id"])
    refused = await started(api, mine["bearer"], "u2")
    assert code(refused) == (403, "forbidden")
    assert [each["field"] for each in refused.json()["errors"]] == ["userId"]
    assert (await started(api, admin["bearer"], "u2")).json()["keyId"] == admin["_id"]
    assert (await started(api, OPERATOR, "u2")).json()["keyId"] is None


async def test_a_key_has_so_many_runs_under_way_and_no_more() -> None:
    """One more is refused, and told what to do; another key and the operator are not bound by it. What ends makes
    room, however it ends."""
    api = await an_api_with_keys()
    key, other = await made(api, maxRunning=2), await made(api)

    first, second, third = [await started(api, key["bearer"]) for _ in range(3)]

    assert [each.status_code for each in (first, second)] == [201, 201]
    assert (code(third), third.headers["retry-after"]) == ((429, "too_many_runs"), "60")
    assert "has 2 runs under way" in third.json()["detail"]
    assert "cancel one" in third.json()["detail"]
    assert (await started(api, other["bearer"])).status_code == 201
    assert (await started(api, OPERATOR)).status_code == 201
    assert await api.stage.database.collection("runs").count({"keyId": key["_id"]}) == 2

    await api.post("/api/agent-cancel", {"runId": first.json()["_id"]}, Authorization=key["bearer"])
    assert (await started(api, key["bearer"])).status_code == 201
    assert code(await started(api, key["bearer"])) == (429, "too_many_runs")
    await api.stage.finish(await api.stage.services.runs.get(ObjectId(second.json()["_id"])))
    assert (await started(api, key["bearer"])).status_code == 201


async def test_a_key_without_a_bound_of_its_own_has_the_servers() -> None:
    """Keys from before there was one, too."""
    api = await an_api_with_keys(max_running_per_key=1)
    key, more = await made(api), await made(api, maxRunning=2)
    await api.stage.database.collection("keys").update({"_id": key["_id"]}, {"$unset": {"maxRunning": ""}})

    assert [(await started(api, key["bearer"])).status_code for _ in range(2)] == [201, 429]
    assert [(await started(api, more["bearer"])).status_code for _ in range(3)] == [201, 201, 429]


async def test_of_many_starts_at_once_as_many_as_may_run_do() -> None:
    """No more, and no fewer."""
    api = await an_api_with_keys()
    key = await made(api, maxRunning=3)

    answers = await asyncio.gather(*(started(api, key["bearer"]) for _ in range(12)))

    assert sorted(each.status_code for each in answers) == [201] * 3 + [429] * 9
    assert await api.stage.database.collection("runs").count({}) == 3


async def test_a_start_that_is_repeated_finds_its_run_though_no_more_may_run() -> None:
    """While it runs, and when it has ended and others have its place; a request of its own is refused."""
    api = await an_api_with_keys()
    key = await made(api, maxRunning=1)
    run = (await started(api, key["bearer"], **{"Idempotency-Key": "k"})).json()["_id"]

    async def again(name: str) -> httpx.Response:
        return await started(api, key["bearer"], **{"Idempotency-Key": name})

    assert (await again("k")).json()["_id"] == run
    assert code(await again("another")) == (429, "too_many_runs")
    await api.post("/api/agent-cancel", {"runId": run}, Authorization=key["bearer"])
    assert (await again("another")).status_code == 201
    assert ((await again("k")).json()["_id"], (await again("k")).json()["status"]) == (run, "cancelled")
    assert code(await again("third")) == (429, "too_many_runs")


async def test_a_start_that_was_cut_off_takes_no_place_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    """The database was away when the run was to be stored: the same request, or time, brings the place back."""
    api = await an_api_with_keys()
    key = await made(api, maxRunning=1)
    real = RunStore.create

    async def away(self: RunStore, run: Run) -> Run:
        raise StoreUnavailable("away")

    monkeypatch.setattr(RunStore, "create", away)
    assert code(await started(api, key["bearer"], **{"Idempotency-Key": "k"})) == (503, "store_unavailable")
    monkeypatch.setattr(RunStore, "create", real)

    assert code(await started(api, key["bearer"])) == (429, "too_many_runs")
    api.stage.clock.pass_(301)
    assert (await started(api, key["bearer"])).status_code == 201
    assert code(await started(api, key["bearer"], **{"Idempotency-Key": "k"})) == (429, "too_many_runs")


async def test_anothers_run_does_not_exist() -> None:
    """To see, to tick, to cancel: the answer is the one for a run that is not there, and nothing happens to it."""
    api = await an_api_with_keys()
    mine, theirs = await made(api), await made(api, userId="u2")
    run = (await started(api, mine["bearer"])).json()["_id"]

    async def tried(run_id: str) -> list[tuple[int, str]]:
        ask, bearer = {"runId": run_id}, theirs["bearer"]
        answers = [
            await asked(api, "GET", f"/api/agent-status?runId={run_id}", bearer),
            await api.post("/api/agent-tick", ask, Authorization=bearer),
            await api.post("/api/agent-cancel", ask, Authorization=bearer),
        ]
        said = [{**each.json(), "requestId": None} for each in answers]
        return [(each["status"], json.dumps(each).replace(run_id, "ID")) for each in said]

    running = await tried(run)
    stored = await api.stage.services.runs.get(ObjectId(run))
    await api.post("/api/agent-cancel", {"runId": run}, Authorization=mine["bearer"])

    assert {status for status, _ in running} == {404}
    assert running == await tried(run) == await tried(str(ObjectId()))
    assert (stored.tick, stored.cancel_requested, stored.lease) == (0, False, None)
    assert (await api.stage.services.runs.get(ObjectId(run))).status == "cancelled"


async def test_the_list_has_ones_own_runs() -> None:
    """And a filter for another user finds nothing; the operator sees all."""
    api = await an_api_with_keys()
    mine, theirs = await made(api), await made(api, userId="u2")
    admin = await made(api, userId="u3", scopes=["admin"])
    for bearer, user in ((mine["bearer"], "u1"), (theirs["bearer"], "u2"), (OPERATOR, "u1")):
        await started(api, bearer, user)

    async def listed(bearer: str, query: str = "") -> list[str]:
        answer = await asked(api, "GET", f"/api/runs{query}", bearer)
        return sorted(run["userId"] for run in answer.json()["runs"])

    assert await listed(mine["bearer"]) == ["u1", "u1"]
    assert await listed(mine["bearer"], "?userId=u1") == ["u1", "u1"]
    assert await listed(mine["bearer"], "?userId=u2") == []
    assert await listed(theirs["bearer"], "?limit=1") == ["u2"]
    assert await listed(OPERATOR) == await listed(admin["bearer"]) == ["u1", "u1", "u2"]
    assert await listed(admin["bearer"], "?userId=u2") == ["u2"]


async def test_the_same_idempotency_key_of_two_users_is_two_runs() -> None:
    """Nobody gets at another's run by guessing it."""
    api = await an_api_with_keys()
    mine, theirs = await made(api), await made(api, userId="u2")

    first = (await started(api, mine["bearer"], **{"Idempotency-Key": "k"})).json()["_id"]

    assert (await started(api, mine["bearer"], **{"Idempotency-Key": "k"})).json()["_id"] == first
    assert (await started(api, theirs["bearer"], "u2", **{"Idempotency-Key": "k"})).json()["_id"] != first


async def test_a_vendors_record_does_not_tell_of_others_runs() -> None:
    """How it did is for all, in which runs for those who may see them."""
    api = await an_api_with_keys()
    mine = await made(api)
    run = (await started(api, OPERATOR, "u2")).json()["_id"]
    await api.stage.finish(await api.stage.services.runs.get(ObjectId(run)))

    seen = await asked(api, "GET", "/api/vendors", mine["bearer"])
    by_operator = await asked(api, "GET", "/api/vendors", OPERATOR)

    assert run in by_operator.text
    assert run not in seen.text
    assert [each["record"]["completed"] for each in seen.json()["vendors"]] == [1, 0]


async def test_ownership_costs_no_command_of_its_own() -> None:
    """And a key that is warm costs none: as many as for the operator."""
    api = await an_api_with_keys()
    key = await made(api)
    run = (await started(api, key["bearer"])).json()["_id"]
    commands: list[str] = []
    real = type(api.stage.database).collection

    def counted(self: Any, name: str) -> Any:
        commands.append(name)
        return real(self, name)

    for _ in range(3):  # the third begins a share of four
        await asked(api, "GET", f"/api/agent-status?runId={run}", key["bearer"])
    told = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(api.stage.database), "collection", counted)
        for bearer in (OPERATOR, key["bearer"]):
            commands.clear()
            await asked(api, "GET", f"/api/agent-status?runId={run}", bearer)
            told.append(list(commands))

    assert told[0] == told[1]
    assert "keys" not in told[1]


async def test_no_answer_and_no_log_has_a_secret(caplog: pytest.LogCaptureFixture) -> None:
    """But the one that made the key."""
    caplog.set_level(0)
    api = await an_api_with_keys()
    key = await made(api)
    run = (await started(api, key["bearer"])).json()["_id"]
    secret = key["token"][-43:]

    for method, path in (
        ("GET", f"/api/agent-status?runId={run}"),
        ("GET", "/api/runs"),
        ("DELETE", "/api/keys/x"),
    ):
        assert secret not in (await asked(api, method, path, key["bearer"])).text
    assert secret not in caplog.text
    trail = await api.stage.trail(await api.stage.services.runs.get(ObjectId(run)))
    assert secret not in json.dumps([each.data for each in trail])


@pytest.mark.parametrize(("rate", "status"), [("60.0", 201), ("6e1", 201), ("60.5", 422), ("1e999999", 422)])
async def test_a_whole_number_may_be_written_with_a_point(rate: str, status: int) -> None:
    """JSON knows no integers; one that nobody would wait for is refused at once (make fuzz-api)."""
    api = await an_api()
    body = '{"userId": "u1", "name": "n", "scopes": ["read"], "requestsPerMinute": ' + rate + "}"

    assert (await api.post("/api/keys", body)).status_code == status
