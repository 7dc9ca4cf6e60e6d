"""Wallets of runs: which one the settings name, and that one signature per purchase is ever sent."""

from __future__ import annotations

import builtins
import os
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from coincurve import PrivateKey
from coincurve._libsecp256k1 import ffi  # type: ignore[import-not-found]

from agent.book.errors import ConfigurationError, LeaseLost
from agent.book.models import Run
from agent.process.settings import Settings, load_settings
from agent.wallet.opening import open_signer, open_wallet
from agent.wallet.wallet import Wallet
from tests.agent.stage import KEY, Stage, a_stage
from tests.tracebacks import shown
from tests.x402.coinbase import KEY_ID, coinbase, p256_der
from tests.x402.samples import PAYER
from x402.eip3009 import TypedAuthorization
from x402.secp256k1 import SigningKey
from x402.wallets.keystore import lock
from x402.wallets.signers import LocalSigner

NONCES = "a nonce secret of 32 characters!"
PASSWORD = "a planted password"


class Moody:
    """A wallet that signs the same data another way each time, as a remote one may."""

    address = PAYER

    def __init__(self) -> None:
        self.given: list[str] = []
        self.first: Callable[[], Awaitable[object]] | None = None

    async def sign_typed_data(self, data: TypedAuthorization) -> str:
        if self.first is not None:
            meanwhile, self.first = self.first, None
            await meanwhile()
        entropy = ffi.new("unsigned char[32]", os.urandom(32))
        raw = PrivateKey(bytes.fromhex(KEY)).sign_recoverable(data.digest, None, (ffi.NULL, entropy))
        self.given.append("0x" + (raw[:64] + bytes((raw[64] + 27,))).hex())
        return self.given[-1]


async def moody_stage() -> tuple[Stage, Moody, list[str]]:
    """A stage with such a wallet, and the payments that leave."""
    stage, moody, sent = await a_stage(), Moody(), list[str]()
    stage.services = replace(stage.services, wallet=Wallet.remote(moody, NONCES))

    def note(request: httpx.Request) -> bool:
        sent.extend(value for name, value in request.headers.items() if name == "payment-signature")
        return False

    stage.transport.lost = note
    return stage, moody, sent


async def paid_once(stage: Stage, run: Run) -> None:
    """The run ends, and the vendors have been paid what the books say."""
    run = await stage.finish(run)
    assert run.status == "completed"
    assert sum(each.amount for each in stage.record.settlements) == run.budget_spent


async def test_a_wallet_that_never_signs_twice_alike_pays_with_what_was_stored() -> None:
    """The answer is lost, the same bytes go out again: the wallet is not asked a second time."""
    stage, moody, sent = await moody_stage()
    note = stage.transport.lost
    stage.transport.lost = lambda request: note(request) or len(sent) == 1
    run = await stage.start()
    await stage.tick(run)
    stage.transport.lost = note
    await paid_once(stage, run)
    assert len(moody.given) == len(set(sent)) == 1
    assert len(sent) == 2


async def test_a_process_that_slept_while_it_signed_sends_nothing() -> None:
    """Two processes sign one purchase in two ways; the one that lost its lease learns it before it sends."""
    stage, moody, sent = await moody_stage()
    run = await stage.start()

    async def another_process() -> None:
        stage.clock.pass_(50)
        await stage.tick(run)

    moody.first = another_process
    with pytest.raises(LeaseLost):
        await stage.tick(run)
    await paid_once(stage, run)
    assert len(set(moody.given)) == 2
    assert len(set(sent)) == 1


def test_nonces_come_from_the_key_or_from_a_secret() -> None:
    """The same for all processes, others for other jobs; who has a remote key must have a secret."""
    local, remote = Wallet.local(KEY), Wallet.remote(LocalSigner(KEY), NONCES)
    assert remote.nonce("a") == Wallet.remote(LocalSigner(KEY), NONCES).nonce("a") != remote.nonce("b")
    assert remote.nonce("a") != Wallet.remote(LocalSigner(KEY), NONCES + "!").nonce("a")
    assert local.nonce("a") not in (remote.nonce("a"), local.nonce("b"))
    assert NONCES not in repr(vars(remote))


@pytest.fixture
def keystore(tmp_path: Path) -> Path:
    """A keystore file of the sample key."""
    path = tmp_path / "keystore.json"
    path.touch(0o600)
    path.write_text(lock(SigningKey.from_hex(KEY), PASSWORD, n=16))
    return path


def environment(monkeypatch: pytest.MonkeyPatch, **named: str) -> None:
    """Exactly these settings."""
    for name, value in named.items():
        monkeypatch.setenv(name, value)


def wallet_now() -> Wallet:
    """The wallet of the settings of now."""
    return open_wallet(load_settings(), httpx.AsyncClient())


