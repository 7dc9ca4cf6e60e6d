"""What somebody kept of runs, held against what is there now: a trail only grows, payments and jobs only go on.

Kept is an export of one run (of any version; its first line is enough), or a list of heads of `purser audit root`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from agent.book.audit import ChainCheck
from agent.book.lifecycle import JOB, PAYMENT
from scripts.audit.export import Evidence, Object, line_of
from scripts.audit.exported import Malformed, lines_of

if TYPE_CHECKING:
    from pydantic import JsonValue

__all__ = ["Kept", "KeptTrail", "read_kept"]

_HEAD: Final = re.compile(rb"([0-9a-f]{24}) ([1-9][0-9]{0,9}) ([0-9a-f]{64})\n")
_LONGEST: Final = 101  # bytes of a line of heads
_GO_ON: Final = {
    "payment": ("x402TxId",),
    "job": ("vendorJobId", "actualCost", "failure", "completedAt"),
}
"""Fields that may be told later where they were null."""
_STEPS: Final[dict[str, list[tuple[str, str]]]] = {
    "payment": [(source, target) for (source, _), target in PAYMENT.items()],
    "job": [(source, target) for (source, _), target in JOB.items()],
}


@dataclass(frozen=True, slots=True)
class Kept:
    """Hashes of observations by their numbers, for each run; and the payments and jobs of an export."""

    name: str
    trails: dict[str, dict[int, str]] = field(default_factory=dict)
    records: dict[str, list[Object]] = field(default_factory=dict)


class KeptTrail:
    """The trail of one run, looked at entry by entry, against what was kept of it."""

    def __init__(self, kept: Kept, run_id: str) -> None:
        """Nothing seen yet."""
        self._kept = kept
        self._hashes = kept.trails.get(run_id, {})
        self._last = 0
        self._other: int | None = None

    def look(self, entry: Mapping[str, JsonValue]) -> None:
        """Take the next observation. That its hash is that of its content is the chain's business."""
        seq = entry.get("seq")
        if type(seq) is not int:
            return
        self._last = max(self._last, seq)
        if self._other is None and self._hashes.get(seq, entry.get("hash")) != entry.get("hash"):
            self._other = seq

    def faults(self, found: Evidence) -> Iterator[str]:
        """What is not as it was kept, one sentence each."""
        name, last = self._kept.name, max(self._hashes, default=0)
        if self._other is not None:
            yield f"observation {self._other} is another than in {name}: the history from there on was rewritten"
        if self._last < last:
            yield f"the trail ends with observation {self._last}, in {name} it went on to {last}"
        for kind, now in (("payment", found.payments), ("job", found.jobs)):
            by_id = {str(each.get("_id")): each for each in now}
            for before in self._kept.records.get(kind, []):
                yield from _moved_back(name, kind, before, by_id.get(str(before.get("_id"))))


def read_kept(path: Path) -> Kept:
    """What was kept in this file.

    Raises:
        OSError: it cannot be opened.
        Malformed: it is neither an export nor a list of heads, or is not as it was written.
    """
    with path.open("rb") as file:
        if file.peek(1)[:1] == b"{":
            return _export(path.name, lines_of(file))
        trails = {}
        number = 0
        while line := file.readline(_LONGEST):
            number += 1
            if (head := _HEAD.fullmatch(line)) is None:
                raise Malformed(f"line {number} is no head of a run, and the file does not begin as an export")
            trails[head[1].decode()] = {int(head[2]): head[3].decode()}
    return Kept(path.name, trails)


def _export(name: str, lines: Iterator[tuple[int, Object]]) -> Kept:
    _, header = next(lines)
    run_id, head = header.get("runId"), header.get("head")
    seq, value = (head.get("seq"), head.get("hash")) if isinstance(head, dict) else (None, None)
    if not isinstance(run_id, str) or type(seq) is not int or not isinstance(value, str):
        raise Malformed("its first line has no runId, or no head")
    chain, hashes = ChainCheck(run_id), {seq: value}
    records: dict[str, list[Object]] = {"payment": [], "job": []}
    for number, found in lines:
        ((kind, what),) = found.items() if len(found) == 1 else (("", None),)
        if kind == "observation" and isinstance(what, dict):
            chain.look(what)
            hashes[number - 1] = str(what.get("hash"))
        elif kind in records and isinstance(what, dict):
            records[kind].append(what)
    if chain.checked and (faults := chain.verdict({"seq": seq, "hash": value})):
        raise Malformed(f"it does not hold itself: {faults[0]}")
    return Kept(name, {run_id: hashes}, records)


def _moved_back(name: str, kind: str, before: Object, now: Object | None) -> Iterator[str]:
    which = f"{kind} {before.get('_id')}"
    if now is None:
        yield f"{which} is gone: {name} has it"
        return
    for key, was in before.items():
        said = now.get(key)
        if line_of(said) == line_of(was) or (was is None and key in _GO_ON[kind]):
            continue
        if key != "status" or not _leads(_STEPS[kind], was, said):
            yield f"{which}: {key} is {line_of(said)}, in {name} it was {line_of(was)}"


def _leads(steps: list[tuple[str, str]], was: JsonValue, now: JsonValue) -> bool:
    after = [target for source, target in steps if source == was]
    return now in after or any(_leads(steps, each, now) for each in after)
