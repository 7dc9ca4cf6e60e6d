"""Opens the wallet that the settings name: a private key, a keystore file, or an account at Coinbase."""

from __future__ import annotations

import httpx

from agent.book.errors import ConfigurationError
from agent.process.settings import Settings
from agent.wallet.wallet import Wallet
from x402.wallets.signers import LocalSigner, Signer

__all__ = ["open_signer", "open_wallet"]


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
        from x402.wallets.cdp import CDP_URL, CdpSigner
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
