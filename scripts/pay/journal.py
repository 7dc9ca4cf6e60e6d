"""What `purser pay` signed: one append-only file for each request, written to disk before anything is sent.

A signed authorization is a cheque. While one may be cashed and no receipt for it is here, the same request sends
the same bytes again instead of signing another. A file is 0600 and locked while somebody pays; a line that a crash
tore was never sent, and is cut off.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Self

from agent.book.errors import ConfigurationError
from agent.book.models import SignedAuthorization
from agent.process.private_files import open_private
from net.strict_json import Json, JsonObject, load_json, to_json

__all__ = [
    "EXPIRY_MARGIN",
    "Journal",
    "JournalBroken",
    "Purchase",
    "PurchaseBusy",
    "Signed",
    "name_key",
    "request_key",
]

EXPIRY_MARGIN: Final = timedelta(seconds=60)
"""How long after `validBefore` an authorization counts as usable still: clocks differ, blocks come late."""

_TAIL: Final = 4 * 1024 * 1024
"""Bytes at the end of a file that are read; one authorization has some thousand."""

_SIGNED: Final = b'{"event":"signed",'


class JournalBroken(ConfigurationError):
    """A file of the journal cannot be read or written. Nothing is signed then."""


class PurchaseBusy(Exception):
    """Another process is paying for this request."""


@dataclass(frozen=True, slots=True)
class Signed:
    """An authorization in the journal. `sends` and `answers` count how often it went out and was answered.

    `transaction` is what a receipt showed, `delivered` whether goods came with it; `said` is what the seller said
    last. `request` tells which request it is for; "" where an older version wrote it.
    """

    authorization: SignedAuthorization
    sends: int = 1
    answers: int = 0
    transaction: str | None = None
    said: str = ""
    delivered: bool = True
    request: str = ""

    @property
    def closes_at(self) -> datetime:
        """From when on nobody can cash it."""
        until = datetime.fromtimestamp(self.authorization.valid_before, self.authorization.signed_at.tzinfo)
        return until + EXPIRY_MARGIN

    @property
    def unanswered(self) -> bool:
        """Whether it went out at least once without an answer coming back."""
        return self.sends > self.answers


def request_key(method: str, url: str, body: bytes | None, name: str | None) -> str:
    """What makes two requests without a name the same: method, URL and body, not headers."""
    parts: list[Json] = [method, url, None if body is None else hashlib.sha256(body).hexdigest(), name]
    return hashlib.sha256(to_json({"request": parts})).hexdigest()[:32]


def name_key(origin: str, name: str) -> str:
    """What makes two named purchases the same: the name, at one seller. `origin` is its scheme, host and port."""
    return hashlib.sha256(to_json({"named": [origin, name]})).hexdigest()[:32]


class Journal:
    """The directory of the journal. It comes into being with the first payment."""

    def __init__(self, home: str) -> None:
        """`home` is PURSER_HOME."""
        self._directory = Path(home).expanduser() / "payments"

    def find(self, key: str) -> Purchase | None:
        """The purchase of a request that was signed for before, locked.

        Raises:
            PurchaseBusy, JournalBroken
        """
        return self._open(key, os.O_RDWR | os.O_APPEND)

    def create(self, key: str) -> Purchase:
        """The same, also for a request that never was. Raises as `find` does."""
        try:
            self._directory.mkdir(0o700, parents=True, exist_ok=True)
        except OSError as exc:
            raise JournalBroken(f"{self._directory} cannot be made: {exc.strerror}") from None
        purchase = self._open(key, os.O_RDWR | os.O_APPEND | os.O_CREAT)
        if purchase is None:
            raise JournalBroken(f"{self._directory} went away")
        return purchase

    def _open(self, key: str, flags: int) -> Purchase | None:
        path = self._directory / f"{key}.jsonl"
        try:
            file = open_private(path, flags)
        except FileNotFoundError:
            return None
        except ConfigurationError as exc:
            raise JournalBroken(str(exc)) from None
        except OSError as exc:
            raise JournalBroken(f"{path} cannot be opened: {exc.strerror}") from None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return Purchase(path, file)
        except BlockingIOError:
            os.close(file)
            raise PurchaseBusy("another purser pay is at this request") from None
        except OSError as exc:
            os.close(file)
            raise JournalBroken(f"{path} cannot be locked: {exc.strerror}") from None
        except BaseException:
            os.close(file)
            raise


class Purchase:
    """The file of one request, locked until it is closed. Every method raises `JournalBroken`."""

    def __init__(self, path: Path, file: int) -> None:
        self._path = path
        self._file = file
        *lines, torn = self._tail().split(b"\n")
        self._torn = len(torn)
        self._last = self._replayed(lines)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)

    @property
    def last(self) -> Signed | None:
        """The newest authorization."""
        return self._last

    def signed(self, method: str, url: str, authorization: SignedAuthorization, request: str = "") -> Signed:
        """Write down what is about to be sent for the first time. `url` without its query."""
        document = authorization.model_dump(mode="json", by_alias=True)
        what: JsonObject = {"method": method, "url": url, "request": request, "authorization": document}
        self._append({"event": "signed", **what})
        self._last = Signed(authorization, request=request)
        return self._last

    def sent_again(self) -> None:
        """Write down that the newest authorization is about to go out once more."""
        self._event({"event": "sent_again"})

    def answered(self, status: int, said: str) -> None:
        """Write down an answer that shows no settlement."""
        self._event({"event": "answered", "status": status, "said": said})

    def settled(self, transaction: str, *, delivered: bool = True) -> None:
        """Write down the settlement that a receipt shows. The purchase is over where goods were delivered."""
        self._event({"event": "settled", "transaction": transaction, "delivered": delivered})

    def _event(self, entry: JsonObject) -> None:
        if self._last is None:
            raise AssertionError("nothing was signed")
        self._append(entry)
        self._last = _after(self._last, entry)

    def _append(self, entry: JsonObject) -> None:
        line = to_json(entry) + b"\n"
        try:
            if self._torn:
                os.ftruncate(self._file, os.fstat(self._file).st_size - self._torn)
                self._torn = 0
            if os.write(self._file, line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(self._file)
            directory = os.open(self._path.parent, os.O_RDONLY)  # the file's name must last too
            try:
                os.fsync(directory)
            finally:
                os.close(directory)
        except OSError as exc:
            raise JournalBroken(f"{self._path} cannot be written: {exc.strerror}") from None

    def _tail(self) -> bytes:
        """The file's end, from the start of a line: what was before the newest authorization is of no account."""
        try:
            size = os.fstat(self._file).st_size
            content = os.pread(self._file, _TAIL, max(0, size - _TAIL))
        except OSError as exc:
            raise JournalBroken(f"{self._path} cannot be read: {exc.strerror}") from None
        return content if size <= _TAIL else content.partition(b"\n")[2]

    def _replayed(self, lines: Sequence[bytes]) -> Signed | None:
        last: Signed | None = None
        start = max((at for at, line in enumerate(lines) if line.startswith(_SIGNED)), default=0)
        try:
            for line in lines[start:]:
                entry = load_json(line.decode())
                if not isinstance(entry, dict):
                    raise ValueError("not an object")
                if last is None and entry.get("event") == "signed":
                    request = entry.get("request", "")
                    authorization = SignedAuthorization.model_validate(entry.get("authorization"))
                    last = Signed(authorization, request=request if isinstance(request, str) else "")
                elif last is not None:
                    last = _after(last, entry)
                else:
                    raise ValueError("nothing was signed yet")
        except ValueError:
            raise JournalBroken(f"{self._path} cannot be understood at its end; nothing is signed") from None
        return last


def _after(signed: Signed, entry: JsonObject) -> Signed:
    """What an event makes of an authorization, or `ValueError`."""
    match entry:
        case {"event": "sent_again"}:
            return replace(signed, sends=signed.sends + 1)
        case {"event": "answered", "said": str(said)}:
            return replace(signed, answers=signed.answers + 1, said=said)
        case {"event": "settled", "transaction": str(transaction)}:
            delivered = entry.get("delivered", True) is not False
            return replace(signed, answers=signed.answers + 1, transaction=transaction, delivered=delivered)
    raise ValueError("no such event")
