"""The audit trail: observations numbered without gaps and chained by hash. Pure.

`hash` is SHA-256 over the canonical JSON of the observation without its hash: keys sorted, no blanks, UTF-8,
times as ISO 8601 with milliseconds and `Z`. A stranger can recompute it from the API's answer alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Final

from agent.book.models import GENESIS, AuditHead, Json, Observation, Run

__all__ = ["ChainCheck", "Verdict", "digest", "iso", "observe", "public_observation", "verify"]

_CONTENT_LIMIT: Final = 2_000
"""Characters of prose in one observation."""


def iso(moment: datetime) -> str:
    """`2026-11-21T08:00:00.000Z`: how times are written in JSON, and hashed."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def digest(entry: Mapping[str, Json]) -> str:
    """The hash of an observation in its public form; its own `hash` is left out."""
    body = {key: value for key, value in entry.items() if key != "hash"}
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def observe(run: Run, now: datetime, kind: str, content: str, data: dict[str, Json] | None = None) -> Run:
    """The run with one more observation at the end of its chain, waiting in the outbox."""
    seq = run.audit.seq + 1
    entry = Observation(
        run_id=run.id,
        seq=seq,
        type=kind,
        content=content[:_CONTENT_LIMIT],
        data=data or {},
        timestamp=now,
        prev_hash=run.audit.hash,
        hash="",
    )
    sealed = entry.model_copy(update={"hash": digest(public_observation(entry))})
    outbox = run.outbox.model_copy(update={"observations": (*run.outbox.observations, sealed)})
    return run.model_copy(update={"audit": AuditHead(seq=seq, hash=sealed.hash), "outbox": outbox})


def public_observation(entry: Observation) -> dict[str, Json]:
    """The observation as the API shows it, and as it is hashed."""
    return {
        "runId": str(entry.run_id),
        "seq": entry.seq,
        "type": entry.type,
        "content": entry.content,
        "data": entry.data,
        "timestamp": iso(entry.timestamp),
        "prevHash": entry.prev_hash,
        "hash": entry.hash,
    }


class Verdict(tuple[str, ...]):
    """What is wrong with a chain, one sentence each; empty (and so false) when it holds."""


