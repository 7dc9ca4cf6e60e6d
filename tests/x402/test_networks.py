"""The table of chains and tokens."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.x402.vectors import VECTORS, Separator
from x402 import networks
from x402.eip3009 import Domain, domain_separator
from x402.keccak import checksum_address
from x402.networks import (
    ASSETS,
    V1_NAMES,
    Asset,
    asset,
    chain_id,
    default_asset,
    parse_assets,
    register,
    to_caip2,
    v1_name,
)


@pytest.mark.parametrize("row", VECTORS["domainSeparators"], ids=lambda row: str(row["network"]))
def test_the_table_agrees_with_the_live_contracts(row: Separator) -> None:
    """Name and version of our table give the DOMAIN_SEPARATOR() that the contract publishes."""
    token, chain = asset(row["network"], row["asset"]), chain_id(row["network"])
    assert token is not None
    assert chain is not None
    assert (token.name, token.version) == (row["name"], row["version"])
    assert (
        domain_separator(Domain(token.name, token.version, chain, token.address)).hex()
        == row["domainSeparator"][2:]
    )


def test_every_token_is_counted_in_millionths_of_a_dollar() -> None:
    """Amounts are compared with limits in micro-dollars, so a token of other decimals must not slip in."""
    assert {token.decimals for token in ASSETS} == {6}


def test_addresses_of_the_table_carry_their_checksum() -> None:
    """A mistyped address would be caught here (EIP-55)."""
    assert [token.address for token in ASSETS] == [checksum_address(token.address) for token in ASSETS]


def test_no_token_is_listed_twice_and_every_chain_is_readable() -> None:
    """One row per token and chain; ids are numbers."""
    assert len({(token.network, token.address.lower()) for token in ASSETS}) == len(ASSETS)
    assert all(chain_id(network) for network in (*V1_NAMES.values(), *(token.network for token in ASSETS)))


def test_tokens_are_found_by_address_in_any_case() -> None:
    """Address case is spelling, the chain is not."""
    base = default_asset("eip155:8453")
    assert base is not None
    assert asset("eip155:8453", base.address.lower()) is base
    assert asset("eip155:84532", base.address) is None
    assert default_asset("eip155:80002") is None


def test_the_first_token_of_a_chain_is_its_default() -> None:
    """Celo has three; it is paid in USDC."""
    celo = default_asset("eip155:42220")
    assert celo is not None
    assert celo.name == "USDC"


def test_each_version_has_its_own_names() -> None:
    """A v1 name in a v2 message, or the reverse, is refused by servers and by us (section 7)."""
    assert to_caip2("base-sepolia", 1) == "eip155:84532"
    assert to_caip2("eip155:84532", 1) is None
    assert to_caip2("base-sepolia", 2) is None
    assert to_caip2("eip155:84532", 2) == "eip155:84532"
    assert v1_name("eip155:84532") == "base-sepolia"
    assert v1_name("eip155:42161") is None


@pytest.mark.parametrize(
    "network", ["eip155:", "eip155:0", "eip155:01", "eip155:1x", "eip155:*", "solana:1", "eip155:1\n"]
)
def test_odd_ids_have_no_chain(network: str) -> None:
    """Only `eip155:` and a plain number name an EVM chain (CAIP-2)."""
    assert chain_id(network) is None
    assert to_caip2(network, 2) is None


def test_a_token_is_called_by_its_symbol() -> None:
    """A payment in Tether must not be shown as one in USDC."""
    assert {"USDC", "USDC.e", "USDT", "USAT", "USDT0", "USD₮0"} == {token.symbol for token in ASSETS}


OWN = Asset("eip155:31337", "0x5FbDB2315678afecb367f032d93F642f64180aa3", "Test Dollar", "2")


@pytest.fixture
def _own_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "_BY_ADDRESS", dict(networks._BY_ADDRESS))
    monkeypatch.setattr(networks, "_DEFAULTS", dict(networks._DEFAULTS))


@pytest.mark.usefixtures("_own_table")
def test_a_chain_of_ones_own_gets_its_token() -> None:
    second = Asset(OWN.network, "0x" + "22" * 20, "Second", "1")
    for token in (OWN, second, OWN):
        register(token)
    assert asset(OWN.network, OWN.address.upper().replace("0X", "0x")) == OWN
    assert (default_asset(OWN.network), asset(second.network, second.address)) == (OWN, second)


@pytest.mark.usefixtures("_own_table")
def test_a_chain_in_the_table_is_never_changed_by_a_setting() -> None:
    """A setting must not be a way to pay real money for a token that somebody made up, or under another name."""
    base = default_asset("eip155:8453")
    assert base is not None
    for token in (base, replace(base, name="USDC"), replace(base, address="0x" + "66" * 20)):
        with pytest.raises(ValueError, match="has its tokens in"):
            register(token)
    assert default_asset("eip155:8453") == base
    assert asset("eip155:8453", "0x" + "66" * 20) is None


@pytest.mark.usefixtures("_own_table")
def test_one_token_has_one_domain() -> None:
    register(OWN)
    with pytest.raises(ValueError, match="another name or version"):
        register(replace(OWN, version="1"))
    assert asset(OWN.network, OWN.address) == OWN


def test_tokens_are_read_from_json() -> None:
    text = json.dumps([{"network": OWN.network, "address": OWN.address, "name": OWN.name, "version": OWN.version}])
    assert parse_assets(text) == (OWN,)
    assert parse_assets("[]") == ()
    assert asset(OWN.network, OWN.address) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[1]",
        '[{"network": "eip155:31337"}]',
        '[{"network": "eip155:31337", "address": "0x12", "name": "a", "version": "2"}]',
        f'[{{"network": "base", "address": "{OWN.address}", "name": "a", "version": "2"}}]',
        f'[{{"network": "eip155:1", "address": "{OWN.address}", "name": "a", "version": "2"}}]',
        '[{"network": "eip155:31337", "address": 1, "name": "a", "version": "2"}]',
        '[{"network": "eip155:31337", "address": "0x", "name": "a", "version": "2", "decimals": 18}]',
    ],
)
def test_what_is_no_list_of_tokens_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (each text has a reason of its own)
        parse_assets(text)
