"""`purser x402`: every message of the golden vectors made readable, and payments held against their terms."""

from __future__ import annotations

import base64
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from net.strict_json import Json
from scripts.cli.tree import command_line
from scripts.x402_tools import HIDDEN, Decoded, decode, read_requirements, verify
from tests.scripts.conftest import Purser
from tests.x402.samples import (
    KEY,
    NETWORK,
    NONCE,
    NOW,
    OTHER,
    PAYER,
    entry,
    header_for,
    offer,
    payment_for,
    v1_entry,
)
from x402.codec import encode_header
from x402.decode import decode_payment, offer_from
from x402.errors import MalformedHeader
from x402.failures import Failure
from x402.negotiation import build_payment, window
from x402.selling.seller import receipt_headers
from x402.wallets.signers import LocalSigner, sign_payment
from x402.wire import Challenge, PaymentHeader, Receipt


@pytest.fixture
async def paid() -> PaymentHeader:
    """A payment of the sample terms."""
    return await header_for(offer())


def challenge(*entries: dict[str, Json], **more: Json) -> dict[str, Json]:
    """Terms with these entries."""
    return {"x402Version": 2, "accepts": [*entries], **more}


async def test_each_message_is_known_by_its_shape(paid: PaymentHeader) -> None:
    """As a bare value, with its name, in any case, with blanks around, or as a body's JSON."""
    terms, receipt = challenge(entry()), Receipt(True, "0xab", NETWORK)
    values = {
        "challenge": ("PAYMENT-REQUIRED", encode_header(terms)),
        "payment": (paid.name, paid.value),
        "receipt": next(iter(receipt_headers(2, receipt).items())),
    }
    for kind, (name, value) in values.items():
        for text in (value, f" {value}\n", f"{name}: {value}", f"{name.lower()}:{value}\r\n"):
            found = decode(text)
            assert (found.kind, found.problems) == (kind, ())
            assert decode(json.dumps(found.message)) == found


async def test_what_could_be_cashed_is_not_shown(paid: PaymentHeader, command: Purser) -> None:
    """Unless it is asked for; all else is there."""
    signature = decode_payment(paid.name, paid.value).signature
    shown, asked = command("x402", "decode", paid.value), command("x402", "decode", "--show-signature", paid.value)
    assert (shown.exit_code, asked.exit_code) == (0, 0)
    assert signature not in shown.stdout
    message = json.loads(shown.stdout)["message"]
    assert message["payload"]["signature"] == HIDDEN
    assert (message["payload"]["authorization"]["nonce"], message["accepted"]) == (NONCE, entry())
    assert json.loads(asked.stdout)["message"]["payload"]["signature"] == signature


@pytest.mark.parametrize(
    "payload",
    [
        {"transaction": "planted"},
        {"permissionContext": {"inner": ["planted"]}},
        {"permit2Authorization": {"nonce": "1", "signature": "planted"}, "signature": "planted"},
        ["planted"],
        "planted",
    ],
)
def test_payloads_of_other_schemes_are_hidden_too(payload: Json) -> None:
    """Whatever it is that makes them worth money."""
    found = decode(encode_header({"x402Version": 2, "payload": payload, "accepted": {"scheme": "else"}}))
    shown = json.dumps(found.as_json(signature=False))
    assert "planted" not in shown
    assert '"scheme": "else"' in shown
    assert "planted" in json.dumps(found.as_json(signature=True))


def test_a_permit_shows_what_is_signed() -> None:
    """The terms of it are worth nothing by themselves."""
    payload: dict[str, Json] = {"permit2Authorization": {"nonce": "7"}, "signature": "x"}
    found = decode(encode_header({"x402Version": 2, "payload": payload}))
    assert "'nonce': '7'" in str(found.as_json(signature=False))


def test_odd_spellings_are_read_and_named() -> None:
    """The spec wants standard base64 with padding; a debugger should see what was meant."""
    terms = challenge(entry(description="ÿ>?~~~~ÿÿ"))
    value = encode_header(terms)
    odd = value.replace("+", "-").replace("/", "_").rstrip("=")
    assert odd != value
    found = decode(f"PAYMENT-REQUIRED: {odd[:40]}\n {odd[40:]}")
    assert found.message == decode(value).message
    assert (
        found.problems == ("PAYMENT-REQUIRED is not standard, padded base64",) or "canonical" in found.problems[0]
    )


