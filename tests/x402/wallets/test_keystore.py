"""Keystore files: eth-account reads ours, we read everybody's, and nothing in them can hurt."""

from __future__ import annotations

import copy
import json
import secrets
from typing import Any

import pytest
from eth_account import Account
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tracebacks import shown
from tests.x402.samples import KEY, PAYER
from x402.secp256k1 import SigningKey
from x402.wallets import keystore
from x402.wallets.keystore import KeystoreError, WrongPassword, lock, stated_address, unlock

PASSWORD = "correct höst batterie"
CHEAP = 2**4


def cheap() -> dict[str, Any]:
    """A keystore of the sample key, quickly made."""
    store: dict[str, Any] = json.loads(lock(SigningKey.from_hex(KEY), PASSWORD, n=CHEAP))
    return store


def test_what_we_lock_eth_account_opens() -> None:
    """At the standard's full cost."""
    text = lock(SigningKey.from_hex(KEY), PASSWORD)
    assert json.loads(text)["crypto"]["kdfparams"] | {"salt": ""} == {
        "dklen": 32,
        "n": 262144,
        "p": 1,
        "r": 8,
        "salt": "",
    }
    assert bytes(Account.decrypt(text, PASSWORD)).hex() == KEY[2:]


@pytest.mark.parametrize("kdf", ["scrypt", "pbkdf2"])
def test_what_eth_account_locks_we_open(kdf: Any) -> None:
    """Both ways of stretching a password that the standard has."""
    text = json.dumps(Account.encrypt(SigningKey.from_hex(KEY).secret, PASSWORD, kdf=kdf, iterations=CHEAP))
    assert unlock(text, PASSWORD).address == PAYER
    with pytest.raises(WrongPassword):
        unlock(text, PASSWORD + " ")


@settings(max_examples=25, deadline=None)
@given(st.text(st.characters(codec="utf-8"), min_size=1), st.integers(1, 2**128))
def test_any_key_under_any_password_comes_back(password: str, number: int) -> None:
    """And opens with that password only."""
    key = SigningKey(number.to_bytes(32))
    text = lock(key, password, n=CHEAP)
    assert unlock(text, password).secret == key.secret
    with pytest.raises(WrongPassword):
        unlock(text, password + "x")


def test_two_keystores_of_one_key_have_nothing_in_common() -> None:
    """Salt and counter are fresh; the key's own digits are nowhere."""
    first, second = cheap(), cheap()
    assert first["crypto"]["ciphertext"] != second["crypto"]["ciphertext"]
    assert first["crypto"]["kdfparams"]["salt"] != second["crypto"]["kdfparams"]["salt"]
    assert KEY[2:] not in json.dumps(first)


def test_a_new_key_is_never_the_same() -> None:
    """The operating system's randomness."""
    assert len({SigningKey.generate().address for _ in range(20)}) == 20


def test_a_keystore_needs_a_password() -> None:
    """An empty one protects nothing."""
    with pytest.raises(ValueError, match="password"):
        lock(SigningKey.from_hex(KEY), "")


def test_the_older_spelling_is_read() -> None:
    """Early versions of geth wrote Crypto, and hex with a prefix."""
    store = cheap()
    store["Crypto"] = store.pop("crypto")
    store["Crypto"]["mac"] = "0x" + store["Crypto"]["mac"]
    assert unlock(json.dumps(store), PASSWORD).address == PAYER


def test_a_password_of_odd_bytes_is_taken_as_it_is() -> None:
    """An environment variable may hold bytes that are no UTF-8."""
    assert unlock(lock(SigningKey.from_hex(KEY), "\udcff", n=CHEAP), "\udcff").address == PAYER


def test_the_address_is_told_without_a_password() -> None:
    """It is what the file says; a file may leave it out."""
    store = cheap()
    assert stated_address(json.dumps(store)) == PAYER.lower()
    del store["address"]
    assert stated_address(json.dumps(store)) is None
    assert unlock(json.dumps(store), PASSWORD).address == PAYER
    with pytest.raises(KeystoreError, match="version"):
        stated_address('{"version": 4}')


def test_a_keystore_that_lies_about_its_address_is_refused() -> None:
    """Whoever sends money to the stated address would never see it again."""
    store = cheap() | {"address": "00" * 20}
    with pytest.raises(KeystoreError, match="says it is of 0x0000"):
        unlock(json.dumps(store), PASSWORD)


