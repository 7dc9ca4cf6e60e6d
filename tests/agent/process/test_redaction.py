"""No secret is left in a text, in whatever form it stands there; what is none stays."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.process.redaction import Redactor
from tests.agent.stage import KEY

PAYMENT = {"x402Version": 2, "payload": {"signature": "0x" + "ab" * 65}}
HEADER = base64.b64encode(json.dumps(PAYMENT).encode()).decode()
API_KEY = "purser_7Gx2abcd_" + "sEcr3t-" * 5


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (f"sent PAYMENT-SIGNATURE: {HEADER} to it", HEADER[:40]),
        (f"b'{HEADER.replace('+', '-').rstrip('=')}'", HEADER[:40]),
        (f"signature 0x{'5c' * 65}", "5c" * 10),
        (f"key {KEY} is bad", KEY[:20]),
        (f"key 0X{KEY.upper()} is bad", KEY.upper()[:20]),
        (f"private value {int(KEY, 16)}", str(int(KEY, 16))[:20]),
        ("Authorization: Bearer abc.def-123", "abc.def-123"),
        ("authorization: basic dXNlcjpwYXNz", "dXNlcjpwYXNz"),
        (f"caller {API_KEY} is unknown", "sEcr3t"),
        ("mongodb+srv://me:p@ss/w0rd@db.example/purser?w=majority", "p@ss"),
        ("https://user:pw123@node.example/v2", "pw123"),
        ("-----BEGIN EC PRIVATE KEY-----\nMHcCAQ\n-----END EC PRIVATE KEY-----", "MHcCAQ"),
        ("-----BEGIN PRIVATE KEY-----\nMHcCAQ (cut off", "MHcCAQ"),
        ("eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJwdXJzZXIiLCJhdWQiOiJjZHAifQ.c2lnbmF0dXJl", "c2lnbmF0dXJl"),
    ],
)
def test_what_looks_like_a_secret_goes(text: str, secret: str) -> None:
    """Though nobody told of it."""
    assert secret in text

    assert secret not in Redactor()(text)
    assert "[redacted]" in Redactor()(text)


@pytest.mark.parametrize(
    "text",
    [
        "tick of run 66a1f0c2e4b0a1b2c3d4e5f6 failed",
        "payee 0x857b06519E91e3A54538791bDbb0E22373e36b66 on eip155:84532",
        "HTTP Request: POST https://gpu.example:8443/submit-job 200",
        "purser_runs_due 1",
        "send Authorization: Bearer with the right token",
        "the tick ended in a fault of ours (ZeroDivisionError)",
    ],
)
def test_what_is_none_stays(text: str) -> None:
    """A log that shows nothing helps nobody."""
    assert Redactor()(text) == text


CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="<>")
FORMS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "JSON": lambda s: json.dumps(s)[1:-1],
    "repr": lambda s: repr(s)[1:-1],
    "URL": quote,
    "form": quote_plus,
}


@pytest.mark.parametrize("form", FORMS)
@given(secret=st.text(CHARACTERS, min_size=1, max_size=60).filter(str.strip))
def test_a_known_secret_goes_in_every_form(form: str, secret: str) -> None:
    """As it is, in JSON, in a repr, in a URL."""
    redact = Redactor()
    redact.learn([secret])

    assert redact(f"<< {FORMS[form](secret)} >>") == "<< [redacted] >>"


def test_parts_of_a_secret_that_are_secrets_go_too() -> None:
    """A node's key in its URL, a password without its URI, one key of a list; hosts stay."""
    redact = Redactor()
    redact.learn(
        [
            "eip155:84532=https://base.example/v2/AbCdEfGhIjKlMnOpQrSt eip155:1=https://eth.example/?apikey=0123456789abcdefX",
            "mongodb://purser:hunter%2Ftwo@db.example/purser",
            "k1:c2VhbGluZy1rZXktbnVtYmVyLW9uZQ==,k2:c2VhbGluZy1rZXktbnVtYmVyLXR3bw==",
        ]
    )

    said = redact(
        "POST https://base.example/v2/AbCdEfGhIjKlMnOpQrSt, https://eth.example/?apikey=0123456789abcdefX; "
        "hunter/two, hunter%2Ftwo at db.example; c2VhbGluZy1rZXktbnVtYmVyLXR3bw"
    )

    assert said.count("[redacted]") == 5
    assert "https://base.example/v2/" in said
    assert "db.example" in said


