"""`purser pay` as a command: what it prints where, what it ends with, and what it never shows."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import os
import pty
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import Result

from agent.process.settings import Settings
from net.strict_json import Json
from scripts.pay.values import PayExit
from scripts.pay.view import body_bytes, write_body
from scripts.serve.servers import ROOT, clean
from tests.scripts.conftest import Purser
from tests.scripts.shop import open_shop
from tests.scripts.standin import Answer, StandIn, standing_in
from tests.tracebacks import shown
from tests.x402.samples import KEY, NETWORK, PAYEE, PAYER, entry
from x402.codec import decode_header, encode_header
from x402.selling.seller import receipt_headers
from x402.wire import Receipt

TRANSACTION = "0x" + "ab" * 32
SETTLED = receipt_headers(2, Receipt(True, TRANSACTION, NETWORK, PAYER))
GOODS = Answer(200, b'{"a":1}', SETTLED | {"Content-Type": "application/json"})
PAY = [sys.executable, "-m", "scripts.cli", "pay", "GET"]
HOSTILE = "\x1b]0;owned\x07\x1b[31mred\u202e"


def asks(*entries: dict[str, Json], **more: Json) -> Answer:
    """A 402 with these offers."""
    message: dict[str, Json] = {"x402Version": 2, "accepts": [*(entries or (entry(),))], **more}
    return Answer(402, b"{}", {"PAYMENT-REQUIRED": encode_header(message)})


@pytest.fixture
def home(elsewhere: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """PURSER_HOME, and a wallet."""
    elsewhere.setenv("PURSER_HOME", str(tmp_path / "home"))
    elsewhere.setenv("X402_PRIVATE_KEY", KEY)
    return tmp_path / "home"


@pytest.fixture
def pay(home: Path, command: Purser) -> Callable[..., Result]:
    """`purser pay GET` with a maximum of 0.01 USD, unless the arguments say otherwise."""

    def call(url: str, *arguments: str) -> Result:
        most = () if "--max-usd" in arguments else ("--max-usd", "0.01")
        return command("pay", "GET", url, *most, *arguments)

    return call


Pay = Callable[..., Result]


def test_body_to_stdout_and_the_rest_to_stderr(pay: Pay) -> None:
    """As curl does it; transaction, network, payer and amount are the receipt."""
    with standing_in(asks(), GOODS) as vendor:
        result = pay(vendor.url)
    assert (result.exit_code, result.stdout_bytes) == (0, b'{"a":1}')
    assert result.stderr.splitlines() == [
        f"offer 1: 0.01 USDC on base-sepolia (eip155:84532) to {PAYEE}: will be paid",
        "paid 0.01 USD",
        f"  transaction {TRANSACTION}",
        "  network     eip155:84532",
        f"  payer       {PAYER}",
        f"  payee       {PAYEE}",
    ]


def test_what_is_given_is_sent(pay: Pay, command: Purser) -> None:
    """Method, body, headers and key, both times; the payment the second time only."""
    with standing_in(asks(), GOODS) as vendor:
        result = command(
            *("pay", "patch", f"{vendor.url}/x?q=1#part", "--max-usd", "1", "--json", '{"b": 2.50}'),
            *(
                "-H",
                "Authorization: Bearer t:1",
                "-H",
                "X-Empty:",
                "--idempotency-key",
                "order-7",
            ),
        )
    assert result.exit_code == 0, result.stderr
    assert [(each.method, each.target, each.body) for each in vendor.asked] == [
        ("PATCH", "/x?q=1", '{"b": 2.50}')
    ] * 2
    for each in vendor.asked:
        kept = {name: each.headers.get(name) for name in ("authorization", "content-type", "idempotency-key")}
        assert kept == {
            "authorization": "Bearer t:1",
            "content-type": "application/json",
            "idempotency-key": "order-7",
        }
        assert each.headers["x-empty"] == ""
    assert ["payment-signature" in each.headers for each in vendor.asked] == [False, True]


def test_json_output_is_one_object(pay: Pay) -> None:
    """With all there is to know; amounts are strings, bodies are text as it came."""
    dear = entry(amount="20000")
    with standing_in(asks(dear, entry(), entry(network="eip155:8453")), GOODS) as vendor:
        result = pay(vendor.url, "--json-output")
    told = json.loads(result.stdout)
    assert (result.exit_code, result.stderr) == (0, "")
    assert told["exitCode"] == 0
    assert told["error"] is None
    assert told["response"] == {
        "status": 200,
        "contentType": "application/json",
        "location": None,
        "body": '{"a":1}',
    }
    assert told["payment"] | {"nonce": "", "validBefore": 0} == {
        "transaction": TRANSACTION,
        "network": NETWORK,
        "payer": PAYER,
        "payTo": PAYEE,
        "asset": entry()["asset"],
        "amount": "10000",
        "amountUsd": "0.01",
        "nonce": "",
        "validBefore": 0,
        "signedBefore": False,
    }
    assert [(each["amountUsd"], each["chosen"], each["refused"]) for each in told["offers"]] == [
        ("0.02", False, "amount 20000 is above the limit of 10000"),
        ("0.01", True, None),
        (None, False, told["offers"][2]["refused"]),
    ]


def test_json_output_of_bytes_that_are_no_text(pay: Pay) -> None:
    """In base64."""
    with standing_in(Answer(200, b"\xff\x00")) as vendor:
        told = json.loads(pay(vendor.url, "--json-output").stdout)
    assert told["response"]["bodyBase64"] == base64.b64encode(b"\xff\x00").decode()
    assert (told["payment"], told["offers"]) == (None, [])


@pytest.mark.parametrize(
    ("answers", "arguments", "code", "word"),
    [
        ((asks(),), ("--max-usd", "0.009999"), PayExit.TOO_EXPENSIVE, "too_expensive"),
        ((asks(),), ("--network", "base"), PayExit.NOT_ALLOWED, "not_allowed"),
        ((asks(entry(scheme="upto")),), (), PayExit.NOT_ALLOWED, "not_allowed"),
        ((Answer(500),), (), PayExit.VENDOR, "vendor"),
        ((Answer(302, b"", {"Location": "http://x.example/"}),), (), PayExit.VENDOR, "vendor"),
        ((asks(), asks(error="no money")), (), PayExit.VENDOR, "payment_refused"),
        ((asks(), Answer(503)), (), PayExit.UNKNOWN, "outcome_unknown"),
        ((asks(), Answer(200, b"half", cut=True)), (), PayExit.UNKNOWN, "outcome_unknown"),
    ],
)
def test_exit_codes(
    pay: Pay, answers: tuple[Answer, ...], arguments: tuple[str, ...], code: PayExit, word: str
) -> None:
    """Each with its word, for people on stderr and for programs in the object."""
    for output in ((), ("--json-output",)):
        with standing_in(*answers) as vendor:
            result = pay(vendor.url, *arguments, *output)
        assert result.exit_code == code, result.stderr
        if output:
            assert json.loads(result.stdout)["error"]["code"] == word
            assert json.loads(result.stdout)["exitCode"] == code
        else:
            assert f"\n{word}: " in f"\n{result.stderr}"


def test_networks_have_two_names(pay: Pay) -> None:
    """And any of those given will do; X402_NETWORKS is for when none is."""
    with standing_in(asks(), GOODS) as vendor:
        assert pay(vendor.url, "--network", "base-sepolia", "--network", "eip155:1").exit_code == 0


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("MAX_PER_PAYMENT", "0.009", PayExit.TOO_EXPENSIVE),
        ("ALLOWED_ASSETS", PAYER, PayExit.NOT_ALLOWED),
        ("ALLOWED_PAYEES", PAYER, PayExit.NOT_ALLOWED),
        ("ALLOWED_HOSTS", "x.example", PayExit.NOT_ALLOWED),
        ("X402_NETWORKS", "eip155:1", PayExit.NOT_ALLOWED),
    ],
)
def test_the_settings_of_runs_hold_here_too(
    pay: Pay, monkeypatch: pytest.MonkeyPatch, name: str, value: str, code: PayExit
) -> None:
    """Whom and with what may be paid, and how much at once."""
    monkeypatch.setenv(name, value)
    with standing_in(asks()) as vendor:
        assert pay(vendor.url).exit_code == code


def test_a_dry_run_needs_no_wallet(pay: Pay, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It shows the offer, sends one request and leaves nothing behind."""
    monkeypatch.delenv("X402_PRIVATE_KEY")
    with standing_in(asks()) as vendor:
        result = pay(vendor.url, "--dry-run")
    assert (result.exit_code, result.stdout, home.exists()) == (0, "", False)
    assert result.stderr.splitlines()[1:] == ["dry run: nothing was signed"]
    assert len(vendor.asked) == 1


