"""The client of the API, over real sockets."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from pydantic import JsonValue

from agent.book.errors import ConfigurationError
from scripts.client import api as module
from scripts.client.api import Client
from scripts.client.errors import Busy, NotFound, Refused, Unreachable
from scripts.client.registry import add_vendor, change_vendor, list_vendors, remove_vendor, reseal_vendors
from tests.scripts.samples import RUN_ID, observation_json, run, run_json, status_json, vendor_json
from tests.scripts.standin import Answer, standing_in


def problem(status: int, code: str, **more: JsonValue) -> bytes:
    """A problem+json body."""
    return json.dumps({"type": "about:blank", "title": "t", "status": status, "code": code, **more}).encode()


def test_amounts_are_read_to_the_last_digit() -> None:
    """A dollar amount in an answer is micro-dollars here, exactly."""
    with standing_in(Answer(201, run_json(budgetTotal=0.000001))) as server, Client(server.url) as client:
        assert client.start({"goal": "g"}).value.budget_total == 1


def test_an_answer_is_also_given_as_it_was_sent() -> None:
    """`--json` shows the API's own bytes."""
    with (
        standing_in(Answer(200, b' {"runs" : [], "unreadable": [], "nextCursor": null}')) as server,
        Client(server.url) as client,
    ):
        assert client.runs(None, None, 20, None).text == ' {"runs" : [], "unreadable": [], "nextCursor": null}'


def test_every_request_is_the_one_that_the_api_takes() -> None:
    """Method, path, query and body of each route; the token and the key as headers."""
    ticked: JsonValue = {"message": "m", "action": None, "run": run_json()}
    answers = [
        Answer(201, run_json()),
        Answer(200, ticked),
        Answer(200, ticked),
        Answer(200, status_json()),
        Answer(200, {"runs": [], "unreadable": [], "nextCursor": None}),
        Answer(200, {"vendors": [vendor_json()]}),
        Answer(201, vendor_json()),
        Answer(200, vendor_json()),
        Answer(204, b""),
        Answer(200, {"resealed": 0, "current": 0, "failed": []}),
        Answer(200, {"status": "ok", "store": "embedded"}),
    ]
    with standing_in(*answers) as server, Client(f"{server.url}/", "token-of-the-operator") as client:
        client.start({"goal": "g"}, "key-1")
        client.tick(RUN_ID)
        client.cancel(RUN_ID)
        client.status(RUN_ID, limit=7, after=3)
        client.runs("u1", "failed", 5, "1-a")
        list_vendors(client)
        add_vendor(client, {"vendorId": "v"})
        change_vendor(client, "a/b?c", {"name": "n"})
        remove_vendor(client, "v")
        reseal_vendors(client)
        store = client.health()

    assert [(each.method, each.target, each.body) for each in server.asked] == [
        ("POST", "/api/agent-start", '{"goal":"g"}'),
        ("POST", "/api/agent-tick", f'{{"runId":"{RUN_ID}"}}'),
        ("POST", "/api/agent-cancel", f'{{"runId":"{RUN_ID}"}}'),
        ("GET", f"/api/agent-status?runId={RUN_ID}&limit=7&after=3", ""),
        ("GET", "/api/runs?userId=u1&status=failed&limit=5&cursor=1-a", ""),
        ("GET", "/api/vendors", ""),
        ("POST", "/api/vendors", '{"vendorId":"v"}'),
        ("PATCH", "/api/vendors/a%2Fb%3Fc", '{"name":"n"}'),
        ("DELETE", "/api/vendors/v", ""),
        ("POST", "/api/vendors/reseal", "{}"),
        ("GET", "/api/health", ""),
    ]
    assert server.asked[0].headers["idempotency-key"] == "key-1"
    assert {each.headers["authorization"] for each in server.asked} == {"Bearer token-of-the-operator"}
    assert store == "embedded"


def test_without_a_token_no_header_is_sent() -> None:
    """A laptop's server asks for none."""
    with standing_in(Answer(200, {"vendors": []})) as server, Client(server.url) as client:
        list_vendors(client)

    assert "authorization" not in server.asked[0].headers


def test_a_trail_is_fetched_page_by_page_and_kept_as_sent() -> None:
    """Numbers stay what Python's json makes of them: that is how they are hashed."""
    first = observation_json(1, "quote", eta=1.0, big=1e22, whole=5)
    answers = [
        Answer(200, status_json(first, total=2)),
        Answer(200, status_json(observation_json(2, "end"), total=2)),
    ]
    with standing_in(*answers) as server, Client(server.url) as client:
        trail = [*client.trail(RUN_ID, 2)]

    assert [each.target.partition("limit=")[2] for each in server.asked] == ["2&after=0", "1&after=1"]
    assert trail == [first, observation_json(2, "end")]
    assert repr(trail[0]["data"]) == "{'eta': 1.0, 'big': 1e+22, 'whole': 5}"


