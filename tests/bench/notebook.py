"""Where the benchmark's buyer stores what it is about to do: a file, synchronised before anything is sent."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from x402.codec import JsonObject, to_json

__all__ = ["Notebook"]


class Notebook:
    """An append-only file. What is stored while the disk is busy goes to it in one piece, as databases do it."""

    def __init__(self, path: Path) -> None:
        """The file is made anew."""
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        self._waiting: list[bytes] = []
        self._asked = 0
        self._stored = 0
        self._disk = asyncio.Lock()

    async def store(self, entry: JsonObject) -> None:
        """Returns when the entry is on the disk."""
        self._waiting.append(to_json(entry) + b"\n")
        self._asked += 1
        mine = self._asked
        async with self._disk:
            if self._stored >= mine:
                return
            entries, self._waiting = self._waiting, []
            await asyncio.to_thread(self._write, b"".join(entries))
            self._stored += len(entries)

    def _write(self, content: bytes) -> None:
        if os.write(self._file, content) != len(content):
            raise OSError("the disk is full")
        os.fsync(self._file)
