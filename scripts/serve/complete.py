"""What a server or a worker must have set before it starts."""

from __future__ import annotations

from agent.book.errors import ConfigurationError
from agent.process.settings import Settings

__all__ = ["check_complete"]


def check_complete(settings: Settings) -> None:
    """Nothing is missing that a server or a worker must have.

    Raises:
        ConfigurationError: something is; the message names it.
    """
    if missing := settings.missing():
        raise ConfigurationError(f"not set: {', '.join(missing)}; set what is named in the environment or in .env")
