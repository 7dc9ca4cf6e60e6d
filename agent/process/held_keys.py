"""Keys that are held in this process: from the environment, or unlocked from a keystore file."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pydantic import SecretStr

from agent.book.errors import ConfigurationError
from agent.process.logs import keep_out
from agent.process.private_files import read_private
from x402.secp256k1 import SigningKey
from x402.wallets.keystore import KeystoreError, unlock

__all__ = ["held_key", "keystore_password", "read_keystore"]

_MOST_READ: Final = 65_536
"""Bytes of a keystore, or of a file with a password: keystores have some hundred."""


def held_key(
    private_key: SecretStr | None, keystore: str | None, password: SecretStr | None, password_file: str | None
) -> SigningKey:
    """The key in X402_PRIVATE_KEY or in the keystore file, which takes a second to unlock; else a new one.

    Raises:
        ConfigurationError: it cannot be had; the message never quotes it.
    """
    if private_key is not None:
        try:
            return SigningKey.from_hex(private_key.get_secret_value())
        except ValueError as exc:
            raise ConfigurationError(f"X402_PRIVATE_KEY: {exc}") from None
    if keystore is None:
        return SigningKey.generate()
    secret = keystore_password(password, password_file)
    if secret is None:
        raise ConfigurationError(
            "X402_KEYSTORE is set and its password is not: set PURSER_KEYSTORE_PASSWORD_FILE or "
            "PURSER_KEYSTORE_PASSWORD"
        )
    try:
        return unlock(read_keystore(keystore), secret.get_secret_value())
    except KeystoreError as exc:
        raise ConfigurationError(f"{keystore}: {exc}") from None


def keystore_password(password: SecretStr | None, password_file: str | None) -> SecretStr | None:
    """The keystore's password: the one given, or what is in the file; None when neither is set.

    Raises:
        ConfigurationError: the file cannot be read, or others can read it too.
    """
    if password is not None or password_file is None:
        return password
    text = _read(password_file, "PURSER_KEYSTORE_PASSWORD_FILE")
    secret = text.get_secret_value().removesuffix("\n").removesuffix("\r")
    keep_out(secret)
    return SecretStr(secret)


def read_keystore(path: str) -> str:
    """The text of a keystore file. Raises `ConfigurationError`."""
    return _read(path, "the keystore").get_secret_value()


def _read(path: str, what: str) -> SecretStr:
    try:
        return SecretStr(read_private(Path(path).expanduser(), _MOST_READ).decode("utf-8", "surrogateescape"))
    except ConfigurationError as exc:
        raise ConfigurationError(f"{what}: {exc}") from None
    except (OSError, RuntimeError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else "there is no home directory"
        raise ConfigurationError(f"{what}: {path} cannot be read: {why}") from None
