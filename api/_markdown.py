"""The Markdown that `api._reference` writes, as HTML: headings, paragraphs, tables and commands.

All text is escaped. A link leads to a heading of the same page; of one to a file of the repository the words are
left.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape
from itertools import groupby
from typing import Final

__all__ = ["anchor", "to_html"]

_HEADING: Final = re.compile(r"(#{1,6}) (.+)")
_CELLS: Final = re.compile(r"(?<!\\)\|")
_LINK: Final = re.compile(r"\[([^\]]+)\]\(([^)\s]+)\)")


def to_html(text: str) -> str:
    """The text's blocks, one after the other."""
    return "\n".join(_block(block) for block in _blocks(text))


def anchor(heading: str) -> str:
    """The name of a heading, by GitHub's rule, so that links lead to the same place there and here."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def _blocks(text: str) -> Iterator[list[str]]:
    """Lines between empty ones."""
    for filled, lines in groupby(text.splitlines(), key=lambda line: bool(line.strip())):
        if filled:
            yield list(lines)


def _block(lines: list[str]) -> str:
    heading = _HEADING.fullmatch(lines[0])
    if heading is not None:
        level, words = len(heading[1]), heading[2]
        return f'<h{level} id="{anchor(words)}">{_inline(words)}</h{level}>'
    if lines[0].startswith("|"):
        return _table([_row(line) for line in lines])
    if lines[0].startswith("    "):
        return f"<pre>{escape(chr(10).join(line[4:] for line in lines))}</pre>"
    return f"<p>{_inline(chr(10).join(lines))}</p>"


def _row(line: str) -> list[str]:
    """The cells of a line of a table. A bar within one is written with a backslash."""
    return [cell.strip().replace("\\|", "|") for cell in _CELLS.split(line.strip())[1:-1]]


def _table(rows: list[list[str]]) -> str:
    """The first row names the columns, and the second only says that it does."""
    head = "".join(f"<th>{_inline(cell)}</th>" for cell in rows[0])
    body = ["".join(f"<td>{_inline(cell)}</td>" for cell in row) for row in rows[2:]]
    lines = [f"<tr>{cells}</tr>" for cells in (head, *body)]
    return "\n".join(["<table>", *lines, "</table>"])


def _inline(text: str) -> str:
    """Every other piece between backticks is code, in which nothing else is meant."""
    pieces = text.split("`")
    return "".join(
        f"<code>{escape(piece)}</code>" if odd % 2 else _LINK.sub(_link, escape(piece))
        for odd, piece in enumerate(pieces)
    )


def _link(found: re.Match[str]) -> str:
    words, target = found.groups()
    return f'<a href="{target}">{words}</a>' if target.startswith("#") else str(words)
