"""Where the benchmark's buyer stores what it is about to do: a file, synchronised before anything is sent."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from net.strict_json import JsonObject, to_json

__all__ = ["Notebook"]


class Notebook:
    """An append-only file. What is stored in one turn of the event loop goes to the disk in one piece."""

    def __init__(self, path: Path) -> None:
        """The file is made anew."""
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        self._waiting: list[tuple[bytes, asyncio.Future[None]]] = []

    async def store(self, entry: JsonObject) -> None:
        """Returns when the entry is on the disk."""
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._write)
        on_disk = loop.create_future()
        self._waiting.append((to_json(entry) + b"\n", on_disk))
        await on_disk

    def _write(self) -> None:
        written, self._waiting = self._waiting, []
        content = b"".join(line for line, _ in written)
        if os.write(self._file, content) != len(content):
            raise OSError("the disk is full")
        os.fsync(self._file)
        for _, on_disk in written:
            on_disk.set_result(None)