@pytest.mark.parametrize(
    "text", ["", "%", "abc", "{", base64.b64encode(b"[]").decode(), base64.b64encode(b"\xff").decode()]
)
def test_what_is_no_message_is_said(text: str, command: Purser) -> None:
    """Exit 1, and the reason; nothing is quoted."""
    with pytest.raises(MalformedHeader):
        decode(text)
    result = command("x402", "decode", text)
    assert result.exit_code == 1
    assert json.loads(result.stdout)["problems"][0]


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        (challenge(entry(), entry(amount="1e3")), "entry 1: amount is not a decimal string"),
        ({"x402Version": 9, "accepts": []}, "version 9"),
        ({"x402Version": "2", "accepts": []}, "version 0"),
        ({"accepts": 1}, "accepts is not a list"),
        ({"x402Version": 2, "payload": {}}, "authorization is missing"),
        ({"success": 1}, "success is not true or false"),
        ({"a": 1}, "none of the protocol's messages"),
    ],
)
def test_what_a_strict_reader_would_refuse_is_named(
    message: dict[str, Json], problem: str, command: Purser
) -> None:
    """And the command ends with 1."""
    result = command("x402", "decode", encode_header(message))
    assert result.exit_code == 1
    assert problem in json.loads(result.stdout)["problems"][0]


def test_verdicts_and_kinds_are_known() -> None:
    """What facilitators answer."""
    assert decode('{"isValid": true}') == Decoded("verdict", {"isValid": True}, ())
    assert decode('{"kinds": []}').kind == "supported"


