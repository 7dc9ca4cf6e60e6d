"""Vendors' text is shown, stored and read by models: nothing in it may act on any of them."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vendors.text import clean, holds_payment


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("epoch 1/5", "epoch 1/5"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;owned\x07title", "title"),
        ("\x1b]8;;http://x\x1b\\link", "link"),
        ("10%\r20%\r\n30%", "10% 20% 30%"),
        ("a\x00b\x07c\x9bd\x7f", "abcd"),
        ("half \ud800 a pair", "half  a pair"),
        ("abc\u202edcba\u2066", "abcdcba"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("tag\U000e0041\U000e0042 text\ufe0f", "tag text"),
        ("  naïve 模型 🚀  ", "naïve 模型 🚀"),
    ],
)
def test_what_cannot_be_seen_is_dropped(said: str, shown: str) -> None:
    """Escapes, controls, direction marks, tags and lone surrogates go; letters of any language stay."""
    assert clean(said, 100) == shown


@pytest.mark.parametrize(("length", "shown"), [(4, "aaaa"), (5, "aaaaa"), (6, "aaaa…"), (119, "aaaa…")])
def test_long_text_is_cut_and_says_so(length: int, shown: str) -> None:
    """At most `limit` characters come out, and a cut is visible."""
    assert clean("a" * length, 5) == shown


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("bad signature 0x" + "ab" * 65, "bad signature [withheld]"),
        ("header=" + "eyJ4+/_-" * 90 + "==, refused", "header=[withheld], refused"),
        ("0x" + "ab" * 32 + " was mined", "0x" + "ab" * 32 + " was mined"),
        ("-" * 200, "-" * 200),
    ],
)
def test_what_is_as_long_as_a_signature_is_withheld(said: str, shown: str) -> None:
    """A payment that a vendor quotes back is still a cheque; transaction ids and rulers are not."""
    assert clean(said, 500) == shown


@settings(deadline=None)
@given(st.text(alphabet=st.characters(), max_size=200), st.integers(1, 50))
def test_any_text_can_be_stored_and_printed(said: str, limit: int) -> None:
    """Whatever comes in: short enough, valid UTF-8, no control characters, and clean already."""
    shown = clean(said, limit)
    assert len(shown) <= limit
    shown.encode()
    assert not any(unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") for char in shown)
    assert clean(shown, limit) == shown


def test_a_megabyte_of_unfinished_escapes_is_read_in_one_pass() -> None:
    """Cleaning is linear: such inputs would hang a pattern that backtracks."""
    assert clean("\x1b[0;" * 250_000, 10) == "[0;[0;[0;…"
    assert clean("-" * 1_000_000, 10) == "---------…"


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ("0x" + "5f" * 65, True),
        ("5F" * 65, True),
        ("https://example.com/?s=0x" + "5f" * 65 + "&t=1", True),
        ("https://example.com/" + "eyJ4" * 200, True),
        ("5f" * 64, False),  # a SHA-512
        ("https://storage.example.com/m?X-Goog-Signature=" + "5f" * 256, False),
        ("https://bucket.example.com/m?X-Amz-Signature=" + "5f" * 32, False),
        ("https://bucket.example.com/m?X-Amz-Security-Token=" + "aB3%2F" * 200, False),
        ("https://example.com/?token=" + "a" * 300 + "." + "b" * 300, False),  # a JWT
    ],
)
def test_a_payment_of_ours_is_told_from_what_others_sign(text: str, held: bool) -> None:
    """Ids and URLs cannot be cut: they are refused where they may hold a payment, and signed URLs stay whole."""
    assert holds_payment(text) is held
