"""The heads of all runs as one list, and one hash over it: to be kept where nobody who writes here can write."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from agent.book.audit import iso

if TYPE_CHECKING:
    from pydantic import JsonValue

    from scripts.client.api import Client

__all__ = ["Root", "root_of"]


@dataclass(frozen=True, slots=True)
class Root:
    """`heads` is a line for each run, `RUN SEQ HASH`, by the runs' ids; the root is the SHA-256 of this text."""

    heads: str
    runs: int
    unreadable: tuple[str, ...]
    at: datetime

    @property
    def hash(self) -> str:
        """What `sha256sum` says of the list."""
        return hashlib.sha256(self.heads.encode("ascii")).hexdigest()

    def as_json(self) -> dict[str, JsonValue]:
        """For `--json`."""
        return {"root": self.hash, "runs": self.runs, "at": iso(self.at), "unreadable": [*self.unreadable]}


def root_of(client: Client) -> Root:
    """The heads of every run that the server lists, page by page, each as it was when its page was read.

    Raises:
        ClientError: the server cannot be reached, or refuses.
    """
    lines, unreadable = [], []
    for run_id, run in client.every_run():
        if run is None:
            unreadable.append(run_id)
        else:
            lines.append(f"{run_id} {run.audit.seq} {run.audit.hash}\n")
    return Root("".join(sorted(lines)), len(lines), tuple(sorted(unreadable)), client.now())
