"""Private keys at rest: Web3 Secret Storage, version 3, as geth and eth-account write it.

The key is encrypted with AES-128-CTR under a password that scrypt stretches (or PBKDF2, which others write); a
Keccak MAC tells a wrong password from the right one. OpenSSL has the scrypt, pycryptodome the AES.
eth-keyfile, the tests' oracle, loads longer, brings eight packages and sets no bounds to what a file may ask for.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import uuid
from typing import Final

from Crypto.Cipher import AES

from net.strict_json import Json, JsonObject, parse_object
from x402.codec import clean, integer_field, object_field, text_field
from x402.errors import X402Error
from x402.keccak import keccak256
from x402.secp256k1 import SigningKey

__all__ = ["KeystoreError", "WrongPassword", "lock", "stated_address", "unlock"]

_N: Final = 2**18  # with _R and _P: geth's standard; 256 MiB and about a second for each guess
_R: Final = 8
_P: Final = 1
_MOST_COST: Final = 2 * _N * _R
_MOST_ROUNDS: Final = 10_000_000
_KEY_BYTES: Final = 32


class KeystoreError(X402Error):
    """The text is no keystore of version 3, or one that asks for more than is given here."""


class WrongPassword(KeystoreError):
    """The password does not open the keystore."""


def lock(key: SigningKey, password: str, *, n: int = _N) -> str:
    """The key as the text of a keystore file. `n` is scrypt's cost, a power of two.

    Raises:
        ValueError: the password is empty.
    """
    if not password:
        raise ValueError("a keystore needs a password")
    salt, iv = secrets.token_bytes(32), secrets.token_bytes(16)
    derived = _scrypt(password, salt, n, _R, _P)
    ciphertext = _aes(derived, iv, key.secret)
    crypto: dict[str, Json] = {
        "cipher": "aes-128-ctr",
        "cipherparams": {"iv": iv.hex()},
        "ciphertext": ciphertext.hex(),
        "kdf": "scrypt",
        "kdfparams": {"dklen": _KEY_BYTES, "n": n, "p": _P, "r": _R, "salt": salt.hex()},
        "mac": _mac(derived, ciphertext).hex(),
    }
    return json.dumps(
        {"address": key.address[2:].lower(), "crypto": crypto, "id": str(uuid.uuid4()), "version": 3}
    )


def unlock(text: str, password: str) -> SigningKey:
    """The key in a keystore.

    Raises:
        KeystoreError: it cannot be read, or is of another address than it states. Nothing of it is quoted.
        WrongPassword: the password is not the one it was made with.
    """
    opened = _opened(text, password)
    del password  # some tracebacks show the locals of each frame
    if isinstance(opened, KeystoreError):
        raise opened
    return opened


def stated_address(text: str) -> str | None:
    """The address that a keystore says it is of, in lower case: nobody vouches for it. None when it says none.

    Raises:
        KeystoreError: the text is no keystore.
    """
    return _stated(_parsed(text))


def _opened(text: str, password: str) -> SigningKey | KeystoreError:
    try:
        store = _parsed(text)
        crypto = object_field(store, "Crypto" if "Crypto" in store else "crypto")  # older geths wrote it large
        if text_field(crypto, "cipher") != "aes-128-ctr":
            raise ValueError("cipher is not aes-128-ctr")
        iv = _bytes(object_field(crypto, "cipherparams"), "iv", 16)
        ciphertext, mac = _bytes(crypto, "ciphertext", _KEY_BYTES), _bytes(crypto, "mac", 32)
        derived = _derived(crypto, password)
    except (ValueError, MemoryError) as exc:
        return KeystoreError(f"the keystore cannot be read: {str(exc) or 'not enough memory'}")
    except KeystoreError as exc:
        return exc
    if not hmac.compare_digest(_mac(derived, ciphertext), mac):
        return WrongPassword("the password does not open the keystore")
    try:
        key = SigningKey(_aes(derived, iv, ciphertext))
    except ValueError:
        return KeystoreError("what the keystore holds is no private key")
    stated = _stated(store)
    if stated not in (None, key.address.lower()):
        return KeystoreError(f"the keystore says it is of {stated}, its key is of {key.address}")
    return key


def _parsed(text: str) -> dict[str, Json]:
    try:
        store = parse_object(text.encode())
        if integer_field(store, "version") != 3:
            raise ValueError("its version is not 3")
    except ValueError as exc:
        raise KeystoreError(f"the keystore cannot be read: {exc}") from None
    return store


def _stated(store: JsonObject) -> str | None:
    address = store.get("address")
    return "0x" + clean(address, 80).lower().removeprefix("0x") if isinstance(address, str) else None


def _derived(crypto: JsonObject, password: str) -> bytes:
    """The password, stretched as the keystore says; `ValueError` if that would take more than is given here."""
    params = object_field(crypto, "kdfparams")
    salt = _bytes(params, "salt", None)
    if integer_field(params, "dklen") != _KEY_BYTES:
        raise ValueError("dklen is not 32")
    kdf = text_field(crypto, "kdf")
    if kdf == "scrypt":
        n, r, p = (integer_field(params, name) for name in ("n", "r", "p"))
        if n < 2 or n & (n - 1) or r < 1 or p < 1 or n * r > _MOST_COST or n * r * p > 4 * _MOST_COST:
            raise ValueError("its scrypt parameters are out of bounds: 512 MiB at the most, four times over")
        return _scrypt(password, salt, n, r, p)
    if kdf == "pbkdf2":
        rounds = integer_field(params, "c")
        if text_field(params, "prf") != "hmac-sha256" or not 1 <= rounds <= _MOST_ROUNDS:
            raise ValueError("its PBKDF2 parameters are out of bounds")
        return hashlib.pbkdf2_hmac("sha256", password.encode("utf-8", "surrogateescape"), salt, rounds, _KEY_BYTES)
    raise ValueError("kdf is neither scrypt nor pbkdf2")


def _scrypt(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    room = 128 * r * (n + p + 2) + 1024 * 1024  # OpenSSL counts its own working memory too
    return hashlib.scrypt(
        password.encode("utf-8", "surrogateescape"), salt=salt, n=n, r=r, p=p, maxmem=room, dklen=_KEY_BYTES
    )


def _aes(derived: bytes, iv: bytes, data: bytes) -> bytes:
    return AES.new(derived[:16], AES.MODE_CTR, nonce=b"", initial_value=iv).encrypt(data)


def _mac(derived: bytes, ciphertext: bytes) -> bytes:
    return keccak256(derived[16:32] + ciphertext)


def _bytes(entry: JsonObject, name: str, length: int | None) -> bytes:
    """Hex digits as bytes, of that length if one is given."""
    text = text_field(entry, name).removeprefix("0x")
    try:
        value = bytes.fromhex(text)
    except ValueError:
        raise ValueError(f"{name} is not hex") from None
    if length is not None and len(value) != length:
        raise ValueError(f"{name} has {len(value)} bytes, not {length}")
    return value
