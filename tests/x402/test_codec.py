"""The strict base64 and JSON of headers."""

from __future__ import annotations

import base64
import contextlib
import json
import time
import tracemalloc
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from net.strict_json import MAX_BYTES, MAX_DEPTH, MAX_VALUES, Json, load_exact_json, parse_object
from x402.codec import (
    UINT256_MAX,
    atomic_field,
    clean,
    decode_header,
    encode_header,
    integer_field,
    is_address,
    object_field,
    text_field,
)
from x402.errors import MalformedHeader

_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(2**200), 2**200)
    | _text
    | st.floats(allow_nan=False, allow_infinity=False)
)
_objects: st.SearchStrategy[dict[str, Json]] = st.dictionaries(
    _text,
    st.recursive(_leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_text, inner, max_size=3)),
    max_size=5,
)


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


@given(_objects)
def test_what_is_encoded_is_read_back(message: dict[str, Json]) -> None:
    """Encoding and decoding are inverse, whatever JSON the message holds."""
    assert decode_header("X", encode_header(message)) == message


@given(_objects)
def test_a_header_is_standard_base64_of_compact_json(message: dict[str, Json]) -> None:
    """Section 2: standard alphabet, padded, no line breaks, compact UTF-8 JSON."""
    expected = json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode()
    assert base64.b64decode(encode_header(message), validate=True) == expected


@given(st.text(max_size=200) | st.binary(max_size=200).map(_b64))
def test_any_header_is_read_or_refused_in_our_own_words(value: str) -> None:
    """Nothing but MalformedHeader leaves the decoder, for any text."""
    try:
        assert isinstance(decode_header("X", value), dict)
    except MalformedHeader as exc:
        assert str(exc).startswith("X")  # noqa: PT017 - either outcome is right


@given(st.binary(max_size=300))
def test_any_body_is_read_or_refused_with_a_value_error(data: bytes) -> None:
    """The parser of bodies raises ValueError only, for any bytes."""
    try:
        parse_object(data)
    except ValueError:
        return


@pytest.mark.parametrize(
    "value",
    [
        "e30",  # unpadded
        "e30=\n",  # line break
        "e3 0=",
        "e31=",  # bits after the end: not canonical
        "e30==",
        "=e30",
        "e30=e30=",
        "_-8=",  # url-safe
        "é30=",
    ],
)
def test_loose_base64_is_refused(value: str) -> None:
    """Two readers of one header must never see two things."""
    assert decode_header("X", "e30=") == {}
    with pytest.raises(MalformedHeader, match=r"X is not .*base64"):
        decode_header("X", value)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b'{"a":1,"a":2}', "twice"),
        (b'{"a":{"b":1,"b":1}}', "twice"),
        (b'{"a":NaN}', "NaN"),
        (b'{"a":-Infinity}', "NaN or Infinity"),
        (b'{"a":1e999}', "too large"),
        (b'{"a":' + b"9" * 100 + b"}", "too long"),
        (b"[]", "not a JSON object"),
        (b"null", "not a JSON object"),
        (b"{", "not JSON"),
        (b'{"a":1} x', "not JSON"),
        (b"\xff{}", "not UTF-8"),
        (b"\xef\xbb\xbf{}", "not JSON"),  # a byte order mark
        (b'{"a":"\\ud800"}', "surrogate"),
        (b'{"a":"\\udc00\\ud800"}', "surrogate"),
        (b'{"a":' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}", "nested"),
        (b'{"a":' + b'{"a":' * 20_000, "longer"),
        (b'{"a":' + b"[" * 60_000, "nested"),
    ],
)
def test_loose_json_is_refused(text: bytes, why: str) -> None:
    """Duplicate keys, NaN, endless numbers, deep nesting half characters: each is refused and named."""
    with pytest.raises(ValueError, match=why):
        parse_object(text)


def test_nesting_is_counted_outside_of_strings_and_not_as_breadth() -> None:
    """Brackets inside strings do not nest, and many flat lists do not either."""
    brackets = "[" * 100 + '\\"' + "{" * 100
    flat: dict[str, Json] = {"a": [[], [], {}] * 40, "b": brackets}
    assert parse_object(json.dumps(flat).encode()) == flat
    deepest = b'{"a":' * MAX_DEPTH + b"1" + b"}" * MAX_DEPTH
    assert parse_object(deepest)


