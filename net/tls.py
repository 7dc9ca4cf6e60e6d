"""How servers are verified, for all clients of a process."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    import ssl

__all__ = ["tls_context"]


@cache
def tls_context() -> ssl.SSLContext:
    """How servers are verified, for all clients of this process: reading the authorities takes 20 ms each time."""
    return httpx.create_ssl_context()
