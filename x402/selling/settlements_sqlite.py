"""`x402.selling.settlements` in a file of SQLite: shared by all processes of one machine, kept when they end.

    settlements = SqliteSettlements("sold.db")
    seller = Seller(facilitator, pay_to, network, settlements=settlements)

The file must be on a disk of the machine: WAL does not work over a network. Every write waits for the disk
(`synchronous=FULL`); all of it happens in a thread of its own, so no event loop waits for a lock.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, TypeVar

from net.strict_json import parse_object, to_json
from x402.decode import receipt_from
from x402.errors import SettlementsUnavailable
from x402.selling.settlements import Settlement

__all__ = ["SqliteSettlements"]

_T = TypeVar("_T")

_BUSY_SECONDS: Final = 5.0
"""How long to wait for other processes; each holds the file for one commit."""

_LOOK_AGAIN: Final = 0.01
"""Seconds between two tries where SQLite itself does not wait. We are in a thread of our own."""

_VERSION: Final = 1
_SCHEMA: Final = """
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS settlements (
    key TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, until INTEGER NOT NULL,
    attempts INTEGER NOT NULL, receipt TEXT
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS settlements_until ON settlements (until);
PRAGMA user_version = 1;
COMMIT;
"""
_FIND: Final = "SELECT fingerprint, until, receipt FROM settlements WHERE key = ?"
_SWEEP: Final = "DELETE FROM settlements WHERE until <= ?"
_BEGIN: Final = """
INSERT INTO settlements (key, fingerprint, until, attempts) VALUES (?, ?, ?, 1)
ON CONFLICT (key) DO UPDATE SET attempts = attempts + 1
WHERE receipt IS NULL AND fingerprint = excluded.fingerprint
"""
_GIVE_UP: Final = "UPDATE settlements SET attempts = attempts - 1 WHERE key = ? AND receipt IS NULL"
_CLEAR: Final = "DELETE FROM settlements WHERE key = ? AND receipt IS NULL AND attempts <= 0"
_FINISH: Final = """
INSERT INTO settlements (key, fingerprint, until, attempts, receipt) VALUES (?, ?, ?, 0, ?)
ON CONFLICT (key) DO UPDATE
SET fingerprint = excluded.fingerprint, until = excluded.until, receipt = excluded.receipt WHERE receipt IS NULL
"""


class SqliteSettlements:
    """The memory of all processes that open the same file. It may be used from any event loop."""

    def __init__(self, path: str | Path, clock: Callable[[], float] = time.time) -> None:
        """The file is made, readable by its owner only, with the first operation. `clock` gives unix time."""
        self._path = path
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, "settlements")
        self._connection: sqlite3.Connection | None = None

    async def find(self, key: str) -> Settlement | None:
        """What is known of a payment."""
        return await self._run(lambda db: _find(db, key))

    async def begin(self, settlement: Settlement) -> Settlement:
        """Note one attempt to settle."""

        def begin(db: sqlite3.Connection) -> Settlement:
            with _transaction(db):
                db.execute(_SWEEP, (int(self._clock()),))
                db.execute(_BEGIN, (settlement.key, settlement.fingerprint, settlement.until))
                return _find(db, settlement.key) or settlement

        return await self._run(begin)

    async def give_up(self, settlement: Settlement) -> Settlement | None:
        """Take back one attempt."""

        def give_up(db: sqlite3.Connection) -> Settlement | None:
            with _transaction(db):
                db.execute(_GIVE_UP, (settlement.key,))
                db.execute(_CLEAR, (settlement.key,))
                return _find(db, settlement.key)

        return await self._run(give_up)

    async def finish(self, settlement: Settlement) -> bool:
        """Keep the receipt."""
        receipt = None if settlement.receipt is None else to_json(settlement.receipt.as_json()).decode()
        row = (settlement.key, settlement.fingerprint, settlement.until, receipt)

        def finish(db: sqlite3.Connection) -> bool:
            with _transaction(db):
                return db.execute(_FINISH, row).rowcount == 1

        return await self._run(finish)

    async def close(self) -> None:
        """Close the file. What was begun is done first."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown()

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()

    async def _run(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Do it in our thread. Every error of SQLite is translated here."""

        def run() -> _T:
            if self._connection is None:
                self._connection = _opened(self._path)
            return work(self._connection)

        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, run)
        except (sqlite3.Error, OSError, ValueError) as exc:
            raise SettlementsUnavailable(
                f"the settlements in {self._path} cannot be used ({exc}) and nothing is sold before they can; "
                "see that the file can be written and its disk is not full"
            ) from exc


def _opened(path: str | Path) -> sqlite3.Connection:
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    db = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
    try:
        _change_to_wal(db)
        db.execute("PRAGMA synchronous = FULL")
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version not in (0, _VERSION):
            raise ValueError(f"it is of version {version}, this program knows {_VERSION}")
        db.executescript(_SCHEMA)
    except BaseException:
        db.close()
        raise
    return db


def _change_to_wal(db: sqlite3.Connection) -> None:
    """Others may open the new file at the same time, and for this change SQLite waits for nobody by itself."""
    until = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as exc:
            if exc.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
        time.sleep(_LOOK_AGAIN)


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    """All of the block or nothing, and nobody else meanwhile."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):  # SQLite may have rolled back by itself
            db.execute("ROLLBACK")
        raise


def _find(db: sqlite3.Connection, key: str) -> Settlement | None:
    row = db.execute(_FIND, (key,)).fetchone()
    if row is None:
        return None
    fingerprint, until, receipt = row
    read = None if receipt is None else receipt_from(parse_object(receipt.encode()))
    return Settlement(key, fingerprint, until, read)
