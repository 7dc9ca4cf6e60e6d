"""The wallet of the person at the terminal: the settings' one, else the keystore that `purser wallet new` made."""

from __future__ import annotations

import getpass
import os
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SecretStr

from agent.errors import ConfigurationError
from agent.keys import keystore_password
from agent.settings import Settings

if TYPE_CHECKING:
    import httpx

    from x402.signers import Signer

__all__ = ["ask_password", "default_keystore", "open_own_signer", "own_wallet"]

_NONE = (
    "there is no wallet: make one with `purser wallet new`, or set X402_PRIVATE_KEY, X402_KEYSTORE or "
    "CDP_WALLET_ADDRESS"
)


def default_keystore(settings: Settings) -> Path:
    """Where `purser wallet new` puts a keystore."""
    return Path(settings.purser_home).expanduser() / "keystore.json"


def own_wallet(settings: Settings) -> Settings:
    """The settings with a wallet named in them.

    Raises:
        ConfigurationError: there is none.
    """
    if settings.has_wallet:
        return settings
    path = default_keystore(settings)
    if not path.exists():
        raise ConfigurationError(_NONE)
    return settings.model_copy(update={"x402_keystore": str(path)})


def open_own_signer(settings: Settings, http: httpx.AsyncClient) -> Signer:
    """The wallet, opened; asks for a keystore's password at the terminal where no setting has it.

    Raises:
        ConfigurationError: there is none, or it cannot be opened.
    """
    from agent.keys import open_signer

    settings = own_wallet(settings)
    if settings.x402_keystore is not None and keystore_password(settings) is None:
        password = ask_password(f"Password of {settings.x402_keystore}: ")
        settings = settings.model_copy(update={"purser_keystore_password": password})
    return open_signer(settings, http)


def ask_password(prompt: str) -> SecretStr:
    """What is typed at the terminal, unseen.

    Raises:
        ConfigurationError: there is no terminal.
    """
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))  # getpass would read a pipe otherwise
    except OSError:
        raise ConfigurationError(
            "there is no terminal to ask for the keystore's password: set PURSER_KEYSTORE_PASSWORD_FILE or "
            "PURSER_KEYSTORE_PASSWORD"
        ) from None
    return SecretStr(getpass.getpass(prompt))