def test_no_more_than_a_page_is_fetched_ahead() -> None:
    """A trail of any length: the second page is asked for when the first has been read."""
    page = status_json(observation_json(1, "quote"), total=5)
    with standing_in(Answer(200, page)) as server, Client(server.url) as client:
        next(client.trail(RUN_ID, 5))

    assert len(server.asked) == 1


def test_a_server_that_pages_in_circles_is_not_followed() -> None:
    """The same page again ends the trail; the audit then finds it short."""
    page = status_json(observation_json(1, "quote"), total=5)
    with standing_in(Answer(200, page), Answer(200, page)) as server, Client(server.url) as client:
        assert len([*client.trail(RUN_ID, 5)]) == 2

    assert len(server.asked) == 2


def test_a_gap_of_whole_pages_is_passed_over_and_an_endless_one_is_not() -> None:
    """Whoever drops a thousand entries does not hide what comes after; a head out of all bounds costs little."""
    late = status_json(observation_json(1_001, "end"), total=1_001)
    with standing_in(*[Answer(200, status_json())] * 2, Answer(200, late)) as server, Client(server.url) as client:
        assert [entry["seq"] for entry in client.trail(RUN_ID, 1_001)] == [1_001]
    with standing_in(*[Answer(200, status_json())] * 10) as server, Client(server.url) as client:
        assert [*client.trail(RUN_ID, 10**12)] == []


def test_a_run_that_goes_on_is_looked_at_until_it_stands_still() -> None:
    """Jobs and payments are read after the run: only an unchanged run vouches that they are of one moment."""
    moving = [Answer(200, status_json(run=run_json(tick=tick))) for tick in (1, 2, 3)]
    with standing_in(*moving, moving[-1]) as server, Client(server.url) as client:
        assert client.snapshot(RUN_ID).value.run.tick == 3

    ended = Answer(200, status_json(run=run_json(status="completed")))
    with standing_in(ended) as server, Client(server.url) as client:
        client.snapshot(RUN_ID)


def test_a_run_that_never_stands_still_is_busy() -> None:
    """Nothing is said of a run that could not be seen as it was at one moment."""
    moving = [Answer(200, status_json(run=run_json(tick=tick))) for tick in range(6)]
    with standing_in(*moving) as server, Client(server.url) as client, pytest.raises(Busy, match="try again"):
        client.snapshot(RUN_ID)

    assert len(server.asked) == 6


def test_every_run_is_listed_page_by_page() -> None:
    """Also those that the server cannot read; until there is no next page, or it says the same one again."""
    pages: list[JsonValue] = [
        {"runs": [run_json()], "unreadable": ["b" * 24], "nextCursor": cursor} for cursor in ("1-a", "1-b", "1-b")
    ]
    with standing_in(*(Answer(200, page) for page in pages)) as server, Client(server.url) as client:
        assert [*client.every_run()] == [(RUN_ID, run()), ("b" * 24, None)] * 3
    with (
        standing_in(Answer(200, {"runs": [], "unreadable": [], "nextCursor": None})) as server,
        Client(server.url) as client,
    ):
        assert [*client.every_run()] == []


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("run_not_found", NotFound),
        ("vendor_not_found", NotFound),
        ("run_busy", Busy),
        ("invalid_request", Refused),
    ],
)
def test_a_problem_is_an_error_of_its_kind(code: str, kind: type[Refused]) -> None:
    """Code, detail, fields, the request's id and the problem as sent."""
    faults: JsonValue = [{"field": "goal", "message": "is required"}]
    body = problem(422, code, detail="no", errors=faults, requestId="0123abcd")
    with (
        standing_in(Answer(422, body, {"retry-after": "7"})) as server,
        Client(server.url) as client,
        pytest.raises(Refused) as refused,
    ):
        client.tick(RUN_ID)

    assert type(refused.value) is kind
    assert (refused.value.status, refused.value.code, refused.value.detail) == (422, code, "no")
    assert refused.value.fields == (("goal", "is required"),)
    assert (refused.value.text, refused.value.retry_after) == (body.decode(), 7)
    assert refused.value.request_id == "0123abcd"


@pytest.mark.parametrize("said", ["", "soon", "-1", "9999999", "Fri, 21 Nov 2026 08:00:00 GMT", "\xb2"])
def test_a_retry_after_that_is_no_number_counts_as_a_second(said: str) -> None:
    """A header can hold anything."""
    with (
        standing_in(Answer(409, problem(409, "run_busy", detail="d"), {"retry-after": said})) as server,
        Client(server.url) as client,
        pytest.raises(Busy) as busy,
    ):
        client.tick(RUN_ID)

    assert busy.value.retry_after == 1