BAD: list[tuple[str, Any, str]] = [
    ("version", 1, "version is not 3"),
    ("crypto", None, "crypto is not an object"),
    ("crypto.cipher", "aes-256-gcm", "aes-128-ctr"),
    ("crypto.cipherparams", 7, "cipherparams"),
    ("crypto.cipherparams.iv", "ab", "iv has 1 bytes, not 16"),
    ("crypto.cipherparams.iv", "zz" * 16, "iv is not hex"),
    ("crypto.ciphertext", "ab" * 31, "ciphertext has 31 bytes"),
    ("crypto.mac", None, "mac is not a string"),
    ("crypto.kdf", "md5", "kdf is neither"),
    ("crypto.kdfparams.dklen", 16, "dklen"),
    ("crypto.kdfparams.n", 2**40, "out of bounds"),
    ("crypto.kdfparams.n", 3, "out of bounds"),
    ("crypto.kdfparams.n", 1, "out of bounds"),
    ("crypto.kdfparams.n", True, "n is not an integer"),
    ("crypto.kdfparams.r", 2**30, "out of bounds"),
    ("crypto.kdfparams.r", 0, "out of bounds"),
    ("crypto.kdfparams.p", 2**30, "out of bounds"),
    ("crypto.kdfparams.p", 0, "out of bounds"),
    ("crypto.mac", "00" * 32, "password does not open"),
]


@pytest.mark.parametrize(("place", "value", "why"), BAD)
def test_a_spoiled_keystore_is_refused_with_its_reason(place: str, value: Any, why: str) -> None:
    """Named, without quoting, and before any memory or time is spent on it."""
    store = cheap()
    *path, last = place.split(".")
    entry = store
    for name in path:
        entry = entry[name]
    entry[last] = value
    with pytest.raises(KeystoreError, match=why):
        unlock(json.dumps(store), PASSWORD)


@pytest.mark.parametrize(("name", "value"), [("c", 10**9), ("c", 0), ("prf", "hmac-md5")])
def test_pbkdf2_is_bounded_too(name: str, value: Any) -> None:
    """A billion rounds would take all day."""
    store: dict[str, Any] = Account.encrypt(SigningKey.from_hex(KEY).secret, PASSWORD, kdf="pbkdf2", iterations=1)
    changed = copy.deepcopy(store)
    changed["crypto"]["kdfparams"][name] = value
    with pytest.raises(KeystoreError, match="PBKDF2"):
        unlock(json.dumps(changed), PASSWORD)


def test_a_keystore_of_no_key_is_refused() -> None:
    """Zero is 32 bytes and no private key."""
    text = json.dumps(Account.encrypt(SigningKey.from_hex(KEY).secret, PASSWORD, kdf="pbkdf2", iterations=1))
    store = json.loads(text)
    derived = keystore._derived(store["crypto"], PASSWORD)
    iv = bytes.fromhex(store["crypto"]["cipherparams"]["iv"])
    ciphertext = keystore._aes(derived, iv, bytes(32))
    store["crypto"] |= {"ciphertext": ciphertext.hex(), "mac": keystore._mac(derived, ciphertext).hex()}
    with pytest.raises(KeystoreError, match="no private key"):
        unlock(json.dumps(store), PASSWORD)


def test_memory_that_is_not_there_is_an_error_like_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small container cannot give 256 MiB."""

    def scrypt(*_: object, **__: object) -> bytes:
        raise MemoryError

    text = json.dumps(cheap())
    monkeypatch.setattr("hashlib.scrypt", scrypt)
    with pytest.raises(KeystoreError, match="not enough memory"):
        unlock(text, PASSWORD)


@settings(max_examples=200, deadline=None)
@given(st.text() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps))
def test_any_text_at_all_is_a_keystore_error(text: str) -> None:
    """Nothing else comes out."""
    with pytest.raises(KeystoreError):
        unlock(text, PASSWORD)


@pytest.mark.parametrize("password", [PASSWORD, "almost the password"])
def test_no_traceback_shows_password_or_key(password: str) -> None:
    """Not even one that shows every frame's locals, whatever fails."""
    address = json.dumps(cheap() | {"address": "00" * 20})
    with pytest.raises(KeystoreError) as caught:
        unlock(address, (lambda: password)())
    frames = shown(caught.value, skip=1)
    assert "unlock" in frames
    assert password not in frames
    assert KEY[2:] not in frames


@pytest.mark.parametrize("planted", ["ab" * 31 + "a", "ff" * 32, "ab" * 33, "00" * 32])
def test_no_traceback_shows_a_mistyped_key(planted: str) -> None:
    """One digit short is still nearly the key."""
    with pytest.raises(ValueError, match="private key") as caught:
        SigningKey.from_hex((lambda: planted)())
    frames = shown(caught.value, skip=1)
    assert "from_hex" in frames
    assert planted not in frames
    assert repr(bytes.fromhex(planted[:60]))[2:-1] not in frames


def test_a_key_derives_secrets_that_tell_nothing_of_it() -> None:
    """One for each purpose, always the same."""
    key = SigningKey.from_hex(KEY)
    assert key.derive(b"a") == SigningKey.from_hex(KEY[2:]).derive(b"a") != key.derive(b"b")
    assert key.derive(b"a") not in (key.secret, SigningKey(secrets.token_bytes(32)).derive(b"a"))
