"""Which addresses a vendor may have, held against Python's own opinion and against each way to hide one."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from net.addresses import Address, is_loopback, on_this_machine, why_refused, why_refused_all
from tests.vendors.samples import a_vendor
from vendors.errors import InvalidVendor

IPV4 = st.ip_addresses(v=4)
IPV6 = st.ip_addresses(v=6)
"""Hypothesis draws many of these from the special-purpose registries."""


@given(st.one_of(IPV4, IPV6))
@example(IPv4Address("255.255.255.255"))
@example(IPv6Address("::"))
def test_what_is_called_is_public_for_python_too(address: Address) -> None:
    """An opinion that is not ours: nothing passes that the standard library calls private or special."""
    if why_refused(address, loopback=False) is None:
        assert address.is_global
        assert not address.is_private
        assert not address.is_multicast
        assert not address.is_reserved
        assert not address.is_link_local
        if isinstance(address, IPv6Address):
            assert (address.ipv4_mapped, address.sixtofour, address.teredo) == (None, None, None)


@given(st.one_of(IPV4, IPV6))
def test_loopback_is_all_that_can_be_allowed(address: Address) -> None:
    """Being a laptop opens this machine, and nothing beyond it."""
    strict, lax = why_refused(address, loopback=False), why_refused(address, loopback=True)
    if strict == lax:
        assert not address.is_loopback
    else:
        assert (address.is_loopback, lax) == (True, None)


@given(IPV4)
@example(IPv4Address("8.8.8.8"))
@example(IPv4Address("127.0.0.1"))
def test_an_ipv4_address_inside_an_ipv6_one_is_refused(address: IPv4Address) -> None:
    """Wherever it leads: mapped, compatible, translated, NAT64, 6to4, Teredo, ISATAP. This machine's too."""
    hidden = int(address)
    for text in ("::ffff:0:0", "::", "::ffff:0:0:0", "64:ff9b::", "64:ff9b:1::", "2001:470::5efe:0:0"):
        disguised = IPv6Address(int(IPv6Address(text)) + hidden)
        assert disguised == IPv6Address("::1") or why_refused(disguised, loopback=True), disguised
    for text, shift in (("2002::", 80), ("2001::", 64), ("2001::", 0)):
        assert why_refused(IPv6Address(int(IPv6Address(text)) + (hidden << shift)), loopback=True)


@given(st.integers(0, 2**128 - 1))
def test_only_what_is_handed_out_of_ipv6_is_public(number: int) -> None:
    """The rest may come to mean anything."""
    address = IPv6Address(number)
    assert why_refused(address, loopback=False) or address in IPv6Network("2000::/3")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("169.254.169.254", "link-local"),
        ("100.100.100.200", "shared"),
        ("192.0.0.192", "metadata"),
        ("168.63.129.16", "metadata"),
        ("fd00:ec2::254", "private"),
        ("fd20:ce::254", "private"),
        ("10.1.2.3", "private"),
        ("172.31.255.255", "private"),
        ("192.168.0.1", "private"),
        ("0.0.0.0", "unspecified"),
        ("::", "unspecified"),
        ("127.255.255.254", "LOOPBACK_VENDORS"),
        ("::1", "LOOPBACK_VENDORS"),
        ("224.0.0.1", "multicast"),
        ("ff02::1", "multicast"),
        ("255.255.255.255", "reserved"),
        ("fe80::1", "link-local"),
        ("::ffff:127.0.0.1", "in disguise"),
        ("64:ff9b::a9fe:a9fe", "NAT64"),
        ("2002:a9fe:a9fe::", "6to4"),
        ("2001:0:1::1", "Teredo"),
        ("4000::1", "not handed out"),
    ],
)
def test_the_reason_names_the_rule(text: str, why: str) -> None:
    """So that an operator knows what to look for."""
    assert why in (why_refused(ip_address(text), loopback=False) or "")


@pytest.mark.parametrize("text", ["8.8.8.8", "172.15.255.255", "172.32.0.0", "100.63.255.255", "2606:4700::1111"])
def test_public_addresses_are_called(text: str) -> None:
    """Up to the edges of what is refused."""
    assert why_refused(ip_address(text), loopback=False) is None


@given(st.lists(IPV4, min_size=1, max_size=5))
def test_one_refused_address_refuses_the_name(addresses: list[IPv4Address]) -> None:
    """Naming it, wherever in the list it is."""
    bad = [each for each in addresses if why_refused(each, loopback=False)]
    why = why_refused_all("gpu.example", addresses, loopback=False)
    assert (why is not None) == bool(bad)
    assert not bad or f"gpu.example leads to {bad[0]}" in str(why)


def test_a_name_of_this_machine_stays_on_it() -> None:
    """Plain http is taken to `localhost`: a resolver that says otherwise would have the token in the clear."""
    assert why_refused_all("localhost", [ip_address("::1"), ip_address("127.0.0.1")], loopback=True) is None
    why = why_refused_all("a.localhost", [ip_address("127.0.0.1"), ip_address("8.8.8.8")], loopback=True)
    assert why == "a.localhost leads to 8.8.8.8, which is another machine"


@pytest.mark.parametrize(
    "host", ["10.0.0.1", "[fd00:ec2::254]", "[64:ff9b::1.2.3.4]", "169.254.169.254", "0.0.0.0"]
)
def test_a_literal_address_is_checked_when_the_vendor_is_made(host: str) -> None:
    """Over https too, and whatever is allowed of this machine."""
    with pytest.raises(InvalidVendor, match="endpoint must be at a public address"):
        a_vendor(f"https://{host}:8443/v1")


@pytest.mark.parametrize(
    ("endpoint", "local"),
    [
        ("http://127.0.0.2:4001", True),
        ("http://[::1]:4001/x", True),
        ("https://LOCALHOST", True),
        ("http://gpu.localhost:1", True),
        ("https://gpu.example", False),
        ("https://localhost.example", False),
        ("https://8.8.8.8", False),
    ],
)
def test_a_vendor_knows_whether_it_is_on_this_machine(endpoint: str, local: bool) -> None:
    """By what its endpoint says; where names really lead is seen when they are called."""
    assert a_vendor(endpoint).local is local


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "127.1", "fe80::1%lo", "1.2.3.4.5"])
def test_an_address_that_is_none_is_not_guessed(host: str) -> None:
    """Programs read these differently."""
    with pytest.raises(ValueError, match=r".*"):
        on_this_machine(host)


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("localhost", True),
        ("LocalHost", True),
        ("a.localhost", True),
        ("127.0.0.1", True),
        ("127.8.9.10", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("::FFFF:7F00:1", True),
        ("localhost.example", False),
        ("127.0.0.1.example", False),
        ("128.0.0.1", False),
        ("0.0.0.0", False),
        ("::", False),
        ("::ffff:10.0.0.1", False),
        ("fe80::1%lo", False),
        ("127.1", False),
        ("0x7f000001", False),
        ("", False),
    ],
)
def test_one_rule_says_what_this_machine_is(host: str, local: bool) -> None:
    """For plain http, for servers without a token, for nodes and services beside us. Nonsense is not local."""
    assert is_loopback(host) is local


def test_nobody_has_another_rule() -> None:
    """Eight modules had one."""
    root = Path(__file__).parents[2]
    for package in ("agent", "api", "gpu_vendor_mock", "scripts", "vendors", "x402"):
        for path in (root / package).rglob("*.py"):
            assert ".is_loopback" not in path.read_text(), path