STRANGE = [
    Answer(200, b"<html>hello</html>"),
    Answer(200, b""),
    Answer(200, b"[" * 100_000),
    Answer(200, json.dumps({"vendors": [vendor_json(reliabilityScore=float("nan"))]}).encode()),
    Answer(200, {"vendors": "none"}),
    Answer(200, {"vendors": [vendor_json(basePricePerHour="1.4")]}),
    Answer(200, {"vendors": [vendor_json(basePricePerHour=True)]}),
    Answer(200, {"vendors": [vendor_json(basePricePerHour=-1)]}),
    Answer(200, b"\xff\xfe"),
    Answer(302, b"", {"location": "http://127.0.0.1:1/api/vendors"}),
    Answer(404, b"<html>not here</html>"),
    Answer(500, b"[]"),
    Answer(500, {"code": "internal_error"}),
    Answer(422, {"code": "c", "detail": "d", "errors": ["odd"]}),
    Answer(200, b"{}", cut=True),
]


@pytest.mark.parametrize("answer", STRANGE)
def test_an_answer_outside_the_api_is_no_server_of_ours(answer: Answer) -> None:
    """Whatever answers there, the command ends with an error that says so, never with a crash."""
    with standing_in(answer) as server, Client(server.url) as client, pytest.raises(Unreachable) as error:
        list_vendors(client)

    assert server.url in str(error.value)
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    "body", [b"{}", b'"ok"', b"not json", b'{"run": {"audit": {}}}', b'{"observations": [{"a": Infinity}]}']
)
def test_a_strange_health_or_trail_is_no_server_of_ours_either(body: bytes) -> None:
    """The two answers that are read in their own way."""
    asking: list[Callable[[Client], object]] = [Client.health, lambda client: [*client.trail(RUN_ID, 1)]]
    for ask in asking:
        with standing_in(Answer(200, body)) as server, Client(server.url) as client, pytest.raises(Unreachable):
            ask(client)


def test_an_endless_answer_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers have a limit."""
    monkeypatch.setattr(module, "MAX_ANSWER", 1_000)
    body = b'{"vendors": []}'
    answers = [Answer(200, body.ljust(1_000)), Answer(200, body.ljust(1_001))]
    with standing_in(*answers) as server, Client(server.url) as client:
        list_vendors(client)
        with pytest.raises(Unreachable):
            list_vendors(client)


def test_nobody_there_is_said_with_what_to_do() -> None:
    """The first thing that goes wrong on a laptop."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # bound, and not listening: nobody else can answer there meanwhile
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        with Client(url) as client, pytest.raises(Unreachable) as error:
            list_vendors(client)

    assert str(error.value) == f"no server answers at {url}: start one (make dev) or set PURSER_URL"


def test_a_server_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every wait has an end, and the error says that the request may have been carried out."""
    monkeypatch.setattr(module, "TICK_SECONDS", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with Client(url) as client, pytest.raises(Unreachable, match="may have done what was asked"):
            client.ask("POST", "/api/agent-tick", body={}, seconds=module.TICK_SECONDS)


NO_ADDRESS = [
    "",
    "localhost:3000",
    "ftp://x",
    "http://",
    "http://u:p@x",
    "http://\n",
    "http://a..b",
    "http://127.0.0.1:99999",
]


@pytest.mark.parametrize("url", NO_ADDRESS)
def test_an_address_that_is_none_is_a_setting_to_correct(url: str) -> None:
    """The message names the variable."""
    with pytest.raises(ConfigurationError, match="PURSER_URL"):
        Client(url)


def test_a_token_is_not_sent_readably_to_another_machine() -> None:
    """Plain http is for this machine, or for servers that ask for no token."""
    with pytest.raises(ConfigurationError, match="https"):
        Client("http://purser.example", "token-of-the-operator")
    for url in ("https://purser.example", "http://localhost:1", "http://127.0.0.2:1", "http://[::1]:1"):
        Client(url, "token-of-the-operator")
    Client("http://purser.example")


def test_a_proxy_of_the_users_is_not_asked_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """HTTP_PROXY in the environment does not break the demo."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    with standing_in(Answer(200, {"vendors": []})) as server, Client(server.url) as client:
        list_vendors(client)


@pytest.mark.parametrize(
    ("ahead", "date", "skew"), [(3_600, None, 3_600), (0, None, 0), (0, "yesterday", 0), (0, "", 0)]
)
def test_the_servers_clock_counts_where_it_differs(ahead: int, date: str | None, skew: float) -> None:
    """`nextTickAt` is the server's time; a laptop's clock may be an hour off."""
    said = format_datetime(datetime.now(UTC) + timedelta(seconds=ahead), usegmt=True) if date is None else date
    header = {"date": said} if said else {}
    with standing_in(Answer(200, {"vendors": []}, header)) as server, Client(server.url) as client:
        list_vendors(client)

        assert (client.now() - datetime.now(UTC)).total_seconds() == pytest.approx(skew, abs=30)


def test_the_token_is_in_no_error() -> None:
    """Not when the server refuses it, either."""
    body = problem(401, "unauthorized", detail="send Authorization: Bearer with the right token")
    with standing_in(Answer(401, body)) as server, Client(server.url, "token-of-the-operator") as client:
        with pytest.raises(Refused) as refused:
            list_vendors(client)

        assert "token-of-the-operator" not in f"{refused.value!r} {refused.value} {client!r} {vars(client)!r}"