@pytest.mark.parametrize(
    "text",
    [
        "[]" * 33 + '"' + '\\"' * 2_000_000,
        "[]" * 33 + '"' + "a" * 4_000_000,
        "[" + "[]," * 33 + '"' + '\\"' * 2_000_000 + '"]',
    ],
    ids=["escapes that never end", "a string that never ends", "escapes that end"],
)
def test_a_long_string_is_looked_at_once(text: str) -> None:
    """Counting brackets is linear and keeps nothing: the first of these took hours once, the second 585 MB."""
    tracemalloc.start()
    began = time.process_time()
    with contextlib.suppress(ValueError):
        load_exact_json(text)
    took, (_, peak) = time.process_time() - began, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert took < 5
    assert peak < 3 * len(text)


@pytest.mark.parametrize("value", ["[]", "{}", "1.5", "0", '""'])
def test_values_are_counted_before_they_are_made(value: str) -> None:
    """So many fit, a few more do not; commas and brackets in strings are none."""
    text = ",".join(["0", '"[[,,{{"', value] + ["1"] * (MAX_VALUES - 5))
    assert load_exact_json(f"[{text}]")
    with pytest.raises(ValueError, match="more than 100000 values"):
        load_exact_json(f"[{text},1,1,1]")


def test_a_whole_surrogate_pair_is_a_character() -> None:
    """Escaped characters beyond the 16-bit plane are read, and can be echoed."""
    assert parse_object(b'{"a":"\\ud83d\\ude00"}') == {"a": "\U0001f600"}


def test_what_is_too_long_is_not_decoded() -> None:
    """Headers and bodies beyond 64 KiB are refused before any work is done on them."""
    with pytest.raises(MalformedHeader, match="longer"):
        decode_header("X", "A" * (MAX_BYTES + 4))
    with pytest.raises(ValueError, match="longer"):
        parse_object(b" " * (MAX_BYTES + 1))
    assert parse_object(b"{}" + b" " * (MAX_BYTES - 2)) == {}


def test_a_refused_header_is_not_quoted() -> None:
    """A header may be a cheque: its text never gets into an error."""
    with pytest.raises(MalformedHeader) as caught:
        decode_header("PAYMENT-SIGNATURE", _b64(b'{"signature":"0xsecret","signature":1}'))
    assert "secret" not in f"{caught.value!r} {caught.value.__cause__!r}"


@pytest.mark.parametrize("text", ["", "01", "+1", "-1", "1.0", "1e3", "0x10", " 1", "1 ", "١", "1_0", str(2**256)])
def test_money_is_a_plain_decimal_string(text: str) -> None:
    """Section 2: atomic units as decimal strings, unsigned, 256 bits, one spelling per number."""
    with pytest.raises(ValueError, match="amount is not a decimal string"):
        atomic_field({"amount": text}, "amount")


@given(st.integers(0, UINT256_MAX))
def test_every_256_bit_number_can_be_money(number: int) -> None:
    """Nothing is lost above 2**53, where floats end."""
    assert atomic_field({"amount": str(number)}, "amount") == number


def test_fields_are_of_their_own_type() -> None:
    """A number is no string, `true` is no number, and a missing field is called missing."""
    message: dict[str, Json] = {"text": "a", "number": 1, "flag": True, "object": {"a": 1}}
    assert text_field(message, "text") == "a"
    assert integer_field(message, "number") == 1
    assert object_field(message, "object") == {"a": 1}
    with pytest.raises(ValueError, match="number is not a string"):
        text_field(message, "number")
    with pytest.raises(ValueError, match="flag is not an integer"):
        integer_field(message, "flag")
    with pytest.raises(ValueError, match="text is not an object"):
        object_field(message, "text")
    for read in (text_field, integer_field, object_field, atomic_field):
        with pytest.raises(ValueError, match="other is missing"):
            read(message, "other")


def test_an_address_is_twenty_bytes_of_hex() -> None:
    """The case of the digits does not matter, everything else does."""
    assert is_address("0x" + "aB" * 20)
    for text in ("0x" + "ab" * 19, "0x" + "ab" * 21, "ab" * 20, "0x" + "ag" * 20, "0x" + "ab" * 20 + "\n"):
        assert not is_address(text)


def test_text_of_strangers_is_made_fit_for_a_log_line() -> None:
    """No line breaks, escapes or direction marks, and an end."""
    assert clean("a\n\x1b[31mb\u202ec\u2028d ") == "a [31mb c d"
    assert clean("x" * 1000) == "x" * 300
    assert clean("x" * 1000, 10) == "x" * 10


def test_an_exact_number_is_what_was_sent_or_is_refused() -> None:
    """As a Decimal; an exponent out of all bounds is no number."""
    assert load_exact_json('{"a":0.10}') == {"a": Decimal("0.10")}
    with pytest.raises(ValueError, match="too large"):
        load_exact_json('{"a":1e9999999999999999999}')
