"""Where the nodes of a chain are, as settings name them. Loads no HTTP client."""

from __future__ import annotations

from urllib.parse import urlsplit

from net.addresses import is_loopback
from x402.networks import chain_id

__all__ = ["check_url", "parse_urls"]


def check_url(url: str) -> str:
    """The URL of a node: https, or http on this machine. Raises `ValueError`, which does not quote it."""
    try:
        parts = urlsplit(url)
        host, user, _ = parts.hostname, parts.username, parts.port
    except ValueError:
        raise ValueError("a node's URL cannot be read") from None
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(host or "")):
        raise ValueError("a node's URL must be https: whoever stands between could say that money did not move")
    if not host or user is not None:
        raise ValueError("a node's URL names a host and no user")
    return url


def parse_urls(text: str) -> dict[str, tuple[str, ...]]:
    """Nodes by chain: `eip155:8453=https://... eip155:8453=https://...`, with blanks or commas between.

    Several of one chain are asked in this order. Raises `ValueError`, which quotes no URL.
    """
    found: dict[str, tuple[str, ...]] = {}
    for entry in text.replace(",", " ").split():
        network, _, url = entry.partition("=")
        if chain_id(network) is None:
            raise ValueError("must be pairs such as eip155:84532=https://..., with blanks between")
        found[network] = (*found.get(network, ()), check_url(url))
    return found