def test_a_short_secret_is_found_where_it_stands_alone() -> None:
    """Not inside of words."""
    redact = Redactor()
    redact.learn(["abc"])

    assert redact("abc, x=abc; abcess") == "[redacted], x=[redacted]; abcess"


def test_the_longest_of_secrets_that_begin_alike_goes() -> None:
    """What is left of it would be a secret still; one that begins inside of another does not save it."""
    redact = Redactor()
    redact.learn(["alike-alike", "alike-alike-and-more", "and-more-of-it"])

    assert redact("alike-alike-and-more") == "[redacted]"
    assert redact("alike-alike-and-more-of-it") == "[redacted]-of-it"
    assert redact("alike-alike-and, and-more-of-it") == "[redacted]-and, [redacted]"


@given(
    secrets=st.lists(st.text("ab.", min_size=1, max_size=12).filter(str.strip), max_size=6),
    text=st.text("ab. ", max_size=60),
)
def test_known_secrets_are_found_as_a_search_for_each_would(secrets: list[str], text: str) -> None:
    """From left to right, the longest first; short ones where they stand alone."""
    redact = Redactor()
    for secret in secrets:
        redact.learn([secret])
    longest_first = sorted(secrets, key=len, reverse=True)
    long = [re.escape(each) for each in longest_first if len(each) >= 8]
    short = [rf"(?<![A-Za-z0-9]){re.escape(each)}(?![A-Za-z0-9])" for each in longest_first if len(each) < 8]
    expected = text
    for some in filter(None, (long, short)):
        expected = re.sub("|".join(some), "[redacted]", expected)

    assert redact(text) == expected


RUNS: dict[str, str] = {
    "JSON in base64": "ey",
    "segments of it": "eyAAAAAAAAA",
    "JWTs": "eyAAAAAAAA.",
    "short segments": "ey.",
    "URLs": "ab://x",
    "schemes": "ab://",
    "hosts": "ab.",
    "API keys": " purser_a-",
    "hex": "a" * 63 + "g",
    "private keys": "-----BEGIN A PRIVATE KEY-----",
    "headings": "-----BEGIN " + "A" * 40,
    "tokens": "bearer ",
    "blanks": " ",
    "almost a secret": "sEcr3t-of-the-test!",
    "beginnings of one": "sEcr3t-o",
}


def seconds(redact: Redactor, text: str) -> float:
    """Of this process, at best: others on the machine do not count."""
    found = []
    for _ in range(3):
        start = time.process_time()
        redact(text)
        found.append(time.process_time() - start)
    return min(found)


@pytest.mark.parametrize("run", RUNS)
def test_the_time_is_linear_in_the_length(run: str) -> None:
    """Eight times the text takes eight times as long, and not sixty-four."""
    redact = Redactor()
    redact.learn(["sEcr3t-of-the-test?" + "x" * 40])
    short, long = (RUNS[run] * (length // len(RUNS[run])) for length in (8_000, 64_000))
    redact(short)

    assert seconds(redact, long) < 24 * seconds(redact, short)


def test_the_time_does_not_grow_with_what_is_known() -> None:
    """A vendor's token is learnt when it is first used: a thousand, one by one, and all are looked for at once."""
    few, many = Redactor(), Redactor()
    few.learn(["sEcr3t-number-0"])
    start = time.process_time()
    for number in range(1_000):
        many.learn([f"sEcr3t-number-{number:04}-" + "x" * 20])
    learning = time.process_time() - start
    text = "POST https://gpu.example:8443/submit-job answered 200, sEcr3t-number- " * 200

    assert learning < 1.0
    assert seconds(many, text) < 4 * seconds(few, text)
