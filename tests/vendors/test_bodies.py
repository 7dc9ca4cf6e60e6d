"""What a body says, or that it is none of the contract's; never a crash, never a float for a price."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.vendors.samples import QUOTE, REPORT, SUBMITTED
from vendors.bodies import MAX_LOGS, Unreadable, read_error, read_quote, read_report, read_submission
from vendors.models import JobReport, Quote

Reader = Callable[[bytes], object]
READERS = pytest.mark.parametrize("read", [read_quote, read_submission, read_report])


def with_price(number: str) -> bytes:
    """A quote with this text where the price goes."""
    return json.dumps(QUOTE | {"priceEstimate": "@"}).replace('"@"', number).encode()


def bent(sample: Mapping[str, object], **changes: object) -> bytes:
    return json.dumps({**sample, **changes}).encode()


def without(sample: Mapping[str, object], key: str) -> bytes:
    return json.dumps({name: value for name, value in sample.items() if name != key}).encode()


def test_a_quote_is_read() -> None:
    """Dollars become micro-dollars; an unknown key is no fault."""
    assert read_quote(bent(QUOTE, region="eu")) == Quote("tpl_1", 1_400_000, "USD", 12.0)


@pytest.mark.parametrize(
    ("text", "micro"),
    [
        ("1", 1_000_000),
        ("1.80", 1_800_000),
        ('"1.8"', 1_800_000),
        ("0.000001", 1),
        ("1.8e0", 1_800_000),
        ("1000000", 1_000_000_000_000),
        ("0.1000000000000", 100_000),
        ("3.3000000000000003", 3_300_000),
        ("1.0000005", 1_000_000),
        ("1.0000015", 1_000_002),
        ("1.0000000000000000000000000000000000000000001", 1_000_000),
    ],
)
def test_prices_are_exact_to_the_micro_dollar(text: str, micro: int) -> None:
    """Numbers and decimal strings alike, without a float on the way; a vendor's float is rounded, half to even."""
    assert read_quote(with_price(text)).price == micro


@pytest.mark.parametrize(
    "text",
    [
        "0",
        "-1",
        "-0.0",
        "0.0000001",
        "1000000.000001",
        "1e400",
        "1e999999999999999999999",
        "1e-999999999",
        "9" * 5_000,
        "NaN",
        "Infinity",
        "-Infinity",
        '"NaN"',
        '"1_0"',
        '" 1"',
        '"+1"',
        '"\\u0661"',
        '"1e1"',
        '""',
        "true",
        "null",
        "[1]",
    ],
)
def test_what_is_no_price_is_refused(text: str) -> None:
    """Zero, negative, not finite, too large, or less than half a micro-dollar: not guessed."""
    with pytest.raises(Unreadable):
        read_quote(with_price(text))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (bent(QUOTE, currency="EUR"), "currency"),
        (bent(QUOTE, currency="usd"), "currency"),
        (without(QUOTE, "currency"), "currency"),
        (without(QUOTE, "vendorJobTemplateId"), "vendorJobTemplateId"),
        (bent(QUOTE, vendorJobTemplateId=""), "vendorJobTemplateId"),
        (bent(QUOTE, vendorJobTemplateId="a" * 201), "vendorJobTemplateId"),
        (bent(QUOTE, vendorJobTemplateId="a\nb"), "vendorJobTemplateId"),
        (bent(QUOTE, vendorJobTemplateId="a\n"), "vendorJobTemplateId"),
        (bent(QUOTE, vendorJobTemplateId=True), "vendorJobTemplateId"),
        (bent(QUOTE, vendorJobTemplateId=7.0), "vendorJobTemplateId"),
    ],
)
def test_a_quote_out_of_the_contract_names_the_field(body: bytes, said: str) -> None:
    """The message says where, so that the vendor can be told."""
    with pytest.raises(Unreadable, match=f"^{said}: "):
        read_quote(body)


def test_how_long_a_quoted_job_takes_may_be_left_open() -> None:
    """Nothing rests on it."""
    assert read_quote(without(QUOTE, "etaMinutes")).eta_minutes is None
    oddities: tuple[object, ...] = (None, -1, "soon", 10**9, [12], {})
    for odd in oddities:
        assert read_quote(bent(QUOTE, etaMinutes=odd)).eta_minutes is None