class ChainCheck:
    """A chain checked while it streams by, from its first entry on. Memory grows with the faults alone.

    Every fault names the number of the observation. Where the neighbours tell that it was `seq`, `prevHash` or
    `hash` that was changed, that is said; a change of anything else shows as content that does not match the hash.
    """

    def __init__(self, run_id: str | None = None) -> None:
        """`run_id` is the run that every entry must belong to."""
        self.checked = 0
        self._run_id = run_id
        self._faults: list[tuple[int, str]] = []
        self._missing: list[tuple[int, int]] = []
        self._next = 1
        self._stated: Json = GENESIS
        self._computed: str | None = GENESIS
        self._doubted = False

    def look(self, entry: Mapping[str, Json]) -> None:
        """Take the next entry."""
        self.checked += 1
        seq = self._number(entry)
        if self._run_id is not None and entry.get("runId") != self._run_id:
            self._fault(seq, f"observation {seq} belongs to another run: {entry.get('runId')}")
        try:
            computed = digest(entry)
        except ValueError:
            self._fault(seq, f"observation {seq} holds what JSON cannot: its hash cannot be computed")
            computed = None
        if seq < self._next:
            self._out_of_place(entry, seq, computed)
            return
        if seq > self._next:
            self._settle_doubt(None)
            self._missing.append((self._next, seq - 1))
            doubted = computed != entry.get("hash")
        else:
            doubted = self._link(entry, seq, computed)
        self._next, self._stated, self._computed = seq + 1, entry.get("hash"), computed
        self._doubted = doubted and computed is not None

    def verdict(self, head: Mapping[str, Json] | None = None) -> Verdict:
        """All faults, in the order of the trail. `head` is the run's record of number and hash of its newest."""
        last = self._next - 1
        if head is None:
            self._settle_doubt(None)
        else:
            named, value = head.get("seq"), head.get("hash")
            self._settle_doubt(value if named == last else None)
            if isinstance(named, int) and named > last:
                self._missing.append((last + 1, named))
            elif named != last:
                self._fault(last, f"observation {last} comes after the newest that the run names, {named}")
            elif value not in (self._stated, self._computed):
                self._fault(last, f"observation {last} is not the one that the run names as its newest: {_OTHER}")
        gone = [(first, _gone(first, to)) for first, to in self._missing]
        return Verdict(text for _, text in sorted([*self._faults, *gone], key=lambda fault: fault[0]))

    def _number(self, entry: Mapping[str, Json]) -> int:
        """The entry's number. One that is none, or was changed, counts as the number that its place gives it."""
        seq = entry.get("seq")
        if seq == self._next and type(seq) is int:
            return seq
        if _written_as(entry, seq=self._next):
            self._fault(self._next, f"observation {self._next}: its seq was changed, to {seq!r}")
            return self._next
        if type(seq) is not int or seq < 1:
            self._fault(self._next, f"where observation {self._next} belongs there is one with the seq {seq!r}")
            return self._next
        return seq

    def _out_of_place(self, entry: Mapping[str, Json], seq: int, computed: str | None) -> None:
        for place, (first, last) in enumerate(self._missing):
            if first <= seq <= last:
                rest = [(first, seq - 1), (seq + 1, last)]
                self._missing[place : place + 1] = [(low, high) for low, high in rest if low <= high]
                self._fault(seq, f"observation {seq} is out of order: it comes after {self._next - 1}")
                break
        else:
            self._fault(seq, f"observation {seq} is there twice")
        if computed is not None and computed != entry.get("hash"):
            self._fault(seq, f"observation {seq} was changed: its hash does not match its content")

    def _link(self, entry: Mapping[str, Json], seq: int, computed: str | None) -> bool:
        """Hold the entry against the one before it; whether its own content remains in doubt."""
        hash_changed = self._settle_doubt(entry.get("prevHash"))
        sound = computed == entry.get("hash")
        if hash_changed or entry.get("prevHash") == self._stated:
            return not sound
        if not sound and (
            _written_as(entry, prevHash=self._stated) or _written_as(entry, prevHash=self._computed)
        ):
            self._fault(seq, f"observation {seq}: its prevHash was changed")
            return False
        self._fault(seq, f"observation {seq} does not follow the one before it")
        return not sound

    def _settle_doubt(self, successor: Json) -> bool:
        """Say what was changed in the entry before, now that the hash its successor knows it by is known.

        True if it was its hash alone.
        """
        if not self._doubted:
            return False
        self._doubted = False
        last = self._next - 1
        if successor == self._computed:
            self._fault(last, f"observation {last}: its hash was changed, its content was not")
            return True
        self._fault(last, f"observation {last} was changed: its hash does not match its content")
        return False

    def _fault(self, seq: int, text: str) -> None:
        self._faults.append((seq, text))


def verify(
    entries: Iterable[Mapping[str, Json]], head: Mapping[str, Json] | None = None, run_id: str | None = None
) -> Verdict:
    """Recompute a whole chain, given in order from the first observation.

    `head` is the run's own record of number and hash of the newest one; with it a cut tail is found too.
    """
    check = ChainCheck(run_id)
    for entry in entries:
        check.look(entry)
    return check.verdict(head)


_OTHER: Final = "its hash is another, so the trail was written anew from some entry on"


def _gone(first: int, last: int) -> str:
    return f"observation {first} is missing" if first == last else f"observations {first} to {last} are missing"


def _written_as(entry: Mapping[str, Json], **fields: Json) -> bool:
    """Whether the entry's hash is that of the entry with these fields."""
    try:
        return digest({**entry, **fields}) == entry.get("hash")
    except ValueError:
        return False
