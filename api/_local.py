"""Open mode: with no API_TOKEN the API is for this machine alone, and `why_not_local` says what speaks against it.

Three kinds of stranger come in over a loopback address: another machine through a proxy on this one, a web page
whose name was made to lead here (DNS rebinding), and a web page that simply asks for `localhost` (CSRF).
"""

from __future__ import annotations

import re
from typing import Final

from fastapi import Request

from net.addresses import is_loopback

__all__ = ["why_not_local"]

_HOST: Final = re.compile(r"(?:\[([0-9A-Fa-f]*:[0-9A-Fa-f:.]*)\]|([A-Za-z0-9.]+))(?::[0-9]{0,5})?")
"""A whole `Host`: a name, an IPv4 address or an IPv6 literal in brackets, and a port or none."""

_OF_CLIENTS: Final = frozenset(
    {
        *("accept", "accept-charset", "accept-encoding", "accept-language", "authorization", "cache-control"),
        *("connection", "content-encoding", "content-language", "content-length", "content-type", "cookie"),
        *("date", "dnt", "expect", "host", "http2-settings", "idempotency-key", "if-match", "if-modified-since"),
        *("if-none-match", "if-range", "if-unmodified-since", "keep-alive", "origin", "postman-token", "pragma"),
        *("priority", "purpose", "range", "referer", "save-data", "te", "transfer-encoding", "upgrade"),
        *("upgrade-insecure-requests", "user-agent", "x-request-id", "x-requested-with"),
        *("b3", "baggage", "sentry-trace", "traceparent", "tracestate"),
    }
)
"""Headers that programs and browsers send by themselves, and those that this API takes. Each proxy marks what it
forwards in its own way and new ones come up, so whatever is not here counts as such a mark."""

_OF_BROWSERS: Final = ("sec-", "x-b3-")
"""How others begin: no page's script can set `Sec-...`, and B3 spreads one trace over several headers."""

_OWN_PAGES: Final = frozenset({"same-origin", "none"})
"""`Sec-Fetch-Site` of a request by a page of ours, or by a person who typed the address."""


def why_not_local(request: Request) -> str | None:
    """Why this request may have come from another machine, or from another site's page; None: it did not."""
    server = request.scope.get("server")
    if server is None or not is_loopback(str(server[0])):
        return "the request came in on another address than 127.0.0.1 or ::1"
    hosts = request.headers.getlist("host")
    if len(hosts) != 1 or not _loopback_host(hosts[0]):
        return "the request is for another host than localhost, 127.0.0.1 or [::1]"
    if strange := next((name for name in request.headers if not _usual(name)), None):
        return f"no local client sends the header {strange[:50]}, so a proxy may have forwarded the request"
    own = f"{request.scope.get('scheme')}://{hosts[0]}".lower()
    if any(origin.lower() != own for origin in request.headers.getlist("origin")):
        return "the request comes from a page of another origin"
    if any(site not in _OWN_PAGES for site in request.headers.getlist("sec-fetch-site")):
        return "the request comes from a page of another site"
    return None


def _usual(name: str) -> bool:
    return name in _OF_CLIENTS or name.startswith(_OF_BROWSERS)


def _loopback_host(host: str) -> bool:
    found = _HOST.fullmatch(host)
    return found is not None and is_loopback(found[1] or found[2])