@pytest.mark.parametrize("number", [7, 7_835_611, 0, 2**60])
def test_ids_may_be_whole_numbers(number: int) -> None:
    """Many vendors number their jobs and templates."""
    assert read_quote(bent(QUOTE, vendorJobTemplateId=number)).template_id == str(number)
    assert read_submission(bent(SUBMITTED, vendorJobId=number))[0] == str(number)


def test_a_submission_is_read() -> None:
    """The id is what counts; the word for the state is shown and may be any, or none."""
    assert read_submission(bent(SUBMITTED)) == ("job_1", "queued")
    assert read_submission(bent(SUBMITTED, status="on its \x1b[1mway\n")) == ("job_1", "on its way")
    assert read_submission(without(SUBMITTED, "status")) == ("job_1", "")


@pytest.mark.parametrize(
    "changes",
    [
        {"vendorJobId": None},
        {"vendorJobId": True},
        {"vendorJobId": 1.5},
        {"vendorJobId": "a b"},
        {"vendorJobId": ["x"]},
        {"vendorJobId": "0x" + "5f" * 65},
    ],
)
def test_a_submission_without_a_usable_id_is_refused(changes: dict[str, object]) -> None:
    """A job that cannot be asked for is none; nor is one whose name could be our signature, shown to all."""
    with pytest.raises(Unreadable, match=r"^vendorJobId"):
        read_submission(bent(SUBMITTED, **changes))


def test_a_report_is_read() -> None:
    """Every field of the contract comes out, with its unit."""
    body = bent(
        REPORT,
        status="completed",
        progress=100,
        finalMetrics={"finalLoss": 1.25, "epochs": 5, "note": "fi\x07ne"},
        artifactUrl="https://cdn.example/models/1?signature=x",
        errorMessage=None,
    )
    assert read_report(body) == JobReport(
        status="completed",
        progress=100.0,
        logs=("queued", "epoch 1/5 loss=2.4"),
        remaining_minutes=7.0,
        cost_so_far=500_000,
        metrics={"finalLoss": 1.25, "epochs": 5.0, "note": "fine"},
        artifact_url="https://cdn.example/models/1?signature=x",
        error_message=None,
    )


def test_a_report_may_be_short() -> None:
    """State, progress and logs are needed; the estimates and the end's details are not."""
    short = {"status": "queued", "progress": 0, "logs": []}
    bare = JobReport("queued", 0.0, (), None, None, None, None, None)
    assert read_report(bent(short)) == bare
    later = ("estimatedRemainingMinutes", "costSoFar", "finalMetrics", "artifactUrl", "errorMessage")
    assert read_report(bent(short, **dict.fromkeys(later))) == bare


@pytest.mark.parametrize("status", ["succeeded", None, "Completed", 1, True, ["completed"]])
def test_a_state_out_of_the_contract_is_refused(status: object) -> None:
    """The state decides: it is never guessed."""
    with pytest.raises(Unreadable, match=r"^status: "):
        read_report(bent(REPORT, status=status))


ODD = [None, True, -1, 100.5, 10**30, "", "x", "\ud800", [], [None], {}, {"": {"a": [1]}}, "javascript:alert(1)"]


@pytest.mark.parametrize("odd", ODD, ids=repr)
@pytest.mark.parametrize(
    "field",
    [
        "progress",
        "logs",
        "estimatedRemainingMinutes",
        "costSoFar",
        "finalMetrics",
        "artifactUrl",
        "errorMessage",
    ],
)
def test_no_field_that_is_only_shown_voids_a_report(field: str, odd: object) -> None:
    """Whatever stands there, the state of the job is read."""
    assert read_report(bent(REPORT, status="completed", **{field: odd})).status == "completed"
    assert read_report(without(bare := {**REPORT, "status": "failed"}, field)).status == bare["status"]


