"""`purser wallet`: keys come in through stdin or the terminal, go into an encrypted file, and are never shown."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from pydantic import SecretStr
from typer.testing import CliRunner, Result

from agent.book.errors import ConfigurationError
from agent.process.settings import load_settings
from scripts import wallets
from scripts.cli.tree import command_line
from scripts.exits import Exit
from scripts.serve.servers import ROOT, clean
from tests.scripts.standin import Answer, standing_in
from tests.tracebacks import shown
from tests.x402.samples import KEY, OTHER, PAYER, USDC
from x402.secp256k1 import SigningKey
from x402.wallets.keystore import lock, unlock

PASSWORD = "a planted password"
Wallet = Callable[..., Result]


@pytest.fixture
def home(elsewhere: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """PURSER_HOME, empty; keystores are made cheaply."""
    elsewhere.setenv("PURSER_HOME", str(tmp_path / "home"))
    elsewhere.setattr("scripts.wallets.lock", partial(lock, n=16))
    return tmp_path / "home"


@pytest.fixture
def wallet(home: Path, elsewhere: pytest.MonkeyPatch) -> Wallet:
    """`purser wallet`, with the password in the environment."""
    elsewhere.setenv("PURSER_KEYSTORE_PASSWORD", PASSWORD)

    def call(*arguments: str, stdin: str | None = None) -> Result:
        return CliRunner().invoke(command_line("wallet"), ["wallet", *arguments], input=stdin, prog_name="purser")

    return call


def typed(monkeypatch: pytest.MonkeyPatch, *answers: str) -> list[str]:
    """What the user types, one after another; returns what was asked."""
    waiting: Iterator[str] = iter(answers)
    asked: list[str] = []

    def ask(prompt: str) -> SecretStr:
        asked.append(prompt)
        return SecretStr(next(waiting))

    monkeypatch.setattr("scripts.wallets.ask_password", ask)
    return asked


def test_a_new_wallet(wallet: Wallet, home: Path) -> None:
    """A file that only its owner may read, which opens with the password and says its address."""
    made = wallet("new")
    file = home / "keystore.json"
    key = unlock(file.read_text(), PASSWORD)
    assert (made.exit_code, made.stdout) == (0, f"{key.address} is in {file}\n")
    assert (file.stat().st_mode & 0o777, home.stat().st_mode & 0o777) == (0o600, 0o700)
    assert key.secret.hex() not in made.stdout + made.stderr + file.read_text()
    assert wallet("address").stdout == f"{key.address}\n"
    assert json.loads(wallet("address", "--json").stdout) == {"address": key.address}


def test_an_old_wallet_is_never_written_over(wallet: Wallet, home: Path) -> None:
    """Neither by a new one nor by an import; two that are made at once are one."""
    wallet("new")
    before = (home / "keystore.json").read_bytes()
    for arguments, stdin in ((("new",), None), (("import",), KEY)):
        result = wallet(*arguments, stdin=stdin)
        assert (result.exit_code, "exists already" in result.stderr) == (Exit.SETUP, True)
    assert (home / "keystore.json").read_bytes() == before


def test_a_wallet_that_appears_meanwhile_stays(
    wallet: Wallet, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look and the write."""
    wallet("new")
    monkeypatch.setattr(Path, "exists", lambda _: False)
    result = wallet("new")
    assert (result.exit_code, "cannot be written: File exists" in result.stderr) == (Exit.SETUP, True)


@pytest.mark.parametrize("spelling", [KEY, KEY[2:], f"  {KEY}\n"])
def test_a_key_is_imported_from_stdin(wallet: Wallet, home: Path, spelling: str) -> None:
    """And may go to a file of one's own choice."""
    result = wallet("import", "--output", "mine.json", "--json", stdin=spelling)
    file = home.parent / "mine.json"
    assert (result.exit_code, json.loads(result.stdout)) == (0, {"address": PAYER, "keystore": "mine.json"})
    assert unlock(file.read_text(), PASSWORD).address == PAYER
    assert not home.exists()


def test_where_a_file_is_elsewhere_it_says_how_to_use_it(wallet: Wallet, elsewhere: pytest.MonkeyPatch) -> None:
    """`purser pay` looks in PURSER_HOME and in the settings only."""
    assert "set X402_KEYSTORE=mine.json" in wallet("new", "-o", "mine.json").stdout
    elsewhere.setenv("X402_PRIVATE_KEY", KEY)
    assert "set X402_KEYSTORE=" in wallet("new").stdout


