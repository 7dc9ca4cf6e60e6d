"""What must not be in a log is taken out of a text: values known to be secret, and whatever looks like one.

Known values are found as they are, escaped as JSON or `repr` would, and percent-encoded. Shapes fail closed: any
run of 64 or more hex digits may be a private key or a signature and goes, though it may be a transaction's id, and
those are in the trail anyway.

Texts come from strangers, and whoever does the work writes the log. So the time is linear in a text's length,
however many secrets are known. A pattern that is tried anew at every character of a long run would not be linear:
runs are found first, and each is looked at once.
"""

from __future__ import annotations

import json
import re
from bisect import insort
from collections.abc import Iterable, Iterator
from itertools import pairwise
from operator import neg
from typing import Final
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlsplit

__all__ = ["Redactor"]

REDACTED: Final = "[redacted]"

_SHAPES: Final = (
    (
        re.compile(r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----.*?(?:-----END [A-Z ]{0,40}-----|\Z)", re.DOTALL),
        REDACTED,
    ),
    (re.compile(r"(?i)\b(bearer|basic)(\s+)[a-z0-9._~+/=-]{6,}"), rf"\1\2{REDACTED}"),
    # base64 that begins as a JSON object does: the payment headers of x402
    (re.compile(r"e[wy][A-Za-z0-9][A-Za-z0-9+/_=-]{37,}"), REDACTED),
    (re.compile(r"\bpurser_[A-Za-z0-9-]+_[A-Za-z0-9_-]{16,}"), REDACTED),
    (re.compile(r"(?:0[xX])?[0-9a-fA-F]{64,}"), REDACTED),
)

_UNSPACED: Final = re.compile(r"[^\s\"'<>]+")
_SCHEME: Final = re.compile(r"(?i)\b[a-z][a-z0-9+.-]{1,20}://")

_DOTTED: Final = re.compile(r"[A-Za-z0-9_.-]+")
_JSON_SEGMENT: Final = re.compile(r"e[wy][A-Za-z0-9_-]{8,}")
_NEXT_SEGMENT: Final = 8

_WORD: Final = 8
"""A known secret that is shorter is taken out only where it stands alone: `abc` would be found in many words."""

_PIECE: Final = 16
"""Part of a secret that is long enough to be one by itself: a key in a list of keys, a segment of a node's URL."""


class Redactor:
    """Knows secrets, and takes them out of texts."""

    def __init__(self) -> None:
        """It knows shapes only. `longest` is how long the longest known secret is."""
        self.longest = 0
        self._known: set[str] = set()
        self._lengths: dict[str, list[int]] = {}
        """By the first characters of the long ones, how long those are that begin so, the longest first."""
        self._short: re.Pattern[str] | None = None

    def learn(self, secrets: Iterable[str]) -> None:
        """Take these out from now on, and the parts of them that are secrets by themselves."""
        news = {form for secret in secrets for part in _parts(secret) for form in _forms(part)} - self._known
        self._known |= news
        self.longest = max(self.longest, *map(len, news), 0)
        for secret in (each for each in news if len(each) >= _WORD):
            lengths = self._lengths.setdefault(secret[:_WORD], [])
            if len(secret) not in lengths:
                insort(lengths, len(secret), key=neg)
        if any(len(secret) < _WORD for secret in news):
            short = sorted((each for each in self._known if len(each) < _WORD), key=len, reverse=True)
            either = "|".join(map(re.escape, short))
            self._short = re.compile(rf"(?<![A-Za-z0-9])(?:{either})(?![A-Za-z0-9])")

    def __call__(self, text: str) -> str:
        """The text without them."""
        text = self._without_known(text)
        if "://" in text:
            text = _UNSPACED.sub(_without_user, text)
        text = _DOTTED.sub(_without_jwt, text)
        for shape, instead in _SHAPES:
            text = shape.sub(instead, text)
        return text

    def _without_known(self, text: str) -> str:
        heads, pieces, done = self._lengths, list[str](), 0
        for at in [at for at in range(len(text) - _WORD + 1) if text[at : at + _WORD] in heads] if heads else ():
            if at < done:
                continue
            for length in heads[text[at : at + _WORD]]:
                if text[at : at + length] in self._known:
                    pieces += (text[done:at], REDACTED)
                    done = at + length
                    break
        text = "".join((*pieces, text[done:]))
        return text if self._short is None else self._short.sub(REDACTED, text)


def _without_user(run: re.Match[str]) -> str:
    """A run without blanks, without the user and password of a URL in it: MongoDB's, a node's."""
    text = run[0]
    scheme, at = _SCHEME.search(text), text.rfind("@")
    if scheme is None or at <= scheme.end():
        return text
    return f"{text[: scheme.end()]}{REDACTED}{text[at:]}"


def _without_jwt(run: re.Match[str]) -> str:
    """A run of words and points, up to where a JWT begins: segments of base64, the first of a JSON object."""
    segments = run[0].split(".")
    for at, (segment, following) in enumerate(pairwise(segments)):
        if len(following) >= _NEXT_SEGMENT and (found := _JSON_SEGMENT.search(segment)):
            return ".".join([*segments[:at], segment[: found.start()] + REDACTED])
    return run[0]


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
