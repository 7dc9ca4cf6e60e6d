"""Headers of x402 and the fields in them (x402 v2 `transports-v2/http`): strict base64 around strict JSON.

Standard alphabet, padded, canonical (RFC 4648 section 3.5). What does not fit is refused: two readers of one
header must never see two things.
"""

from __future__ import annotations

import binascii
import re
from decimal import Decimal
from typing import Final

from net.strict_json import MAX_BYTES, Json, JsonObject, parse_object, to_json
from x402.errors import MalformedHeader

__all__ = [
    "UINT256_MAX",
    "atomic_field",
    "clean",
    "decimal_text",
    "decode_header",
    "encode_header",
    "integer_field",
    "is_address",
    "object_field",
    "text_field",
]

UINT256_MAX: Final = 2**256 - 1

_ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]{40}")
_UINT: Final = re.compile(r"0|[1-9][0-9]{0,77}")
_DECIMAL: Final = re.compile(r"(?:0|[1-9][0-9]{0,77})(?:\.[0-9]{1,78})?")
_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]+")


def encode_header(message: JsonObject) -> str:
    """The message as a header value: base64 of compact UTF-8 JSON."""
    return binascii.b2a_base64(to_json(message), newline=False).decode("ascii")


def decode_header(name: str, value: str) -> dict[str, Json]:
    """The JSON object inside a header.

    Raises:
        MalformedHeader: too long, not canonical base64, or not a strict JSON object. The value is not quoted.
    """
    if len(value) > MAX_BYTES:
        raise MalformedHeader(f"{name} is longer than {MAX_BYTES} characters")
    try:
        encoded = value.encode("ascii")
        data = binascii.a2b_base64(encoded)
    except ValueError as exc:
        raise MalformedHeader(f"{name} is not standard, padded base64") from exc
    if binascii.b2a_base64(data, newline=False) != encoded:  # the decoder skips what it does not know
        raise MalformedHeader(f"{name} is not canonical base64")
    try:
        return parse_object(data)
    except ValueError as exc:
        raise MalformedHeader(f"{name}: {exc}") from exc


def text_field(message: JsonObject, key: str) -> str:
    """A string that must be there, or `ValueError`."""
    value = message.get(key)
    if isinstance(value, str):
        return value
    raise ValueError(f"{key} is missing" if key not in message else f"{key} is not a string")


def integer_field(message: JsonObject, key: str) -> int:
    """A JSON integer that must be there (`true` is none), or `ValueError`."""
    value = message.get(key)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise ValueError(f"{key} is missing" if key not in message else f"{key} is not an integer")


def object_field(message: JsonObject, key: str) -> dict[str, Json]:
    """A JSON object that must be there, or `ValueError`."""
    value = message.get(key)
    if isinstance(value, dict):
        return value
    raise ValueError(f"{key} is missing" if key not in message else f"{key} is not an object")


def atomic_field(message: JsonObject, key: str) -> int:
    """An unsigned 256-bit number written as a plain decimal string, or `ValueError`.

    Money and times travel this way in x402: no sign, no leading zero, no exponent, no hex.
    """
    text = text_field(message, key)
    if not _UINT.fullmatch(text) or (number := int(text)) > UINT256_MAX:
        raise ValueError(f"{key} is not a decimal string of an unsigned 256-bit number")
    return number


def decimal_text(text: str) -> Decimal:
    """A number as a person types it: ASCII digits with at most one point among them, or `ValueError`.

    Python reads more: `1_000` and `1e3` are a thousand to it, and digits of any script are digits.
    """
    if not _DECIMAL.fullmatch(text):
        raise ValueError("must be plain digits with at most one point, such as 2.5")
    return Decimal(text)


def is_address(text: str) -> bool:
    """Whether the text is `0x` and 40 hex digits; their case is not looked at."""
    return _ADDRESS.fullmatch(text) is not None


def clean(text: str, limit: int = 300) -> str:
    """A stranger's text made fit for a log line: no control or direction characters, at most `limit` long."""
    return _UNPRINTABLE.sub(" ", text).strip()[:limit]