def test_a_dry_run_tells_of_an_open_payment(pay: Pay) -> None:
    """And sends it not."""
    with standing_in(asks(), Answer(503)) as vendor:
        pay(vendor.url)
        result = pay(vendor.url, "--dry-run")
        assert len(vendor.asked) == 2
    assert result.stderr == "dry run: 0.01 USD signed before would be sent again\n"


def test_a_lost_answer_and_the_same_command_again(pay: Pay) -> None:
    """The bytes are those of the first time, and it says so; nothing asks for the wallet."""
    with standing_in(asks(), Answer(503), GOODS) as vendor:
        lost = pay(vendor.url)
        result = pay(vendor.url)
    assert (lost.exit_code, result.exit_code) == (PayExit.UNKNOWN, 0)
    assert "the same command sends the same payment again" in lost.stderr
    assert "paid 0.01 USD (signed before)" in result.stderr
    first, second = (each.headers["payment-signature"] for each in vendor.asked[1:])
    assert first == second


def test_free_and_paid_without_a_receipt_are_told_apart(pay: Pay) -> None:
    """Both end with 0."""
    with standing_in(Answer(200, b"free"), asks(), Answer(200, b"goods")) as vendor:
        free, bare = pay(vendor.url), pay(vendor.url)
    assert (free.stderr, free.stdout) == ("nothing was paid: the vendor asked for no payment\n", "free")
    assert (bare.exit_code, bare.stdout) == (0, "goods")
    assert "the vendor shows no receipt; 0.01 USD can be cashed until" in bare.stderr
    assert "sent 0.01 USD" in bare.stderr


