"""Opens the wallet that the settings name: a private key, a keystore file, or an account at Coinbase."""

from __future__ import annotations

from pathlib import Path

import httpx
from pydantic import SecretStr

from agent.errors import ConfigurationError
from agent.settings import Settings
from agent.wallet import Wallet
from x402.keystore import KeystoreError, unlock
from x402.secp256k1 import SigningKey
from x402.signers import LocalSigner, Signer

__all__ = ["held_key", "keystore_password", "open_signer", "open_wallet", "read_keystore"]


def open_wallet(settings: Settings, http: httpx.AsyncClient) -> Wallet:
    """The wallet that runs pay from.

    Raises:
        ConfigurationError: it cannot be opened; the message names the variable.
    """
    if settings.cdp_wallet_address is None:
        return Wallet.local(settings.signing_key)
    if settings.nonce_secret is None:
        raise ConfigurationError(
            "NONCE_SECRET is not set: a key that is held elsewhere cannot fix the nonces of purchases. Set it to "
            "32 or more characters that all processes share, as `openssl rand -hex 32` makes them"
        )
    return Wallet.remote(_at_coinbase(settings, http), settings.nonce_secret.get_secret_value())


def open_signer(settings: Settings, http: httpx.AsyncClient) -> Signer:
    """The wallet without the nonces of purchases. Raises `ConfigurationError`."""
    return (
        LocalSigner(settings.signing_key) if settings.cdp_wallet_address is None else _at_coinbase(settings, http)
    )


def held_key(settings: Settings) -> SigningKey:
    """The key in X402_PRIVATE_KEY or X402_KEYSTORE, else a new one. Raises `ConfigurationError`."""
    if settings.x402_private_key is not None:
        try:
            return SigningKey.from_hex(settings.x402_private_key.get_secret_value())
        except ValueError as exc:
            raise ConfigurationError(f"X402_PRIVATE_KEY: {exc}") from None
    if settings.x402_keystore is not None:
        password = keystore_password(settings)
        if password is None:
            raise ConfigurationError(
                "X402_KEYSTORE is set and its password is not: set PURSER_KEYSTORE_PASSWORD_FILE or "
                "PURSER_KEYSTORE_PASSWORD"
            )
        return _unlocked(settings.x402_keystore, password)
    return SigningKey.generate()


def keystore_password(settings: Settings) -> SecretStr | None:
    """The keystore's password, from the environment or the file that it names; None when neither is set.

    Raises:
        ConfigurationError: the file cannot be read.
    """
    if settings.purser_keystore_password is not None or settings.purser_keystore_password_file is None:
        return settings.purser_keystore_password
    text = _read(settings.purser_keystore_password_file, "PURSER_KEYSTORE_PASSWORD_FILE")
    return SecretStr(text.get_secret_value().removesuffix("\n").removesuffix("\r"))


def read_keystore(path: str) -> str:
    """The text of a keystore file. Raises `ConfigurationError`."""
    return _read(path, "the keystore").get_secret_value()


def _unlocked(path: str, password: SecretStr) -> SigningKey:
    try:
        return unlock(read_keystore(path), password.get_secret_value())
    except KeystoreError as exc:
        raise ConfigurationError(f"{path}: {exc}") from None


def _read(path: str, what: str) -> SecretStr:
    try:
        return SecretStr(Path(path).expanduser().read_text("utf-8", "surrogateescape"))
    except (OSError, RuntimeError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else "there is no home directory"
        raise ConfigurationError(f"{what}: {path} cannot be read: {why}") from None


def _at_coinbase(settings: Settings, http: httpx.AsyncClient) -> Signer:
    secrets = (settings.cdp_api_key_id, settings.cdp_api_key_secret, settings.cdp_wallet_secret)
    api_key_id, api_key_secret, wallet_secret = secrets
    if (
        settings.cdp_wallet_address is None
        or api_key_id is None
        or api_key_secret is None
        or wallet_secret is None
    ):
        raise ConfigurationError(
            "a wallet at Coinbase needs CDP_WALLET_ADDRESS, CDP_API_KEY_ID, CDP_API_KEY_SECRET, CDP_WALLET_SECRET"
        )
    try:
        from x402.cdp import CDP_URL, CdpSigner
    except ModuleNotFoundError as exc:
        raise ConfigurationError("CDP_WALLET_ADDRESS is set: pip install -r requirements-cdp.txt") from exc
    try:
        return CdpSigner(
            http,
            settings.cdp_wallet_address,
            api_key_id=api_key_id,
            api_key_secret=api_key_secret.get_secret_value(),
            wallet_secret=wallet_secret.get_secret_value(),
            url=settings.cdp_base_url or CDP_URL,
        )
    except ValueError as exc:
        raise ConfigurationError(str(exc)) from None
