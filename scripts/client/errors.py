"""What a client of the API raises. The messages say what to do next.

ClientError
├── Unreachable    no Purser server answers at the address, or what answers is none
└── Refused        the server said no: `status`, `code`, `detail`, `fields` of its problem+json
    ├── NotFound   there is no such run, vendor or API key
    ├── Busy       another tick is at the run; `retry_after` seconds
    └── TooMany    the API key has made its requests of this minute; `retry_after` seconds
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["Busy", "ClientError", "NotFound", "Refused", "TooMany", "Unreachable"]


class ClientError(Exception):
    """Base of the family."""


class Unreachable(ClientError):
    """Nothing answered, or not in the way of Purser's API."""


class Refused(ClientError):
    """The server said no."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        fields: Sequence[tuple[str, str]] = (),
        text: str = "",
        retry_after: int = 1,
        request_id: str | None = None,
    ) -> None:
        """`fields` are the fields at fault with what is wrong with each; `text` is the problem as sent."""
        super().__init__(f"{code}: {detail}")
        self.status, self.code, self.detail, self.fields = status, code, detail, tuple(fields)
        self.text, self.retry_after, self.request_id = text, retry_after, request_id


class NotFound(Refused):
    """There is no such run, vendor or API key."""


class Busy(Refused):
    """Another tick is at the run."""


class TooMany(Refused):
    """The API key has made its requests of this minute."""
