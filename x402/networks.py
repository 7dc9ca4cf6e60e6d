"""The chains and tokens that are known here, and the two names of a chain.

Version 1 of x402 names chains (`base-sepolia`), version 2 uses CAIP-2 ids (`eip155:84532`). Inside, the CAIP-2 id
is used. The EIP-712 name and version of a token differ per chain and are often wrong in servers' terms, so this
table decides (x402 issues 271, 3102, 3105). Every amount of these tokens is in millionths of a dollar.

To add a token, read `DOMAIN_SEPARATOR()` from its contract and compare it with `eip3009.domain_separator`. A chain
of one's own gets its token with `register`, for this process; a chain that the table knows is never changed by it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from net.strict_json import Json, load_json
from x402.codec import is_address, text_field

__all__ = [
    "ASSETS",
    "V1_NAMES",
    "Asset",
    "asset",
    "chain_id",
    "default_asset",
    "is_token",
    "parse_assets",
    "register",
    "to_caip2",
    "v1_name",
]

_EIP155: Final = re.compile(r"eip155:([1-9][0-9]{0,17})")


@dataclass(frozen=True, slots=True)
class Asset:
    """A token with EIP-3009: where it lives and how its EIP-712 domain is spelled."""

    network: str
    address: str
    name: str
    version: str = "2"
    decimals: int = 6

    @property
    def symbol(self) -> str:
        """What people call it. Its EIP-712 name is it already, where it is not spelled out."""
        return _SYMBOLS.get(self.name, self.name)


_SYMBOLS: Final = {
    "USD Coin": "USDC",
    "Tether USD": "USDT",
    "Tether America USD": "USAT",
    "Bridged USDC": "USDC.e",
}

ASSETS: Final[tuple[Asset, ...]] = (
    Asset("eip155:8453", "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913", "USD Coin"),
    Asset("eip155:84532", "0x036CbD53842c5426634e7929541eC2318f3dCF7e", "USDC"),
    Asset("eip155:1", "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48", "USD Coin"),
    Asset("eip155:43114", "0xB97EF9Ef8734C71904D8002F8b6Bc66Dd9c48a6E", "USD Coin"),
    Asset("eip155:137", "0x3c499c542cEF5E3811e1192ce70d8cC03d5c3359", "USD Coin"),
    Asset("eip155:42161", "0xaf88d065e77c8cC2239327C5EDb3A432268e5831", "USD Coin"),
    Asset("eip155:421614", "0x75faf114eafb1BDbe2F0316DF893fd58CE46AA4d", "USD Coin"),
    Asset("eip155:143", "0x754704Bc059F8C67012fEd69BC8A327a5aafb603", "USDC"),
    Asset("eip155:10143", "0x534b2f3A21130d7a60830c2Df862319e593943A3", "USDC"),
    Asset("eip155:42220", "0xcebA9300f2b948710d2653dD7B07f33A8B32118C", "USDC"),
    Asset("eip155:42220", "0x48065fbBE25f71C9282ddf5e1cD6D6A887483D5e", "Tether USD", "1"),
    Asset("eip155:42220", "0xD2ab3C9A02DBBAB236BfEC45D1d755DF4267F771", "Tether America USD", "1"),
    Asset("eip155:11142220", "0x01C5C0122039549AD1493B8220cABEdD739BC44E", "USDC"),
    Asset("eip155:1329", "0xe15fC38F6D8c56aF07bbCBe3BAf5708A2Bf42392", "USDC"),
    Asset("eip155:1328", "0x4fCF1784B31630811181f670Aea7A7bEF803eaED", "USDC"),
    Asset("eip155:5042", "0x3600000000000000000000000000000000000000", "USDC"),
    Asset("eip155:5042002", "0x3600000000000000000000000000000000000000", "USDC"),
    Asset("eip155:50", "0xfA2958CB79b0491CC627c1557F441eF849Ca8eb1", "USDC"),
    Asset("eip155:51", "0xb5AB69F7bBada22B28e79C8FFAECe55eF1c771D4", "USDC"),
    Asset("eip155:36900", "0x9cb8142aEBBcdc60AF7c97Af897A67A8f3CA71C2", "USDC.e"),
    Asset("eip155:190415", "0x401eCb1D350407f13ba348573E5630B83638E30D", "Bridged USDC"),
    Asset("eip155:181228", "0x401eCb1D350407f13ba348573E5630B83638E30D", "Bridged USDC"),
    Asset("eip155:988", "0x779Ded0c9e1022225f8E0630b35a9b54bE713736", "USDT0", "1"),
    Asset("eip155:2201", "0x78Cf24370174180738C5B8E352B6D14c83a6c9A9", "USDT0", "1"),
    Asset("eip155:14", "0xe7cd86e13AC4309349F30B3435a9d337750fC82D", "USD₮0", "1"),
)
"""Tokens known to the official SDK 2.25.0; the first one of a chain is its default."""

V1_NAMES: Final[Mapping[str, str]] = {
    "base": "eip155:8453",
    "base-sepolia": "eip155:84532",
    "ethereum": "eip155:1",
    "avalanche": "eip155:43114",
    "avalanche-fuji": "eip155:43113",
    "polygon": "eip155:137",
    "polygon-amoy": "eip155:80002",
    "monad": "eip155:143",
    "monad-testnet": "eip155:10143",
    "celo": "eip155:42220",
    "celo-sepolia": "eip155:11142220",
    "sei": "eip155:1329",
    "sei-testnet": "eip155:1328",
    "stable": "eip155:988",
    "stable-testnet": "eip155:2201",
    "flare": "eip155:14",
    "abstract": "eip155:2741",
    "abstract-testnet": "eip155:11124",
    "iotex": "eip155:4689",
    "peaq": "eip155:3338",
    "story": "eip155:1513",
    "educhain": "eip155:656476",
    "skale-base-sepolia": "eip155:1444673419",
}
"""Version 1 name to CAIP-2 id."""

_TABLED: Final = frozenset(a.network for a in ASSETS)
_BY_ADDRESS: Final = {(a.network, a.address.lower()): a for a in ASSETS}
_DEFAULTS: Final = {a.network: a for a in reversed(ASSETS)}
_V1_BY_ID: Final = {caip2: name for name, caip2 in V1_NAMES.items()}


def asset(network: str, address: str) -> Asset | None:
    """The token at an address (any case) of a chain, if it is known."""
    return _BY_ADDRESS.get((network, address.lower()))


def default_asset(network: str) -> Asset | None:
    """The dollar token a chain is usually paid in, if one is known."""
    return _DEFAULTS.get(network)


def register(token: Asset) -> None:
    """Make a token known to this process, at its start; the first one of a chain is its default.

    Only for chains that the table above does not have: a setting cannot add a token to a chain that holds real
    money, nor change one. The same token may be registered again.

    Raises:
        ValueError: the chain is in the table, or its token is known with another name or version.
    """
    if token.network in _TABLED:
        raise ValueError(f"{token.network} has its tokens in x402.networks; a setting does not change them")
    key = token.network, token.address.lower()
    if _BY_ADDRESS.setdefault(key, token) != token:
        raise ValueError(f"{token.address} on {token.network} is registered with another name or version")
    _DEFAULTS.setdefault(token.network, token)


def is_token(address: str) -> bool:
    """Whether a token that is known here has this address, on any chain."""
    return any(address.lower() == known for _, known in _BY_ADDRESS)


def parse_assets(text: str) -> tuple[Asset, ...]:
    """Tokens as JSON: `[{"network": "eip155:31337", "address": "0x...", "name": "...", "version": "2"}]`.

    All have 6 decimals: every amount here is in millionths of a dollar.

    Raises:
        ValueError: it is no such list, or names a chain that the table above has.
    """
    entries = load_json(text)
    if not isinstance(entries, list):
        raise ValueError("must be a JSON list of tokens")
    return tuple(map(_parsed, entries))


def _parsed(entry: Json) -> Asset:
    if not isinstance(entry, dict) or set(entry) != {"network", "address", "name", "version"}:
        raise ValueError("each token must have network, address, name and version, and nothing else")
    network, address = text_field(entry, "network"), text_field(entry, "address")
    token = Asset(network, address, text_field(entry, "name"), text_field(entry, "version"))
    if chain_id(token.network) is None or not is_address(token.address):
        raise ValueError("network must be an eip155 id, address 0x and 40 hex digits")
    if token.address[2:] not in (token.address[2:].lower(), token.address[2:].upper()):
        from x402.keccak import why_no_address  # only where a token of one's own is set

        if why := why_no_address(token.address):
            raise ValueError(f"address {why}")
    if token.network in _TABLED:
        raise ValueError(f"{token.network} has its tokens in x402.networks; a setting does not change them")
    return token


def chain_id(network: str) -> int | None:
    """The number in an `eip155:` id; None for chains that are not EVM."""
    found = _EIP155.fullmatch(network)
    return int(found.group(1)) if found else None


def to_caip2(network: str, version: int) -> str | None:
    """The CAIP-2 id of an EVM chain as a message of that version names it.

    None when the name is unknown or of the other version's kind: servers refuse those too.
    """
    if version == 1:
        return V1_NAMES.get(network)
    return network if _EIP155.fullmatch(network) else None


def v1_name(network: str) -> str | None:
    """The version 1 name of a CAIP-2 id; None for chains younger than version 2."""
    return _V1_BY_ID.get(network)
