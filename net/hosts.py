"""Hosts compared as hosts: one name has many spellings, and a list of hosts means the host and not the spelling.

`Example.com.`, `example.com` and `example.com:443` (over https) are one place; so are `bücher.example` and its
ASCII form, and the forms of one IP address.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Final
from urllib.parse import unquote, urlsplit

__all__ = ["among", "canonical", "place"]

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_KEPT_SLASH: Final = "%2F"


def canonical(host: str) -> str:
    """The one spelling of a host: lower case, ASCII, without brackets and without the dot of the root."""
    name = host.strip("[]").rstrip(".").lower()
    try:
        return str(ip_address(name))
    except ValueError:
        pass
    try:
        return name.encode("idna").decode()
    except UnicodeError:
        return name


def place(url: str) -> tuple[str, int | None, str] | None:
    """Host, port and decoded path of a URL; a port that is its scheme's default is None. None: not a URL.

    An encoded slash stays encoded: it is no separator. A path that climbs (`..`) is no place.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    path = _KEPT_SLASH.join(map(unquote, parts.path.replace("%2f", _KEPT_SLASH).split(_KEPT_SLASH)))
    if not parts.hostname or ".." in path.split("/"):
        return None
    return canonical(parts.hostname), None if port == _DEFAULT_PORTS.get(parts.scheme) else port, path.rstrip("/")


def among(url: str, allowed: frozenset[str]) -> bool:
    """Whether the URL's host is in the list, which has names with `:port` or without; without: any port."""
    found = place(url)
    if found is None:
        return False
    host, port, _ = found
    default = _DEFAULT_PORTS.get(urlsplit(url).scheme)
    for entry in allowed:
        name, colon, digits = entry.rpartition(":") if entry.rpartition(":")[2].isdecimal() else (entry, "", "")
        if canonical(name) == host and (not colon or int(digits) == (port or default)):
            return True
    return False