@pytest.mark.parametrize(
    ("field", "sent", "read"),
    [
        ("progress", 100.5, 100.0),
        ("progress", -1, 0.0),
        ("progress", "50", None),
        ("logs", "one\ntwo", ("one", "two")),
        ("logs", ["one", 2, None, {"step": 3}], ("one", "2", "null", '{"step": 3}')),
        ("artifact_url", "file:///etc/passwd", None),
        ("artifact_url", "ftp://a.example/model", None),
        ("artifact_url", "https://", None),
        ("artifact_url", "https://[::1", None),
        ("artifact_url", "https://a.example/\x1b[2J", None),
        ("artifact_url", "https://a.example/" + "a" * 2_000, None),
        ("artifact_url", "https://a.example/0x" + "5f" * 65, None),
        ("error_message", {"code": 1}, '{"code": 1}'),
        ("metrics", {"eval/loss": 0.4, "map@50": 1}, {"eval/loss": 0.4, "map@50": 1.0}),
        ("metrics", {"a.b": 1, "$where": 2}, {"a_b": 1.0, "_where": 2.0}),
        ("metrics", {"a": None, "b": True, "c": [1], "d": {"e": 1}, "": 1, "f": 2}, {"f": 2.0}),
        ("metrics", {f"a{n}": n for n in range(33)}, {f"a{n}": float(n) for n in range(32)}),
    ],
)
def test_what_is_only_shown_is_cleaned_cut_or_left_out(field: str, sent: object, read: object) -> None:
    """A name in a stored document holds no point and no dollar sign, a link is http, a percentage is one."""
    name = {"artifact_url": "artifactUrl", "error_message": "errorMessage", "metrics": "finalMetrics"}
    assert getattr(read_report(bent(REPORT, **{name.get(field, field): sent})), field) == read


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e400", "1e999999999999999999999", "1" * 4_000])
def test_a_number_that_is_none_is_left_out(number: str) -> None:
    """Infinity does not come in by the back door, and costs nobody a result."""
    body = json.dumps(REPORT | {"finalMetrics": {"loss": "@", "epoch": 3}}).replace('"@"', number).encode()
    assert read_report(body).metrics == {"epoch": 3.0}


def test_a_name_that_stands_twice_below_the_top_voids_no_report() -> None:
    """The last figure counts. At the top it may be the state, and nobody can say which of two decides."""
    body = b'{"status":"completed","finalMetrics":{"loss":1,"loss":2},"logs":[{"a":1,"a":2}]}'
    assert read_report(body).metrics == {"loss": 2.0}
    assert read_report(body).logs == ('{"a": 2}',)
    for twice in (b'{"status":"running","status":"completed"}', b'{"status":"running","status":"completed","lo'):
        with pytest.raises(Unreadable, match="twice"):
            read_report(twice, cut=not twice.endswith(b"}"))


def test_what_is_not_taken_over_is_named() -> None:
    """By the contract's own names; what is not there, or null, is not missed."""
    odd = bent(REPORT, artifactUrl="ftp://x", costSoFar="a lot", errorMessage=None)
    assert read_report(odd).left_out == ("costSoFar", "artifactUrl")
    assert read_report(bent(REPORT)).left_out == ()
    many = {f"m{number}": number for number in range(40)} | {"nested": {"a": 1}}
    assert read_report(bent(REPORT, finalMetrics=many)).left_out == ("9 of 41 figures in finalMetrics",)
    assert read_report(bent(REPORT, logs=["x"] * 10_001)).left_out == ("logs beyond line 10000",)
    assert read_report(bent(REPORT)[:-1], cut=True).left_out[-1].startswith("what comes after the first part")


def test_torn_characters_do_not_void_a_report() -> None:
    """A log that was cut in the middle of a character, or in another encoding."""
    body = json.dumps(REPORT).encode().replace(b"queued", b"caf\xe9 \xf0\x9f")
    assert read_report(body).status == REPORT["status"]


def test_of_a_report_that_was_cut_what_arrived_counts() -> None:
    """At whatever byte: a state that is read is the one that was sent, and no line of the log is half a line."""
    whole = json.dumps(REPORT).encode()
    lines = read_report(whole).logs
    for end in range(len(whole)):
        try:
            report = read_report(whole[:end], cut=True)
        except Unreadable:
            assert b"logs" not in whole[:end]  # the state stands before them
        else:
            assert report.status == REPORT["status"]
            assert report.logs == lines[: len(report.logs)]