def test_without_a_wallet_it_says_what_to_do(pay: Pay, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit 7."""
    monkeypatch.delenv("X402_PRIVATE_KEY")
    with standing_in(asks()) as vendor:
        result = pay(vendor.url)
    assert result.exit_code == PayExit.SETUP
    assert "purser wallet new" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("GET", "https://x.example"), "--max-usd"),
        (("GET", "https://x.example", "--max-usd", "0.0000001"), "at most 6 decimals"),
        (("GET", "https://x.example", "--max-usd", "NaN"), "plain digits"),
        (("GET", "https://x.example", "--max-usd", "0"), "greater than 0"),
        (("GET", "https://x.example", "--max-usd", "a"), "plain digits"),
        (("G T", "https://x.example", "--max-usd", "1"), "method"),
        (("GET", "ftp://x.example", "--max-usd", "1"), "http"),
        (("GET", "x.example", "--max-usd", "1"), "absolute"),
        (("GET", "https://x:y.example", "--max-usd", "1"), "URL"),
        (("GET", "https://me:s3cret@x.example", "--max-usd", "1"), "user or password"),
        (("GET", "https://x.example", "--max-usd", "1", "--json", "{"), "not JSON"),
        (("GET", "https://x.example", "--max-usd", "1", "-H", "s3cret"), "header 1 is not"),
        (("GET", "https://x.example", "--max-usd", "1", "-H", "A: s3cret\r\nB: 1"), "header 1 is not"),
        (("GET", "https://x.example", "--max-usd", "1", "-H", "A b: s3cret"), "header 1 is not"),
        (("GET", "https://x.example", "--max-usd", "1", "-H", "X-Payment: s3cret"), "by purser itself"),
        (("GET", "https://x.example", "--max-usd", "1", "-H", "Host: s3cret"), "by purser itself"),
        (("GET", "https://x.example", "--max-usd", "1", "--network", "atlantis"), "no network"),
        (("GET", "https://x.example", "--max-usd", "1", "--idempotency-key", "a b"), "visible ASCII"),
        (
            (
                *("GET", "https://x.example", "--max-usd", "1", "--idempotency-key", "a"),
                *("-H", "idempotency-key: s3cret"),
            ),
            "given once",
        ),
    ],
)
def test_a_command_line_that_cannot_be_meant(
    home: Path, command: Purser, arguments: tuple[str, ...], said: str
) -> None:
    """Exit 2, with the reason; what may be a secret is not repeated."""
    result = command("pay", *arguments)
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.split())
    assert "s3cret" not in result.stderr
    assert not home.exists()


def test_a_vendors_words_do_not_steer_the_terminal(pay: Pay) -> None:
    """In offers, in reasons, in notes, in the JSON; the body is another matter, see below."""
    strange = entry(scheme=HOSTILE, network="eip155:84532")
    broken = entry(network=HOSTILE)
    with standing_in(asks(strange, broken), asks(), asks(error=HOSTILE), Answer(302, b"", {})) as vendor:
        results = [pay(vendor.url), pay(vendor.url), pay(vendor.url, "--json-output")]
    for result in results:
        assert not {"\x1b", "\x07", "\u202e"} & {*result.stderr, *result.stdout}
    assert "owned" in results[0].stderr


def test_a_body_on_a_terminal_is_made_harmless() -> None:
    """And stays as it is in a pipe."""
    body = HOSTILE.encode() + b"\xff\tok\n"
    assert body_bytes(body, terminal=False) == body
    assert body_bytes(body, terminal=True).decode() == "\ufffd]0;owned\ufffd\ufffd[31mred\ufffd\ufffd\tok\n"


def test_a_real_terminal_gets_no_escape_sequences(monkeypatch: pytest.MonkeyPatch) -> None:
    """Through a pseudo terminal, with the line ended."""
    ours, theirs = pty.openpty()
    with open(theirs, "w") as terminal, monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", terminal)
        write_body(b"\x1b[31mred")
    with closing(io.FileIO(ours)) as reading:
        assert reading.read(100) == "\ufffd[31mred\r\n".encode()


def test_a_closed_pipe_leaves_the_purchase_open(home: Path) -> None:
    """`purser pay ... | head -0`: the same command gets the body again, for the same payment."""
    with standing_in(asks(), Answer(200, b"x" * 300_000, SETTLED), GOODS) as vendor:
        environment = clean({"PURSER_HOME": str(home), "X402_PRIVATE_KEY": KEY})
        command = [*PAY, vendor.url, "--max-usd", "1"]
        reading, writing = os.pipe()
        os.close(reading)
        first = subprocess.run(
            command, cwd=ROOT, env=environment, stdout=writing, stderr=subprocess.PIPE, text=True, check=False
        )
        os.close(writing)
        second = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert first.returncode != 0
    assert "Traceback" not in first.stderr
    assert (second.returncode, second.stdout) == (0, '{"a":1}')
    assert "(signed before)" in second.stderr


async def test_processes_at_once_pay_once(home: Path) -> None:
    """Of six one signs; the others get the same goods, or are told to come later."""
    environment = clean({"PURSER_HOME": str(home), "X402_PRIVATE_KEY": KEY})
    async with open_shop(clock=time.time) as shop:
        command = [*PAY, shop.url, "--max-usd", "1", "--idempotency-key", "one"]
        processes = [
            await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=environment, stdout=-3, stderr=-3)
            for _ in range(6)
        ]
        codes = {await process.wait() for process in processes}
    assert 0 in codes <= {0, PayExit.UNKNOWN}
    assert len(set(shop.paid)) == len(shop.ledger.journal) == 1


def secrets_in(vendor: StandIn) -> list[str]:
    """What must not be seen: the key, and what was signed with it."""
    sent = [each.headers["payment-signature"] for each in vendor.asked if "payment-signature" in each.headers]
    signatures = [str(decode_header("x", value)["payload"]["signature"]) for value in sent]  # type: ignore[index,call-overload]
    return [KEY[2:], *sent, *signatures]


@pytest.mark.parametrize(
    "answers",
    [
        (Answer(500),),
        (asks(),),
        (asks(), Answer(503)),
        (asks(), asks(error="no")),
        (asks(), Answer(200, b"x", cut=True)),
        (asks(), Answer(200, b"x", {"PAYMENT-RESPONSE": "%"})),
    ],
)
def test_no_failure_shows_the_key_or_the_payment(
    pay: Pay, monkeypatch: pytest.MonkeyPatch, answers: tuple[Answer, ...]
) -> None:
    """Not on stdout or stderr, not in the frames of whatever ended the command, locals and all."""
    extra = ("--network", "base") if len(answers) == 1 else ()
    with standing_in(*answers, Answer(500)) as vendor:
        result = pay(vendor.url, *extra)
    seen = result.stdout + result.stderr
    if result.exception is not None:
        seen += shown(result.exception)
    for secret in secrets_in(vendor):
        assert secret not in seen


def test_a_crash_in_development_mode_shows_no_key(home: Path) -> None:
    """python -X dev, faulthandler, and an error of our own in the middle of signing."""
    crash = (
        "import faulthandler; faulthandler.enable(); import x402.secp256k1 as k, sys;"
        "k.SigningKey.sign = lambda self, digest: 1 / 0;"
        "from scripts.cli.tree import command_line; command_line()(sys.argv[1:], prog_name='purser')"
    )
    environment = clean({"PURSER_HOME": str(home), "X402_PRIVATE_KEY": KEY, "PYTHONFAULTHANDLER": "1"})
    with standing_in(asks(), asks()) as vendor:
        for url in (vendor.url, f"{vendor.url}/again"):
            done = subprocess.run(
                [sys.executable, "-X", "dev", "-c", crash, "pay", "GET", url, "--max-usd", "1"],
                cwd=ROOT,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == PayExit.SETUP
            assert "did not sign: ZeroDivisionError" in done.stderr
            assert KEY[2:] not in done.stdout + done.stderr


def test_settings_never_show_the_wallets_secrets(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """repr of the settings is what ends up in logs."""
    named = {
        "PURSER_KEYSTORE_PASSWORD": "planted-password",
        "CDP_API_KEY_SECRET": "planted-api-key",
        "CDP_WALLET_SECRET": "planted-wallet",
        "NONCE_SECRET": "planted-nonce-secret-of-32-characters",
    }
    for name, value in named.items():
        monkeypatch.setenv(name, value)
    assert "planted" not in repr(Settings())
    assert KEY[2:] not in repr(Settings())
