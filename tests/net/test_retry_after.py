"""Retry-After, which strangers write."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from net.retry_after import seconds_to_wait

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("0", 0),
        ("7", 7),
        ("1.5", 1.5),
        ("-3", None),
        ("9" * 5_000, None),
        ("1_0", None),
        ("\xb2", None),
        ("nan", None),
        ("1e999", None),
        ("soon", None),
        ("", None),
        ("Sun, 01 Mar 2026 12:00:20 GMT", 20),
        ("Sun, 01 Mar 2026 12:00:20 -0000", 20),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str | None, seconds: float | None) -> None:
    """RFC 9110, 10.2.3; what is past is now, and nonsense asks for nothing."""
    assert seconds_to_wait(header, NOW) == seconds


@given(st.text() | st.datetimes(timezones=st.just(UTC)).map(datetime.ctime))
def test_no_retry_after_can_break_its_reader(header: str) -> None:
    """A header is a stranger's text."""
    seconds = seconds_to_wait(header, NOW)

    assert seconds is None or seconds >= 0


def test_a_date_is_read_only_by_a_clock() -> None:
    """Whoever sent it may have any."""
    assert seconds_to_wait("Sun, 01 Mar 2026 12:00:20 GMT") is None
    assert seconds_to_wait("20") == 20
