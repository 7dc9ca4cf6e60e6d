"""Text from elsewhere: shown, and nothing else."""

from __future__ import annotations

import io
import sys
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.view.text import console_for, plain, said, usd
from tests.scripts.samples import HOSTILE, drawn


@given(st.text(alphabet=st.characters(), max_size=200))
def test_nothing_that_is_not_printable_survives(text: str) -> None:
    """Control characters, escape sequences, direction marks and line breaks never reach a terminal."""
    assert plain(text).isprintable()


@given(st.text(alphabet=st.characters(categories=("L", "N", "P", "S")), max_size=100))
def test_printable_text_is_shown_as_it_is(text: str) -> None:
    """Letters, digits, punctuation and signs are not touched."""
    assert plain(text) == text


def test_breaks_and_tabs_become_blanks() -> None:
    """A log line stays one line."""
    assert plain("one\ntwo\r\nthree\tfour") == "one two three four"


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        (Decimal("1.0"), "1"),
        (Decimal("0.50"), "0.50"),
        (Decimal("1E+3"), "1000"),
        (Decimal("1E+999999999"), "1E+999999999"),
        (1.0, "1"),
        (7, "7"),
    ],
)
def test_numbers_lose_zeros_that_say_nothing(number: object, shown: str) -> None:
    """1.0 h is 1 h; a number of a billion digits is not written out."""
    assert plain(number) == shown


def test_markup_is_shown_as_typed() -> None:
    """Rich reads no markup from what a vendor or a user wrote."""
    assert drawn(said("[bold]x[/bold] [link=https://evil.example]y[/link] [/]")).strip() == (
        "[bold]x[/bold] [link=https://evil.example]y[/link] [/]"
    )


def test_hostile_text_brings_no_escape_sequence_into_a_terminal() -> None:
    """In a terminal the only control character of an unstyled text is its line's end."""
    shown = drawn(said(HOSTILE), terminal=True)

    assert "".join(char for char in shown if not char.isprintable()) == "\n"


def test_amounts_are_exact_dollars() -> None:
    """The smallest amount is shown whole."""
    assert (usd(3_600_000), usd(1)) == ("3.6 USD", "0.000001 USD")


def test_the_console_reads_no_markup_even_from_plain_strings(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A string that forgot to become a Text is still data."""
    console_for().print("[bold]x[/bold] :boom:")

    assert capsys.readouterr().out == "[bold]x[/bold] :boom:\n"


def test_signs_that_the_stream_cannot_hold_are_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """An ASCII-only output gets a question mark, not a crash."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stderr", stream)

    console_for(stderr=True).print(said("déjà vu"))

    stream.seek(0)
    assert stream.read() == "d?j? vu\n"
