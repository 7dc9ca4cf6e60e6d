"""What the driver sends to the server, as it was sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

__all__ = ["READS", "WRITES", "Wire"]

WRITES: Final = {"insert", "update", "delete", "findAndModify", "createIndexes"}
READS: Final = {"find", "getMore", "aggregate", "count"}


class Wire(CommandListener):
    """Commands as they were sent: name, collection, body. Give it to `agent.store.mongo` as an event listener."""

    def __init__(self) -> None:
        """Nothing was sent yet."""
        self.sent: list[tuple[str, str, Mapping[str, Any]]] = []

    def started(self, event: CommandStartedEvent) -> None:
        """Note the commands that concern a collection."""
        if event.command_name in WRITES | READS:
            self.sent.append((event.command_name, str(event.command[event.command_name]), event.command))

    def succeeded(self, event: CommandSucceededEvent) -> None:
        """Of no interest."""

    def failed(self, event: CommandFailedEvent) -> None:
        """Of no interest."""
