"""Secrets that are kept in the database: sealed with AES-256-GCM under keys that are not there.

    1.<key id>.<nonce, ciphertext and tag, in hex>

A sealed secret is bound to the vendor that it belongs to, and to its host (`Vendor.token_for`), so it opens
nowhere else. The first key seals, all of them open, so keys can be changed without a moment in which nothing opens
(docs/decisions/0015-sealed-secrets.md).

The nonce is drawn here, not handed in: it is no input that a test or a caller may choose, for one that comes twice
gives the key away. Nothing else in here is not a function of its arguments.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from Crypto.Cipher._mode_gcm import GcmMode

__all__ = ["CannotOpen", "NoKeys", "Seals"]

_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16
_SEALED: Final = re.compile(rf"1\.([0-9a-f]{{16}})\.((?:[0-9a-f]{{2}}){{{_NONCE_BYTES + _TAG_BYTES + 1},10000}})")


class NoKeys(Exception):
    """A secret was to be sealed, and there is no key to do it with."""

    def __init__(self) -> None:
        super().__init__("needs SEALING_KEYS, which is not set: set it, or give secretRef instead")


class CannotOpen(Exception):
    """A sealed secret does not open. The message says why, and nothing of what is in it."""


class Seals:
    """The keys. `repr` shows their ids only."""

    def __init__(self, keys: tuple[bytes, ...]) -> None:
        """`keys` of 32 bytes each; the first one seals. Without any nothing is sealed and nothing opens."""
        self._keys = {_id_of(key): key for key in keys}
        self._first = _id_of(keys[0]) if keys else None

    def __repr__(self) -> str:
        return f"Seals({', '.join(self._keys)})"

    def seal(self, secret: str, vendor: str) -> str:
        """The secret as it may be stored with this vendor (its `token_for`); different each time.

        Raises:
            NoKeys: there is none.
        """
        if self._first is None:
            raise NoKeys
        nonce = secrets.token_bytes(_NONCE_BYTES)
        cipher = _cipher(self._keys[self._first], nonce, vendor)
        ciphertext, tag = cipher.encrypt_and_digest(secret.encode())
        return f"1.{self._first}.{(nonce + ciphertext + tag).hex()}"

    def open(self, sealed: str, vendor: str) -> str:
        """The secret.

        Raises:
            CannotOpen: it is of another vendor or host, was changed, or its key is not here.
        """
        parts = _SEALED.fullmatch(sealed)
        if parts is None:
            raise CannotOpen("it is not as it was stored")
        key = self._keys.get(parts[1])
        if key is None:
            raise CannotOpen(f"it was sealed with key {parts[1]}, which SEALING_KEYS does not hold")
        content = bytes.fromhex(parts[2])
        nonce, ciphertext, tag = content[:_NONCE_BYTES], content[_NONCE_BYTES:-_TAG_BYTES], content[-_TAG_BYTES:]
        try:
            return _cipher(key, nonce, vendor).decrypt_and_verify(ciphertext, tag).decode()
        except ValueError:  # from here on a traceback would show what was not verified
            raise CannotOpen("it is not as it was stored, or was stored with another vendor or host") from None

    def is_newest(self, sealed: str) -> bool:
        """Whether it says that the key which seals now has sealed it."""
        return self._first is not None and sealed.startswith(f"1.{self._first}.")


def _id_of(key: bytes) -> str:
    """A name for the key that gives nothing of it away."""
    return hmac.digest(key, b"purser: id of a sealing key", hashlib.sha256)[:8].hex()


def _cipher(key: bytes, nonce: bytes, vendor: str) -> GcmMode:
    from Crypto.Cipher import AES  # only who opens or seals pays for loading it

    cipher = AES.new(key, AES.MODE_GCM, nonce=nonce, mac_len=_TAG_BYTES)
    cipher.update(b"purser: secret of vendor " + vendor.encode())
    return cipher
