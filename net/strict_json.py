"""JSON of strangers, read strictly: UTF-8, no key twice, no NaN, bounded in size, depth and numbers.

What does not fit is refused: two readers of one text must never see two things.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from math import isfinite
from typing import Any, Final, TypeAlias

__all__ = [
    "MAX_BYTES",
    "MAX_DEPTH",
    "MAX_VALUES",
    "Json",
    "JsonObject",
    "load_cut_json",
    "load_exact_json",
    "load_json",
    "load_shown_json",
    "parse_object",
    "to_json",
]

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"
JsonObject: TypeAlias = Mapping[str, Json]

MAX_BYTES: Final = 64 * 1024
"""Longest header or body that is parsed, in bytes (servers and proxies stop at 8 to 64 KiB)."""
MAX_DEPTH: Final = 32
"""Deepest nesting of objects and lists; the messages of the specs need 8."""
MAX_VALUES: Final = 100_000
"""Most values in one text, keys not counted: four bytes of text can cost a hundred of memory."""

_TWICE: Final = "a key appears twice in one object"
_MAX_DIGITS: Final = 78  # of 2**256 - 1
_BLANKS: Final = re.compile(r"[ \t\r\n]*")
_BRACKETS: Final = re.compile(r"[\[\]{}]")
_STRING: Final = re.compile(r'"(?:[^"\\]++|\\.)*+"?')  # possessive: it never goes back, in time or in memory
_SURROGATE: Final = re.compile(r"\\u[dD][89a-fA-F]")


def to_json(message: JsonObject) -> bytes:
    """Compact UTF-8 JSON, keys in the order given."""
    return _ENCODER.encode(message).encode()


def parse_object(data: bytes) -> dict[str, Json]:
    """A JSON object, read strictly.

    Raises:
        ValueError: with a text that quotes nothing of the data.
    """
    if len(data) > MAX_BYTES:
        raise ValueError(f"longer than {MAX_BYTES} bytes")
    try:
        text = data.decode()
    except UnicodeDecodeError as exc:
        raise ValueError("not UTF-8") from exc
    value = load_json(text)
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    if _SURROGATE.search(text):
        _check_surrogates(value)
    return value


def load_json(text: str) -> Json:
    """JSON of any kind, read strictly: bounded depth and numbers, no key twice, no NaN.

    Raises:
        ValueError: with a text that quotes nothing of what was read.
    """
    value: Json = _decoded(_PLAIN, text)
    return value


def load_exact_json(text: str) -> object:
    """As `load_json`, with numbers that have a point or an exponent as `Decimal`: amounts stay what was sent."""
    return _decoded(_EXACT, text)


def load_shown_json(text: str) -> object:
    """As `load_exact_json`, for messages that are mostly shown: a number that JSON does not know, or that is out
    of all bounds, is None, and only a key that stands twice at the top is refused: below, the last one counts.
    """
    found = _decoded(_SHOWN, text)
    if isinstance(found, _Twice):
        raise ValueError(_TWICE)
    return found


def load_cut_json(text: str) -> dict[str, object]:
    """What arrived whole of a JSON object whose end is missing: its members, and of a list its first items.

    Raises:
        ValueError: it does not begin as an object, is nested too deep, or has a key twice at the top.
    """
    _check_shape(text)
    found: dict[str, object] = {}
    place, twice = _after(text, 0, "{"), False
    with suppress(ValueError):
        while True:
            key, place = _SHOWN.raw_decode(text, _after(text, place))
            place = _after(text, _after(text, place, ":"))
            if not isinstance(key, str) or (twice := key in found):
                break
            if text[place : place + 1] == "[":
                items: list[object] = []
                found[key] = items
                place = _items(text, place + 1, items)
            else:
                found[key], place = _SHOWN.raw_decode(text, place)
                _after(text, place)  # a number that ends where the text does may be half a number
            place = _after(text, place, ",")
    if twice:
        raise ValueError(_TWICE)
    return found


def _items(text: str, place: int, found: list[object]) -> int:
    """Read the items of a list that begins at `place` into `found`; returns where it ends."""
    place = _after(text, place)
    while text[place] != "]":
        item, place = _SHOWN.raw_decode(text, place)
        place = _after(text, place)
        found.append(item)
        if text[place] == ",":
            place = _after(text, place + 1)
    return place + 1


def _after(text: str, place: int, sign: str = "") -> int:
    """The place behind blanks, and behind `sign`; `ValueError` where the text ends or has another sign there."""
    blanks = _BLANKS.match(text, place)
    place = blanks.end() if blanks else place
    if place >= len(text) or not text.startswith(sign, place):
        raise ValueError("not a JSON object")
    return place + len(sign)


def _decoded(decoder: json.JSONDecoder, text: str) -> Any:
    _check_shape(text)
    try:
        return decoder.decode(text)
    except json.JSONDecodeError as exc:
        raise ValueError("not JSON") from exc


def _check_shape(text: str) -> None:
    # Python's parser recurses, and its RecursionError is no protection: libraries raise the recursion limit when
    # imported (py_ecc, below eth-account, to 100,000), and then a stranger's brackets end the process.
    opened = text.count("[") + text.count("{")
    if opened <= MAX_DEPTH and opened + text.count(",") < MAX_VALUES:
        return
    outside = _STRING.sub("", text)
    if sum(map(outside.count, "[{,")) >= MAX_VALUES:
        raise ValueError(f"holds more than {MAX_VALUES} values")
    depth = 0
    for bracket in _BRACKETS.findall(outside):
        depth += 1 if bracket in "[{" else -1
        if depth > MAX_DEPTH:
            raise ValueError(f"nested deeper than {MAX_DEPTH}")


def _check_surrogates(value: Json) -> None:
    # Half a surrogate pair is legal in JSON and illegal in UTF-8: it could be read but never echoed.
    try:
        _ENCODER.encode(value).encode()
    except UnicodeEncodeError as exc:
        raise ValueError("holds half a surrogate pair") from exc


def _unique(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError(_TWICE)
    return found


class _Twice(dict[str, object]):
    """An object that had a key twice; the last one counts."""


def _last(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    return found if len(found) == len(pairs) else _Twice(found)


def _integer(text: str) -> int:
    if len(text) > _MAX_DIGITS + 1:
        raise ValueError("holds a number that is too long")
    return int(text)


def _float(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise ValueError("holds a number that is too large")
    return number


def _constant(_text: str) -> float:
    raise ValueError("holds NaN or Infinity, which JSON does not know")


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except ArithmeticError as exc:  # an exponent out of all bounds
        raise ValueError("holds a number that is too large") from exc


_PLAIN: Final = json.JSONDecoder(
    object_pairs_hook=_unique, parse_int=_integer, parse_float=_float, parse_constant=_constant
)
_EXACT: Final = json.JSONDecoder(
    object_pairs_hook=_unique, parse_int=_integer, parse_float=_decimal, parse_constant=_constant
)


def _shown_number(read: Callable[[str], object]) -> Callable[[str], object]:
    def number(text: str) -> object:
        try:
            return read(text)
        except ValueError:
            return None

    return number


_SHOWN: Final = json.JSONDecoder(
    object_pairs_hook=_last,
    parse_int=_shown_number(_integer),
    parse_float=_shown_number(_decimal),
    parse_constant=lambda _text: None,
)
_ENCODER: Final = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":")
)
