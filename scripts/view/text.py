"""Text from elsewhere on its way to a terminal: it is data, whatever it holds.

Rich markup in it is shown as typed, control characters and escape sequences never reach the terminal.
"""

from __future__ import annotations

import sys
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from rich.text import Text

from agent.book.money import usd_text

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["console_for", "plain", "said", "usd"]

_MOST_DIGITS: Final = 15
"""A number with more stays as it was written: 1E+999999999 is not to be written out."""

LOG_WIDTH: Final = 160
"""Columns where there is no terminal to ask: what is piped into a file should not be cut at 80."""


def plain(value: object) -> str:
    """The value's text on one line; what could steer a terminal or hide text becomes `\ufffd`, breaks a blank.

    Numbers lose zeros that say nothing: 1.0 is shown as 1.
    """
    text = f"{value:g}" if isinstance(value, float) else str(value)
    if isinstance(value, Decimal) and value.adjusted() < _MOST_DIGITS and value == value.to_integral_value():
        text = str(int(value))
    text = " ".join(text.splitlines())
    return "".join(char if char.isprintable() else " " if char == "\t" else "\ufffd" for char in text)


def said(value: object, style: str = "") -> Text:
    """`plain` as a Rich text that no markup is read from."""
    return Text(plain(value), style=style)


def usd(micro: int) -> str:
    """An amount of micro-dollars for people: `3.6 USD`."""
    return f"{usd_text(micro)} USD"


def console_for(*, stderr: bool = False) -> Console:
    """The console that all output goes through. It reads no markup; signs the terminal has not become `?`."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="replace")
    width = None if stream.isatty() else LOG_WIDTH
    return Console(file=stream, width=width, markup=False, emoji=False, highlight=False)