def test_a_running_cost_is_rounded_up_to_a_micro_dollar() -> None:
    """It is shown and never paid, and vendors compute it with floats."""
    assert read_report(bent(REPORT, costSoFar=0.0116666666666667)).cost_so_far == 11_667
    assert read_report(bent(REPORT, costSoFar=0)).cost_so_far == 0


def test_logs_are_bounded_and_keep_their_index() -> None:
    """The first lines stay, each cut and cleaned; an empty one still counts, since lines are told by index."""
    lines = ["\x1b[2Jfirst", "", "ab " * 1_000, *map(str, range(MAX_LOGS))]
    logs = read_report(bent(REPORT, logs=lines)).logs
    assert len(logs) == MAX_LOGS
    assert logs[:2] == ("first", "")
    assert logs[2] == ("ab " * 1_000)[:1_999] + "…"
    assert logs[3] == "0"


def test_an_error_message_is_cleaned_and_cut() -> None:
    """It is the vendor's text, and goes to people and to the planner."""
    report = read_report(bent(REPORT, status="failed", errorMessage="\x1b[31mCUDA\x00 error\n" + "x y " * 300))
    assert report.error_message is not None
    assert report.error_message.startswith("CUDA error x")
    assert len(report.error_message) == 500


@READERS
@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "not JSON"),
        (b"<html>", "not JSON"),
        (b'{"a":1', "not JSON"),
        (b'"text"', "not a JSON object"),
        (b"[]", "not a JSON object"),
        (b"null", "not a JSON object"),
        (b"\xff\xfe{}", "not UTF-8|not JSON"),
        (b"[" * 90_000, "nested deeper"),
        (b'{"a":' * 90_000, "nested deeper"),
        (b"[" * 500_000, "more than 100000 values"),
        (b'{"a":' * 150_000, "more than 100000 values"),
        (b'{"a":1,"a":2}', "key appears twice"),
        (b'{"a":NaN}', "NaN|Field required"),
    ],
)
def test_what_is_no_json_object_is_refused(read: Reader, body: bytes, said: str) -> None:
    """Any bytes at all end in a clear message."""
    with pytest.raises(Unreadable, match=said):
        read(body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@settings(deadline=None)
@given(
    st.sampled_from([(read_quote, QUOTE), (read_submission, SUBMITTED), (read_report, REPORT)]),
    st.dictionaries(
        st.sampled_from([*QUOTE, *SUBMITTED, *REPORT, "finalMetrics", "artifactUrl", "errorMessage"]), JSON
    ),
)
def test_no_json_at_all_makes_a_reader_crash(
    shape: tuple[Reader, Mapping[str, object]], changes: dict[str, object]
) -> None:
    """Good answers bent in any way are read or refused; what is read can be stored."""
    read, sample = shape
    try:
        found = read(bent(sample, **changes))
    except Unreadable as exc:
        str(exc).encode()
    else:
        str(found).encode()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"error":{"code":"quote_expired","message":"ask anew"}}', "ask anew"),
        (b'{"error":{"code":"quote_expired"}}', "quote_expired"),
        (b'{"error":"no such vendor"}', "no such vendor"),
        (b'{"message":"slow down"}', "slow down"),
        (b'{"title":"Bad","detail":"maxHours is missing"}', "maxHours is missing"),
        (b'{"error":null,"message":"\\u001b[31mred"}', "red"),
        (b'"just text"', "just text"),
        (b'{"message":7}', "no reason given"),
        (b'{"message":"\\u0000"}', "no reason given"),
        (b"[1]", "no reason given"),
        (b"<html>", "no reason given"),
        (b"", "no reason given"),
    ],
)
def test_a_vendors_reason_is_found_in_the_usual_places(body: bytes, reason: str) -> None:
    """Whatever shape a refusal has, one short clean line comes out of it."""
    assert read_error(body) == reason


def test_a_vendors_reason_is_short() -> None:
    """A page of text does not become an error message."""
    assert len(read_error(json.dumps({"message": "x y " * 3_000}).encode())) == 300
