"""What must not be in a log is taken out of a text: values known to be secret, and whatever looks like one.

Known values are found as they are, escaped as JSON or `repr` would, and percent-encoded. Shapes fail closed: any
run of 64 or more hex digits may be a private key or a signature and goes, though it may be a transaction's id, and
those are in the trail anyway.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlsplit

__all__ = ["Redactor"]

REDACTED: Final = "[redacted]"

_SHAPES: Final = (
    # user and password of a URL: MongoDB's, a node's
    (re.compile(r"(?i)\b([a-z][a-z0-9+.-]{1,20}://)[^\s\"'<>]{1,2000}@"), rf"\1{REDACTED}@"),
    (
        re.compile(r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----.*?(?:-----END [A-Z ]{0,40}-----|\Z)", re.DOTALL),
        REDACTED,
    ),
    (re.compile(r"(?i)\b(bearer|basic)(\s+)[a-z0-9._~+/=-]{6,}"), rf"\1\2{REDACTED}"),
    # base64 that begins as a JSON object does: JWTs, and the payment headers of x402
    (re.compile(r"e[wy][A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?"), REDACTED),
    (re.compile(r"e[wy][A-Za-z0-9][A-Za-z0-9+/_=-]{37,}"), REDACTED),
    (re.compile(r"\bpurser_[A-Za-z0-9-]+_[A-Za-z0-9_-]{16,}"), REDACTED),
    (re.compile(r"(?:0[xX])?[0-9a-fA-F]{64,}"), REDACTED),
)

_WORD: Final = 8
"""A known secret that is shorter is taken out only where it stands alone: `abc` would be found in many words."""

_PIECE: Final = 16
"""Part of a secret that is long enough to be one by itself: a key in a list of keys, a segment of a node's URL."""


class Redactor:
    """Knows secrets, and takes them out of texts."""

    def __init__(self) -> None:
        """It knows shapes only."""
        self._known: set[str] = set()
        self._pattern: re.Pattern[str] | None = None

    def learn(self, secrets: Iterable[str]) -> None:
        """Take these out from now on, and the parts of them that are secrets by themselves."""
        news = {form for secret in secrets for part in _parts(secret) for form in _forms(part)} - self._known
        if news:
            self._known |= news
            longest_first = sorted(self._known, key=len, reverse=True)
            self._pattern = re.compile("|".join(map(_found_as, longest_first)))

    def __call__(self, text: str) -> str:
        """The text without them."""
        if self._pattern is not None:
            text = self._pattern.sub(REDACTED, text)
        for shape, instead in _SHAPES:
            text = shape.sub(instead, text)
        return text


def _found_as(secret: str) -> str:
    text = re.escape(secret)
    return text if len(secret) >= _WORD else rf"(?<![A-Za-z0-9]){text}(?![A-Za-z0-9])"


def _parts(secret: str) -> Iterator[str]:
    """The secret, and what of it may turn up alone. A URL's host is none: it says which node did not answer."""
    yield secret
    for piece in re.split(r"[\s,]+", secret):
        name, equals, value = piece.partition("=")
        scheme, _, _ = piece.partition("://")
        url = value if equals and "=" not in scheme and "://" in value and "://" not in name else piece
        if "://" in url:
            yield from _parts_of_url(url)
        else:
            yield from (part for part in re.split(r"[:=]", piece) if len(part) >= _PIECE)


def _parts_of_url(url: str) -> Iterator[str]:
    try:
        split = urlsplit(url)
    except ValueError:
        return
    if split.password:
        yield split.password
        yield unquote(split.password)
    yield from (part for part in split.path.split("/") if len(part) >= _PIECE)
    yield from (value for _, value in parse_qsl(split.query) if len(value) >= _PIECE)


def _forms(secret: str) -> Iterator[str]:
    if secret.strip():
        yield from (secret, json.dumps(secret)[1:-1], repr(secret)[1:-1])
        yield from (quote(secret, safe=""), quote(secret), quote_plus(secret))
