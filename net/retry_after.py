"""What a `Retry-After` header asks for (RFC 9110, 10.2.3)."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

__all__ = ["seconds_to_wait"]

_SECONDS: Final = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,6})?")


def seconds_to_wait(header: str | None, now: datetime | None = None) -> float | None:
    """Seconds that it asks for; None where it asks for nothing that can be read.

    A date is read only where `now` is given: it is one by the clock of whoever sent it, which may be any.
    """
    text = (header or "").strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    if now is None:
        return None
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, ((at if at.tzinfo else at.replace(tzinfo=UTC)) - now).total_seconds())