async def test_stdin_is_read_for_a_dash(
    paid: PaymentHeader, elsewhere: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A payment on the command line is seen by every process of the machine."""
    (tmp_path / "terms.json").write_text(json.dumps(entry()))
    run = CliRunner().invoke
    assert (
        json.loads(run(command_line("x402"), ["x402", "decode", "-"], input=paid.value).stdout)["kind"]
        == "payment"
    )
    command = ["x402", "verify", "--requirements", "terms.json", "--payment", "-", "--at", str(NOW)]
    assert run(command_line("x402"), command, input=paid.value).stdout.startswith("valid")


async def test_terms_are_read_in_every_form(paid: PaymentHeader) -> None:
    """An entry, a list, a challenge, its header; version 1 is known by its field."""
    terms = challenge(entry())
    for text in (
        json.dumps(entry()),
        json.dumps([entry()]),
        json.dumps(terms),
        encode_header(terms),
        f"payment-required: {encode_header(terms)}\n",
    ):
        assert verify(read_requirements(text), paid.value, NOW).failure is None
    assert [each.version for each in read_requirements(json.dumps([v1_entry(), entry()])).offers] == [1, 2]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no terms|not standard|not JSON|entry|longer|base64|object"),
        ("[]", "no terms"),
        ("[1]", "entry 1 is not an object"),
        ('{"accepts": "x"}', "entry 1 is not an object"),
        (json.dumps([entry(), entry(payTo="x")]), "entry 2: payTo is not an address"),
        ("{", "not JSON"),
        ("%", "base64"),
    ],
)
def test_terms_that_cannot_be_read_are_a_mistake_of_the_command_line(
    text: str, why: str, command: Purser, tmp_path: Path
) -> None:
    """Exit 2, with the file and the reason."""
    with pytest.raises(ValueError, match=why):
        read_requirements(text)
    (tmp_path / "terms").write_text(text)
    result = command("x402", "verify", "--requirements", "terms", "--payment", "x")
    assert result.exit_code == 2
    assert "terms: " in result.stderr
    assert command("x402", "verify", "--requirements", "none", "--payment", "x").exit_code == 2


OTHER_TOKEN = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913"


@pytest.mark.parametrize(
    ("terms", "at", "failure"),
    [
        (entry(), NOW, None),
        (entry(amount="10001"), NOW, Failure.NOT_ECHOED),
        (entry(payTo=OTHER), NOW, Failure.NOT_ECHOED),
        (entry(), NOW + 295, Failure.EXPIRED),
        (entry(), NOW - 700, Failure.NOT_YET_VALID),
        (v1_entry(), NOW, Failure.UNSUPPORTED),
    ],
)
async def test_which_check_failed(
    paid: PaymentHeader, terms: dict[str, Json], at: int, failure: Failure | None, command: Purser, tmp_path: Path
) -> None:
    """In our word, in the facilitators', and for people; the exit code is 1."""
    (tmp_path / "terms").write_text(json.dumps(terms))
    arguments = ("x402", "verify", "--requirements", "terms", "--payment", paid.value, "--at", str(at))
    result, told = command(*arguments), json.loads(command(*arguments, "--json").stdout)
    assert result.exit_code == (0 if failure is None else 1)
    assert result.stdout.startswith("valid" if failure is None else f"invalid: {failure.value}: ")
    assert (told["valid"], told["failure"]) == (failure is None, None if failure is None else failure.value)
    assert (told["payer"], told["amount"]) == (PAYER, "10000")


async def test_a_spoiled_signature_is_named(paid: PaymentHeader) -> None:
    """One digit is enough."""
    message: Any = json.loads(base64.b64decode(paid.value))
    signature = message["payload"]["signature"]
    message["payload"]["signature"] = signature[:-5] + ("0" if signature[-5] != "0" else "1") + signature[-4:]
    verdict = verify(read_requirements(json.dumps(entry())), encode_header(message), NOW)
    assert verdict.failure is Failure.BAD_SIGNATURE


async def test_of_several_offers_the_answered_one_counts(paid: PaymentHeader) -> None:
    """And of those that do not fit, the one that comes closest."""
    several = challenge(v1_entry(), entry(amount="5"), entry(), entry(payTo=OTHER))
    assert verify(read_requirements(json.dumps(several["accepts"])), paid.value, NOW).failure is None
    late = verify(read_requirements(json.dumps(several["accepts"])), paid.value, NOW + 1000)
    assert late.failure is Failure.EXPIRED


async def test_version_1_is_held_against_its_own(paid: PaymentHeader) -> None:
    """It does not say which entry it answers, so the payee and the amount do."""

    old = offer_from(v1_entry(), 1)
    after, before = window(old, NOW, 900)
    unsigned = build_payment(
        Challenge(1, (old,)), old, payer=PAYER, nonce=NONCE, valid_after=after, valid_before=before
    )
    header = await sign_payment(unsigned, LocalSigner(KEY))
    assert verify(read_requirements(json.dumps(v1_entry())), f"X-PAYMENT: {header.value}", NOW).failure is None
    dearer = json.dumps([v1_entry(payTo=OTHER), v1_entry(maxAmountRequired="10001"), entry()])
    assert verify(read_requirements(dearer), header.value, NOW).failure is Failure.AMOUNT_MISMATCH


def test_a_payment_that_is_none_is_malformed(command: Purser, tmp_path: Path) -> None:
    """Exit 1: it was the payment that was asked about."""
    (tmp_path / "terms").write_text(json.dumps(entry()))
    result = command("x402", "verify", "--requirements", "terms", "--payment", "%%%", "--json")
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert (told["failure"], told["reason"], told["payer"]) == ("malformed", "invalid_payload", None)


async def test_an_extension_that_was_not_echoed_is_named() -> None:
    """Where the challenge declares it and the payment changes it."""
    payment = await payment_for(offer())
    message = payment.as_json() | {"extensions": {"x": {"info": {"a": 2}}}}
    terms = json.dumps(challenge(entry(), extensions={"x": {"info": {"a": 1}}}))
    verdict = verify(read_requirements(terms), encode_header(message), NOW)
    assert verdict.failure is Failure.NOT_ECHOED
    assert "extension_echo_mismatch" in verdict.message


@settings(max_examples=200, deadline=None)
@given(st.text() | st.binary().map(lambda data: base64.b64encode(data).decode()))
def test_any_text_is_decoded_or_refused(text: str) -> None:
    """Nothing else comes out of decode, and nothing at all out of verify."""
    with suppress(MalformedHeader):
        decode(text).as_json(signature=False)
    verify(read_requirements(json.dumps(entry())), text, NOW)