def test_a_keystore_pays(keystore: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With the nonces of its key: it may move from the environment into a file while purchases are open."""
    environment(monkeypatch, X402_KEYSTORE=str(keystore), PURSER_KEYSTORE_PASSWORD=PASSWORD)
    assert wallet_now().nonce("a") == Wallet.local(KEY).nonce("a")
    settings = load_settings()
    assert settings.signing_key is settings.signing_key, "it takes a second to open one"

    (tmp_path / "password").touch(0o600)
    (tmp_path / "password").write_text(PASSWORD + "\n")
    monkeypatch.delenv("PURSER_KEYSTORE_PASSWORD")
    monkeypatch.setenv("PURSER_KEYSTORE_PASSWORD_FILE", str(tmp_path / "password"))
    assert wallet_now().address == PAYER


@pytest.mark.parametrize("loose", ["keystore.json", "password"])
def test_a_keystore_or_password_that_others_can_read_is_refused(
    keystore: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, loose: str
) -> None:
    """With the command that closes it, and without a word of what is in it."""
    password = tmp_path / "password"
    password.touch(0o600)
    password.write_text(PASSWORD)
    environment(monkeypatch, X402_KEYSTORE=str(keystore), PURSER_KEYSTORE_PASSWORD_FILE=str(password))
    (tmp_path / loose).chmod(0o640)
    with pytest.raises(ConfigurationError, match=f"chmod 600 {tmp_path / loose}") as caught:
        wallet_now()
    assert PASSWORD not in str(caught.value)

    (tmp_path / loose).chmod(0o600)
    assert wallet_now().address == PAYER


@pytest.mark.parametrize(
    ("named", "why"),
    [
        ({}, "PURSER_KEYSTORE_PASSWORD"),
        ({"PURSER_KEYSTORE_PASSWORD": "planted-wrong"}, "does not open"),
        ({"PURSER_KEYSTORE_PASSWORD_FILE": "/nowhere"}, "/nowhere cannot be read: No such file"),
        ({"PURSER_KEYSTORE_PASSWORD": "x", "X402_KEYSTORE": "/nowhere.json"}, "/nowhere.json cannot be read"),
    ],
)
def test_a_keystore_that_does_not_open_is_said(
    keystore: Path, monkeypatch: pytest.MonkeyPatch, named: dict[str, str], why: str
) -> None:
    """With the variable or the file, never with the password."""
    environment(monkeypatch, **{"X402_KEYSTORE": str(keystore), **named})
    with pytest.raises(ConfigurationError, match=why) as caught:
        wallet_now()
    assert "planted-wrong" not in shown(caught.value, skip=1)


def test_a_key_beyond_the_curve_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """64 digits alone make no key."""
    environment(monkeypatch, X402_PRIVATE_KEY="ff" * 32)
    with pytest.raises(ConfigurationError, match="X402_PRIVATE_KEY: a private key must be") as caught:
        wallet_now()
    assert "ff" * 32 not in shown(caught.value, skip=1)


@pytest.mark.parametrize("other", ["X402_KEYSTORE", "CDP_WALLET_ADDRESS"])
def test_there_is_one_wallet(monkeypatch: pytest.MonkeyPatch, other: str) -> None:
    """Two that are set at once are a mistake, and nobody guesses which was meant."""
    environment(monkeypatch, X402_PRIVATE_KEY=KEY, **{other: PAYER})
    with pytest.raises(ConfigurationError, match=f"only one wallet may be set, not X402_PRIVATE_KEY and {other}"):
        load_settings()


AT_COINBASE = {
    "CDP_WALLET_ADDRESS": PAYER,
    "CDP_API_KEY_ID": KEY_ID,
    "CDP_API_KEY_SECRET": "planted",
    "CDP_WALLET_SECRET": "planted",
    "NONCE_SECRET": NONCES,
}


def test_a_wallet_at_coinbase_needs_all_its_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is named when it is missing, on any machine."""
    environment(monkeypatch, CDP_WALLET_ADDRESS=PAYER)
    wanted = ["API_TOKEN", *[*AT_COINBASE][1:]]
    assert load_settings().missing() == wanted
    with pytest.raises(ConfigurationError, match="NONCE_SECRET is not set"):
        wallet_now()
    environment(monkeypatch, NONCE_SECRET=NONCES)
    with pytest.raises(ConfigurationError, match="needs CDP_WALLET_ADDRESS, CDP_API_KEY_ID"):
        wallet_now()
    environment(monkeypatch, **AT_COINBASE, API_TOKEN="token-of-the-operator")
    assert load_settings().missing() == []
    with pytest.raises(ConfigurationError, match="secret is neither") as caught:
        wallet_now()
    assert "planted" not in shown(caught.value, skip=1)


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [("CDP_WALLET_ADDRESS", "0x12", "40 hex digits"), ("NONCE_SECRET", "planted", "32 characters")],
)
def test_settings_of_a_wallet_are_looked_at(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, why: str
) -> None:
    """At once, by name."""
    environment(monkeypatch, **{name: value})
    with pytest.raises(ConfigurationError, match=f"{name}: .*{why}") as caught:
        load_settings()
    assert "planted" not in str(caught.value)


def test_without_its_packages_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """requirements-cdp.txt is for those who have a wallet there."""
    environment(monkeypatch, **AT_COINBASE)
    real = builtins.__import__

    def without_jwt(name: str, *rest: Any) -> Any:
        if name == "x402.wallets.cdp":
            raise ModuleNotFoundError("No module named 'jwt'")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without_jwt)
    with pytest.raises(ConfigurationError, match=r"pip install -r requirements-cdp\.txt"):
        wallet_now()


async def test_a_run_is_paid_from_a_wallet_at_coinbase() -> None:
    """From the settings to the vendors' journal."""
    async with coinbase() as (bank, http):
        settings = Settings.model_validate(
            {
                "cdp_wallet_address": PAYER,
                "cdp_api_key_id": KEY_ID,
                "cdp_api_key_secret": bank.api_secret,
                "cdp_wallet_secret": p256_der(bank.wallet_key),
                "cdp_base_url": bank.url,
                "nonce_secret": NONCES,
            }
        )
        assert open_signer(settings, http).address == PAYER
        stage = await a_stage()
        stage.services = replace(stage.services, wallet=open_wallet(settings, http))
        await paid_once(stage, await stage.start())
    assert len(bank.seen) == len(stage.record.settlements) == 1
    assert stage.chain.journal[0].payer == PAYER
