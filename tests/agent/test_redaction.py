"""No secret is left in a text, in whatever form it stands there; what is none stays."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.redaction import Redactor
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
