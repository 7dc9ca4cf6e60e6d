"""An export read back from its file, line by line, as strictly as docs/audit.md reads it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import BinaryIO, Final

from net.strict_json import load_json
from scripts.audit.export import END, FORMAT, OBSERVATION, Evidence, Object, line_of
from scripts.client.shapes import Booked, read_exactly

__all__ = ["Export", "Malformed", "lines_of"]

_LONGEST: Final = 4 * 1024 * 1024
"""Bytes of one line. An observation has some thousands."""

_MOST: Final = 10_000
"""Payments and jobs together. A run of ours has two hundred at the most."""

_ORDER: Final = ("observation", "payment", "job", END)


class Malformed(ValueError):
    """A file that is no export, from some line on; the text says which and why."""


class Export:
    """An export being read: first `observations`, to their end, then `evidence` and `faults`."""

    def __init__(self, file: BinaryIO) -> None:
        """Reads the first line.

        Raises:
            Malformed: it is none of an export of this format.
        """
        self._lines = lines_of(file)
        self._digest = hashlib.sha256()
        self._header = _checked(next(self._lines, (0, Object()))[1])
        self._digest.update(_written(self._header))
        self._records: dict[str, list[Object]] = {"payment": [], "job": []}
        self._seal: Object | None = None
        run_id = self._header.get("runId")
        self.run_id = run_id if isinstance(run_id, str) else ""

    def observations(self) -> Iterator[Object]:
        """The trail, as the file is read to its end.

        Raises:
            Malformed: a line is none of an export, or belongs elsewhere.
        """
        reached = 0
        for number, found in self._lines:
            ((kind, value),) = found.items() if len(found) == 1 else (("", None),)
            place = _ORDER.index(kind) if kind in _ORDER else -1
            if place < reached or self._seal is not None or not isinstance(value, dict):
                raise Malformed(f"line {number} is not one that belongs there")
            reached = place
            if kind == END:
                self._seal = value
                continue
            self._digest.update(_written(found))
            if kind == "observation":
                if (*value,) != OBSERVATION:
                    raise Malformed(f"line {number} has other fields than an observation")
                yield value
            else:
                self._keep(number, kind, value)

    def faults(self) -> tuple[str, ...]:
        """What the last line says against those before it."""
        if self._seal == {"sha256": self._digest.hexdigest()}:
            return ()
        return ("the last line is not the hash of the lines before it: they are not as they were written",)

    def evidence(self) -> Evidence:
        """What the export holds of its run, but for the trail.

        Raises:
            Malformed: the end is missing, or header, payments and jobs are no run's.
        """
        if self._seal is None:
            raise Malformed("the last line, with the hash of all others, is missing")
        header, payments, jobs = self._header, self._records["payment"], self._records["job"]
        run = header.get("run")
        shown = {**(run if isinstance(run, dict) else {}), "_id": header.get("runId"), "audit": header.get("head")}
        try:
            records = read_exactly(Booked, json.dumps({"run": shown, "payments": payments, "jobs": jobs}))
        except ValueError as exc:
            raise Malformed(f"header, payments or jobs cannot be read: {_fields(exc)}") from exc
        return Evidence(records, header, tuple(payments), tuple(jobs))

    def _keep(self, number: int, kind: str, value: Object) -> None:
        self._records[kind].append(value)
        if sum(map(len, self._records.values())) > _MOST:
            raise Malformed(f"line {number} is one payment or job too many: no run of ours has {_MOST}")


def lines_of(file: BinaryIO) -> Iterator[tuple[int, Object]]:
    """The objects of its lines with their numbers, each held against the one way to write it.

    Raises:
        Malformed: a line is none of an export.
    """
    number = 0
    while line := file.readline(_LONGEST + 1):
        number += 1
        try:
            found = load_json(line.decode("ascii").removesuffix("\n"))
        except ValueError as exc:
            raise Malformed(f"line {number} cannot be read: {_why(exc)}") from exc
        if not isinstance(found, dict):
            raise Malformed(f"line {number} is no JSON object")
        if line != _written(found):
            raise Malformed(f"line {number} is written in another way than it was exported")
        yield number, found


def _why(exc: ValueError) -> str:
    return "it is not ASCII" if isinstance(exc, UnicodeDecodeError) else str(exc)


def _checked(header: Object) -> Object:
    told = header.get("format")
    if not isinstance(told, str) or not told.startswith("purser-audit/"):
        raise Malformed("it does not begin as an export of purser audit export")
    if told != FORMAT:
        raise Malformed(f"its format is {told[:40]}, this command checks {FORMAT}: export the run again")
    return header


def _written(found: Object) -> bytes:
    return f"{line_of(found)}\n".encode("ascii")


def _fields(exc: ValueError) -> str:
    from pydantic import ValidationError

    if not isinstance(exc, ValidationError):
        return str(exc)
    told = exc.errors(include_input=False, include_url=False)[:3]
    return "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in told)
