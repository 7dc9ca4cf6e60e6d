"""The wallet of the person at the terminal: the settings' one, else the keystore that `purser wallet new` made."""

from __future__ import annotations

import asyncio
import getpass
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pydantic import SecretStr

from agent.book.errors import ConfigurationError
from agent.book.money import usd_text
from agent.process.held_keys import keystore_password, read_keystore
from agent.process.private_files import open_private
from agent.process.settings import Settings
from x402.errors import ChainError
from x402.keccak import checksum_address
from x402.networks import Asset, asset, default_asset
from x402.purse import UNASKED, Purse
from x402.secp256k1 import SigningKey
from x402.wallets.keystore import KeystoreError, lock, stated_address, unlock

if TYPE_CHECKING:
    import httpx
    from pydantic import JsonValue

    from agent.book.models import SignedAuthorization
    from x402.chain.ports import Fate
    from x402.wallets.signers import Signer

__all__ = [
    "Held",
    "ask_password",
    "balances",
    "became_of",
    "default_keystore",
    "held_by",
    "keep",
    "open_own_signer",
    "own_address",
    "own_wallet",
]

_FATE_SECONDS: Final = 30.0
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
    from agent.wallet.opening import open_signer

    return open_signer(_with_password(own_wallet(settings)), http)


def own_address(settings: Settings) -> str:
    """The address that pays. A keystore is not unlocked if it says its address itself.

    Raises:
        ConfigurationError: there is no wallet, or its file cannot be read.
    """
    settings = own_wallet(settings)
    if settings.cdp_wallet_address is not None:
        return checksum_address(settings.cdp_wallet_address)
    if settings.x402_keystore is None:
        return settings.signing_key.address
    try:
        return checksum_address(stated_address(read_keystore(settings.x402_keystore)) or "")
    except KeystoreError as exc:
        raise ConfigurationError(f"{settings.x402_keystore}: {exc}") from None
    except ValueError:
        return _with_password(settings).signing_key.address


def keep(key: SigningKey, path: Path, settings: Settings) -> None:
    """Write a key to a new keystore file, and see that it opens again.

    Raises:
        ConfigurationError: there is a file already, it cannot be written, or there is no password.
    """
    if path.exists():
        raise ConfigurationError(f"{path} exists already; nothing was changed")
    password = _password(settings) or _new_password()
    text = _locked(key, password)
    try:
        path.parent.mkdir(0o700, parents=True, exist_ok=True)
        file = open_private(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    except OSError as exc:
        raise ConfigurationError(f"{path} cannot be written: {exc.strerror}") from None
    try:
        with open(file, "w", encoding="ascii") as writing:
            writing.write(text + "\n")
            writing.flush()
            os.fsync(file)
        _sync_directory(path.parent)
    except OSError as exc:
        path.unlink(missing_ok=True)
        raise ConfigurationError(f"{path} cannot be written: {exc.strerror}") from None
    if unlock(read_keystore(str(path)), password.get_secret_value()).address != key.address:
        raise ConfigurationError(f"{path} does not open again: do not use it")


@dataclass(frozen=True, slots=True)
class Held:
    """What an address holds of a token, in atomic units."""

    token: Asset
    amount: int

    def as_json(self) -> dict[str, JsonValue]:
        """For programs. Amounts are decimal strings."""
        return {
            "network": self.token.network,
            "asset": self.token.address,
            "symbol": self.token.symbol,
            "amount": str(self.amount),
            "amountUsd": usd_text(self.amount),
        }


async def balances(settings: Settings, owner: str, networks: frozenset[str] | None) -> list[Held]:
    """What the chain says that an address holds, on these networks or on all that a node is set for.

    Raises:
        ConfigurationError: no node is set for one of them, or no token is known there.
        ChainError: a node did not answer, or not to the point.
    """
    from agent.wallet.chains import open_chains, register_assets
    from scripts.http_client import http_client

    register_assets(settings)
    found = []
    async with http_client() as http:
        chains = open_chains(settings, http)
        for network in sorted(networks or chains):
            token = default_asset(network)
            if network not in chains:
                raise ConfigurationError(f"X402_RPC_URLS names no node of {network}")
            if token is None:
                raise ConfigurationError(f"no token is known on {network}; X402_ASSETS adds one")
            found.append(Held(token, await chains[network].balance(token, owner)))
    if not found:
        raise ConfigurationError("X402_RPC_URLS is not set: it names the nodes that know balances")
    return found


async def held_by(settings: Settings, dry_run: bool, http: httpx.AsyncClient, tokens: tuple[Asset, ...]) -> Purse:
    """What the wallet has of these tokens where a node is set for their network. A dry run may have no wallet.

    Raises:
        ConfigurationError: there is no wallet, or its address cannot be read.
    """
    from agent.wallet.chains import open_chains
    from x402.chain.purse import look_up

    chains = open_chains(settings, http)
    if not any(token.network in chains for token in tokens):
        return UNASKED
    try:
        payer = own_address(settings)
    except ConfigurationError:
        if dry_run:
            return UNASKED
        raise
    return await look_up(chains, payer, tokens)


async def became_of(settings: Settings, http: httpx.AsyncClient, signed: SignedAuthorization) -> Fate | None:
    """What the chain shows of an authorization, in 30 seconds at the most. None: no node is set, or none can
    tell."""
    from agent.wallet.chains import open_chains
    from x402.decode import decode_payment

    chain, token = open_chains(settings, http).get(signed.network), asset(signed.network, signed.asset)
    if chain is None or token is None:
        return None
    payment = decode_payment(signed.header_name, signed.header_value)
    with suppress(ChainError, TimeoutError):
        async with asyncio.timeout(_FATE_SECONDS):
            return await chain.fate(token, payment.authorization)
    return None


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


def _with_password(settings: Settings) -> Settings:
    if settings.x402_keystore is None or _password(settings) is not None:
        return settings
    password = ask_password(f"Password of {settings.x402_keystore}: ")
    return settings.model_copy(update={"purser_keystore_password": password})


def _password(settings: Settings) -> SecretStr | None:
    return keystore_password(settings.purser_keystore_password, settings.purser_keystore_password_file)


def _new_password() -> SecretStr:
    first = ask_password("Password for the new keystore: ")
    if first != ask_password("The same again: "):
        raise ConfigurationError("the two passwords differ; nothing was written")
    return first


def _locked(key: SigningKey, password: SecretStr) -> str:
    try:
        return lock(key, password.get_secret_value())
    except ValueError as exc:
        raise ConfigurationError(str(exc)) from None


def _sync_directory(path: Path) -> None:
    """So that the file's name lasts too."""
    directory = os.open(path, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
