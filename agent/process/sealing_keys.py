"""The keys that seal secrets, as SEALING_KEYS spells them."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final

__all__ = ["MAX_KEYS", "parse_keys"]

MAX_KEYS: Final = 16
"""Keys at a time: the one that seals, and those that are on their way out."""

_HEX_KEY: Final = re.compile(r"[0-9a-fA-F]{64}")
_BASE64_KEY: Final = re.compile(r"[A-Za-z0-9+/_-]{43}=?")
_TO_URL_SAFE: Final = str.maketrans("+/", "-_")


def parse_keys(text: str) -> tuple[bytes, ...]:
    """Keys with commas between, each 32 bytes in hex or base64.

    Raises:
        ValueError: naming the one at fault by its place.
    """
    entries = [entry.strip() for entry in text.split(",")]
    if len(entries) > MAX_KEYS:
        raise ValueError(f"must hold at most {MAX_KEYS} keys")
    return tuple(_key(entry, place) for place, entry in enumerate(entries, 1))


def _key(entry: str, place: int) -> bytes:
    if _HEX_KEY.fullmatch(entry):
        return bytes.fromhex(entry)
    try:
        if _BASE64_KEY.fullmatch(entry):
            return base64.urlsafe_b64decode(entry.translate(_TO_URL_SAFE).rstrip("=") + "=")
    except binascii.Error:
        pass
    raise ValueError(f"key {place} is not 32 bytes in hex or base64; `openssl rand -hex 32` makes one")
