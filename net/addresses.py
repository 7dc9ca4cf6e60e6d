"""Which addresses a vendor may have: public ones, and this machine's own where that is allowed. Decisions only.

The tables are IANA's special-purpose registries, and two addresses that look public and are not. Python's own
`is_global` changes from one release to the next; it is the tests' oracle.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final

__all__ = [
    "LOOPBACK_REFUSED",
    "Address",
    "is_loopback",
    "literal",
    "on_this_machine",
    "why_refused",
    "why_refused_all",
]

Address = IPv4Address | IPv6Address

LOOPBACK_REFUSED: Final = "on this machine, which is refused unless LOOPBACK_VENDORS=allow"

_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")

_REFUSED_4: Final = tuple(
    (IPv4Network(network), what)
    for network, what in (
        ("0.0.0.0/8", "unspecified"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "shared by a carrier or cloud, with metadata at 100.100.100.200"),
        ("168.63.129.16/32", "a cloud's metadata service"),
        ("169.254.0.0/16", "link-local, with clouds' metadata at 169.254.169.254"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "reserved for protocols, with metadata at 192.0.0.192"),
        ("192.0.2.0/24", "for documentation"),
        ("192.88.99.0/24", "a relay of 6to4"),
        ("192.168.0.0/16", "private"),
        ("198.18.0.0/15", "for benchmarks"),
        ("198.51.100.0/24", "for documentation"),
        ("203.0.113.0/24", "for documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
    )
)

_PUBLIC_6: Final = IPv6Network("2000::/3")
"""All of IPv6 that is handed out. Whatever has a meaning of its own outside of it is refused by being outside."""

_REFUSED_6: Final = tuple(
    (IPv6Network(network), what)
    for network, what in (
        ("::1/128", "loopback"),
        ("::/128", "unspecified"),
        ("::ffff:0:0/96", "an IPv4 address in disguise"),
        ("::ffff:0:0:0/96", "an IPv4 address in disguise"),
        ("::/96", "an IPv4 address in disguise"),
        ("64:ff9b::/96", "an IPv4 address behind NAT64"),
        ("64:ff9b:1::/48", "an IPv4 address behind NAT64"),
        ("2001::/32", "an IPv4 address behind Teredo"),
        ("2001::/23", "reserved for protocols"),
        ("2001:db8::/32", "for documentation"),
        ("2002::/16", "an IPv4 address behind 6to4"),
        ("3fff::/20", "for documentation"),
        ("fc00::/7", "private, with clouds' metadata at fd00:ec2::254"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "private"),
        ("ff00::/8", "multicast"),
    )
)

_ISATAP: Final = frozenset({0x0000_5EFE, 0x0200_5EFE})
"""The third quarter of an IPv6 address that tunnels to the IPv4 address in its last one."""


def why_refused(address: Address, *, loopback: bool) -> str | None:
    """What is wrong with a vendor at `address`, as in "10.0.0.1 is ..."; None where it may be called.

    `loopback` allows this machine's own addresses, 127.0.0.0/8 and ::1.
    """
    if on_this_machine(address):
        return None if loopback else LOOPBACK_REFUSED
    for network, what in _REFUSED_4 if isinstance(address, IPv4Address) else _REFUSED_6:
        if address in network:
            return what
    if isinstance(address, IPv4Address):
        return None
    if address not in _PUBLIC_6:
        return "not handed out"
    if int(address) >> 32 & 0xFFFF_FFFF in _ISATAP:
        return "an IPv4 address behind ISATAP"
    return None


def why_refused_all(host: str, addresses: Sequence[Address], *, loopback: bool) -> str | None:
    """Why none of the addresses that `host` stands for may be called, naming the one at fault; None: all may.

    One that is refused refuses the name: no public vendor has it, and which one is used would be left to chance.
    """
    for address in addresses:
        if _is_local_name(host) and not on_this_machine(address):
            return f"{host} leads to {address}, which is another machine"
        if what := why_refused(address, loopback=loopback):
            return f"{_shown(host, address)} is {what}"
    return None


def on_this_machine(host: Address | str) -> bool:
    """Whether an address is loopback, or a host's name or address says that it is.

    Raises:
        ValueError: a host that looks like an address and is none.
    """
    if isinstance(host, str):
        address = literal(host)
        return _is_local_name(host) if address is None else on_this_machine(address)
    return host in _LOOPBACK_4 if isinstance(host, IPv4Address) else host == _LOOPBACK_6


def is_loopback(host: str) -> bool:
    """Whether a host's name or address is this machine's own: in any letters, and IPv4 as sockets of IPv6 have it
    (`::ffff:127.0.0.1`). What cannot be read is not.
    """
    name = host.lower()
    try:
        address = literal(name)
        mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
        return on_this_machine(mapped or address or name)
    except ValueError:
        return False


def literal(host: str) -> Address | None:
    """The address that `host` (in lower case) is, None where it is a name. A name does not end in a number (WHATWG
    URL), in hex neither: resolvers take `0x7f000001` for 127.0.0.1.

    Raises:
        ValueError: an address that is none, or one that only this machine understands (`%eth0`).
    """
    if ":" in host:
        if "%" in host:
            raise ValueError("scoped")
        return IPv6Address(host)
    return IPv4Address(host) if _NUMBER.fullmatch(host.rpartition(".")[2]) else None


_LOOPBACK_4: Final = IPv4Network("127.0.0.0/8")
_LOOPBACK_6: Final = IPv6Address("::1")


def _is_local_name(host: str) -> bool:
    return host == "localhost" or host.endswith(".localhost")


def _shown(host: str, address: Address) -> str:
    return str(address) if host == str(address) else f"{host} leads to {address}, which"
