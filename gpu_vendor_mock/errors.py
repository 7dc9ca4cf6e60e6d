"""What can go wrong in the mock vendor, and what the sender is told.

MockVendorError
├── BadSetting      a setting cannot be used; the program does not start
└── Refused         a request is answered with an error: HTTP status, stable code, message
"""

from __future__ import annotations

__all__ = ["BadSetting", "MockVendorError", "Refused"]


class MockVendorError(Exception):
    """Every error of this package."""


class BadSetting(MockVendorError, ValueError):
    """A setting, or such text in a request header, cannot be used. The message says why and what would do."""


class Refused(MockVendorError):
    """A request the shop does not serve. `code` is stable, `message` is for people."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