@pytest.mark.parametrize("planted", [KEY[:-1], KEY + "0", "0x" + "ff" * 32, "planted-key", "0x" + "ab" * 200])
def test_a_bad_key_is_refused_and_not_repeated(wallet: Wallet, home: Path, planted: str) -> None:
    """Exit 2; not in the message, not in the frames of the error, and no file is left."""
    result = wallet("import", stdin=planted)
    assert (result.exit_code, home.exists()) == (Exit.USAGE, False)
    assert "private key" in result.stderr
    assert result.exception is not None
    assert planted[2:40] not in result.stdout + result.stderr + shown(result.exception, skip=1)


def test_a_key_can_be_typed(wallet: Wallet, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At a terminal it is asked for, unseen."""
    asked = typed(monkeypatch, KEY)
    monkeypatch.setattr("scripts.cli.wallet._at_a_terminal", lambda: True)
    assert wallet("import").exit_code == 0
    assert asked == ["Private key: "]
    assert unlock((home / "keystore.json").read_text(), PASSWORD).address == PAYER


def test_a_new_password_is_typed_twice(wallet: Wallet, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And must be the same, and not empty."""
    monkeypatch.delenv("PURSER_KEYSTORE_PASSWORD")
    typed(monkeypatch, "one", "another", "", "", "one", "one")
    for why in ("differ", "needs a password"):
        result = wallet("new")
        assert (result.exit_code, why in result.stderr, home.exists()) == (Exit.SETUP, True, False)
    assert wallet("new").exit_code == 0
    unlock((home / "keystore.json").read_text(), "one")


def test_the_password_may_be_in_a_file(wallet: Wallet, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line; its end is not part of it."""
    monkeypatch.delenv("PURSER_KEYSTORE_PASSWORD")
    (home.parent / "password").touch(0o600)
    (home.parent / "password").write_text("from a file\r\n")
    monkeypatch.setenv("PURSER_KEYSTORE_PASSWORD_FILE", str(home.parent / "password"))
    wallet("new")
    unlock((home / "keystore.json").read_text(), "from a file")
    monkeypatch.setenv("PURSER_KEYSTORE_PASSWORD_FILE", str(home.parent / "none"))
    result = wallet("new", "-o", "x.json")
    assert (result.exit_code, "PURSER_KEYSTORE_PASSWORD_FILE" in result.stderr) == (Exit.SETUP, True)


def test_a_disk_that_fails_leaves_no_wallet_to_send_money_to(
    wallet: Wallet, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The address is only told once the file has opened again."""
    with monkeypatch.context() as broken:
        broken.setattr("scripts.wallets.read_keystore", lambda _: lock(SigningKey.generate(), PASSWORD, n=16))
        result = wallet("new")
    assert (result.exit_code, result.stdout) == (Exit.SETUP, "")
    assert "does not open again" in result.stderr

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    result = wallet("new", "-o", "x.json")
    assert (result.exit_code, "No space left" in result.stderr, result.stdout) == (Exit.SETUP, True, "")
    assert not Path("x.json").exists()


@pytest.mark.parametrize(
    ("name", "value", "address"),
    [("X402_PRIVATE_KEY", KEY, PAYER), ("CDP_WALLET_ADDRESS", OTHER.lower(), OTHER)],
)
def test_the_address_of_any_wallet(
    wallet: Wallet, monkeypatch: pytest.MonkeyPatch, name: str, value: str, address: str
) -> None:
    """With its checksum."""
    monkeypatch.setenv(name, value)
    assert wallet("address").stdout == f"{address}\n"


def test_a_keystore_without_an_address_is_opened_for_it(wallet: Wallet, home: Path) -> None:
    """Some programs leave it out."""
    wallet("import", stdin=KEY)
    file = home / "keystore.json"
    store = json.loads(file.read_text())
    del store["address"]
    file.write_text(json.dumps(store))
    assert wallet("address").stdout == f"{PAYER}\n"
    file.write_text("{}")
    assert wallet("address").exit_code == Exit.SETUP


def test_without_a_wallet_it_says_how_to_get_one(wallet: Wallet) -> None:
    """Exit 7."""
    for arguments in (("address",), ("balance",)):
        result = wallet(*arguments)
        assert (result.exit_code, "purser wallet new" in result.stderr) == (Exit.SETUP, True)


def node(*results: str) -> list[Answer]:
    """What a node answers."""
    return [Answer(200, {"jsonrpc": "2.0", "id": 1, "result": result}) for result in results]


def test_the_balance_is_what_the_chain_says(wallet: Wallet, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the micro-dollar, in the token that is paid with."""
    monkeypatch.setenv("X402_PRIVATE_KEY", KEY)
    for arguments in ((), ("--network", "base-sepolia")):
        with standing_in(*node(hex(84532), hex(1_234_567))) as chain:
            monkeypatch.setenv("X402_RPC_URLS", f"eip155:84532={chain.url}")
            result = wallet("balance", *arguments)
        assert result.stdout.splitlines() == [PAYER, "1.234567 USD as USDC on eip155:84532"]
        asked = json.loads(chain.asked[1].body)
        assert asked["params"][0]["to"] == USDC
    with standing_in(*node(hex(84532), hex(5))) as chain:
        monkeypatch.setenv("X402_RPC_URLS", f"eip155:84532={chain.url}")
        told = json.loads(wallet("balance", "--json").stdout)
    assert told == {
        "address": PAYER,
        "balances": [
            {"network": "eip155:84532", "asset": USDC, "symbol": "USDC", "amount": "5", "amountUsd": "0.000005"}
        ],
    }


def test_a_chain_that_does_not_say_is_an_error(wallet: Wallet, monkeypatch: pytest.MonkeyPatch) -> None:
    """3 where the node is at fault, 7 where the settings are; another chain's answer is none."""
    monkeypatch.setenv("X402_PRIVATE_KEY", KEY)
    assert wallet("balance").exit_code == Exit.SETUP
    with standing_in(*node(hex(1))) as chain:
        monkeypatch.setenv("X402_RPC_URLS", f"eip155:84532={chain.url}")
        wrong = wallet("balance")
        assert (wrong.exit_code, "serves chain 1" in wrong.stderr) == (Exit.UNREACHABLE, True)
        assert wallet("balance", "--network", "base").exit_code == Exit.SETUP
        assert wallet("balance", "--network", "atlantis").exit_code == Exit.USAGE
    monkeypatch.setenv("X402_RPC_URLS", "eip155:424242=https://node.example")
    unknown = wallet("balance")
    assert (unknown.exit_code, "no token is known" in unknown.stderr) == (Exit.SETUP, True)


def test_without_a_terminal_there_is_nobody_to_ask(tmp_path: Path) -> None:
    """It says which settings to use, and does not take the key's pipe for the password."""
    environment = clean({"PURSER_HOME": str(tmp_path)})
    done = subprocess.run(
        [sys.executable, "-m", "scripts.cli", "wallet", "import"],
        cwd=ROOT,
        env=environment,
        input=f"{KEY}\n{PASSWORD}\n{PASSWORD}\n",
        capture_output=True,
        text=True,
        check=False,
        start_new_session=True,
    )
    assert (done.returncode, done.stdout) == (Exit.SETUP, "")
    assert "PURSER_KEYSTORE_PASSWORD" in done.stderr
    assert not [*tmp_path.iterdir()]


def test_what_is_typed_at_a_terminal_is_not_seen(tmp_path: Path) -> None:
    """The real prompt, on a pseudo terminal."""
    script = (
        "import fcntl, termios, sys; fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
        "from scripts.wallets import ask_password\n"
        "print(len(ask_password('Password: ').get_secret_value()))"
    )
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env=clean({}),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    ) as process:
        os.close(theirs)
        seen = b""
        while b"Password: " not in seen:
            seen += os.read(ours, 1000)
        os.write(ours, PASSWORD.encode() + b"\n")
        while str(len(PASSWORD)).encode() not in seen:
            seen += os.read(ours, 1000)
        process.wait(timeout=30)
    os.close(ours)
    assert PASSWORD.encode() not in seen


def test_a_locked_keystore_pays_once_it_is_opened(wallet: Wallet, monkeypatch: pytest.MonkeyPatch) -> None:
    """The password is asked for when something is to be signed, and a wrong one is said without being shown."""
    wallet("import", stdin=KEY)
    monkeypatch.delenv("PURSER_KEYSTORE_PASSWORD")
    asked = typed(monkeypatch, PASSWORD, "a wrong password")
    settings = wallets.own_wallet(load_settings())
    assert wallets.open_own_signer(settings, None).address == PAYER  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="does not open") as caught:
        wallets.open_own_signer(settings, None)  # type: ignore[arg-type]
    assert "a wrong password" not in shown(caught.value, skip=1)
    assert len(asked) == 2
