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
    ],
)
def test_prices_are_exact(text: str, micro: int) -> None:
    """Numbers and decimal strings alike, without a float on the way."""
    assert read_quote(with_price(text)).price == micro


@pytest.mark.parametrize(
    "text",
    [
        "0",
        "-1",
        "-0.0",
        "0.0000001",
        "1.0000000000000000000000000000000000000000001",
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
    """Zero, negative, not finite, too large, or finer than a micro-dollar: not rounded, not guessed."""
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
        (bent(QUOTE, vendorJobTemplateId=7), "vendorJobTemplateId"),
        (bent(QUOTE, etaMinutes=-1), "etaMinutes"),
        (bent(QUOTE, etaMinutes="soon"), "etaMinutes"),
    ],
)
def test_a_quote_out_of_the_contract_names_the_field(body: bytes, said: str) -> None:
    """The message says where, so that the vendor can be told."""
    with pytest.raises(Unreadable, match=f"^{said}: "):
        read_quote(body)


def test_how_long_a_quoted_job_takes_may_be_left_open() -> None:
    """Nothing rests on it."""
    assert read_quote(without(QUOTE, "etaMinutes")).eta_minutes is None
    assert read_quote(bent(QUOTE, etaMinutes=None)).eta_minutes is None


def test_a_submission_is_read() -> None:
    """The id is what counts; the word for the state is shown and may be any, or none."""
    assert read_submission(bent(SUBMITTED)) == ("job_1", "queued")
    assert read_submission(bent(SUBMITTED, status="on its \x1b[1mway\n")) == ("job_1", "on its way")
    assert read_submission(without(SUBMITTED, "status")) == ("job_1", "")


@pytest.mark.parametrize(
    "changes",
    [{"vendorJobId": None}, {"vendorJobId": "a b"}, {"vendorJobId": ["x"]}, {"vendorJobId": "0x" + "5f" * 65}],
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


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"status": "succeeded"}, "status"),
        ({"status": None}, "status"),
        ({"progress": 100.5}, "progress"),
        ({"progress": -1}, "progress"),
        ({"progress": "50"}, "progress"),
        ({"progress": True}, "progress"),
        ({"progress": None}, "progress"),
        ({"logs": "one"}, "logs"),
        ({"logs": None}, "logs"),
        ({"logs": ["one", 2]}, "logs.1"),
        ({"estimatedRemainingMinutes": -1}, "estimatedRemainingMinutes"),
        ({"estimatedRemainingMinutes": 10**9}, "estimatedRemainingMinutes"),
        ({"costSoFar": -0.1}, "costSoFar"),
        ({"costSoFar": 10**7}, "costSoFar"),
        ({"finalMetrics": []}, "finalMetrics"),
        ({"finalMetrics": {"a.b": 1}}, "finalMetrics"),
        ({"finalMetrics": {"$where": 1}}, "finalMetrics"),
        ({"finalMetrics": {"": 1}}, "finalMetrics"),
        ({"finalMetrics": {"a": True}}, "finalMetrics"),
        ({"finalMetrics": {"a": [1]}}, "finalMetrics"),
        ({"finalMetrics": {f"a{n}": n for n in range(33)}}, "finalMetrics"),
        ({"artifactUrl": "javascript:alert(1)"}, "artifactUrl"),
        ({"artifactUrl": "file:///etc/passwd"}, "artifactUrl"),
        ({"artifactUrl": "ftp://a.example/model"}, "artifactUrl"),
        ({"artifactUrl": "https://"}, "artifactUrl"),
        ({"artifactUrl": "https://[::1"}, "artifactUrl"),
        ({"artifactUrl": "https://a.example/\x1b[2J"}, "artifactUrl"),
        ({"artifactUrl": "https://a.example/" + "a" * 2_000}, "artifactUrl"),
        ({"artifactUrl": "https://a.example/0x" + "5f" * 65}, "artifactUrl"),
        ({"errorMessage": {"code": 1}}, "errorMessage"),
    ],
)
def test_a_report_out_of_the_contract_names_the_field(changes: dict[str, object], said: str) -> None:
    """Nothing is guessed from a report that is not the contract's."""
    with pytest.raises(Unreadable, match=f"^{said}: "):
        read_report(bent(REPORT, **changes))


@pytest.mark.parametrize("number", ["1e400", "1" * 4_000])
def test_a_number_too_large_for_a_float_is_refused(number: str) -> None:
    """Infinity does not come in by the back door."""
    body = json.dumps(REPORT | {"finalMetrics": {"loss": "@"}}).replace('"@"', number).encode()
    with pytest.raises(Unreadable, match=r"finite|too long"):
        read_report(body)


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
        (b"\xff\xfe{}", "not UTF-8"),
        (b"[" * 90_000, "nested deeper"),
        (b'{"a":' * 90_000, "nested deeper"),
        (b"[" * 500_000, "more than 100000 values"),
        (b'{"a":' * 150_000, "more than 100000 values"),
        (b'{"a":1,"a":2}', "key appears twice"),
        (b'{"a":NaN}', "NaN"),
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
