"""Commands and bytes between this process and a server, counted as they pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from unittest import mock

import bson
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from agent.store import mongo
from tests.wire.listening import READS, WRITES

__all__ = ["Traffic", "Wiretap", "tapped"]

_COUNTED: Final = READS | WRITES | {"listCollections"}


@dataclass
class Traffic:
    """What passed: commands by name and collection, writes among them, and BSON bytes to and from the server."""

    commands: Counter[str] = field(default_factory=Counter)
    writes: int = 0
    sent: int = 0
    received: int = 0

    @property
    def total(self) -> int:
        """Commands of all kinds."""
        return self.commands.total()

    def __str__(self) -> str:
        kinds = ", ".join(f"{number} {name}" for name, number in sorted(self.commands.items()))
        return f"{self.total} commands ({kinds}), {self.sent} B sent, {self.received} B received"


class Wiretap(CommandListener):
    """Counts what passes between two calls of `take`."""

    def __init__(self) -> None:
        """Nothing has passed yet."""
        self._now = Traffic()

    def take(self) -> Traffic:
        """What has passed since the last call."""
        taken, self._now = self._now, Traffic()
        return taken

    def started(self, event: CommandStartedEvent) -> None:
        """Count a command."""
        if event.command_name in _COUNTED:
            self._now.commands[f"{event.command_name} {_collection(event.command)}"] += 1
            self._now.writes += event.command_name in WRITES
            self._now.sent += len(bson.encode(event.command))

    def succeeded(self, event: CommandSucceededEvent) -> None:
        """Count its answer."""
        if event.command_name in _COUNTED:
            self._now.received += len(bson.encode(event.reply))

    def failed(self, event: CommandFailedEvent) -> None:
        """It has been counted."""


def _collection(command: Any) -> str:
    name, value = next(iter(command.items()))
    return str(command["collection"] if name == "getMore" else value)


@contextmanager
def tapped() -> Iterator[Wiretap]:
    """Within it every client that is made is listened to."""
    tap = Wiretap()
    with mock.patch.dict(mongo._OPTIONS, {"event_listeners": [tap]}):
        yield tap
