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

from agent.models import GENESIS, AuditHead, Json, Observation, Run

__all__ = ["Verdict", "digest", "iso", "observe", "public_observation", "verify"]

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


def verify(entries: Iterable[Mapping[str, Json]], head: Mapping[str, Json] | None = None) -> Verdict:
    """Recompute a whole chain, given in order from the first observation.

    `head` is the run's own record of number and hash of the newest one; with it a cut tail is found too.
    """
    faults: list[str] = []
    expected_seq, previous = 1, GENESIS
    for entry in entries:
        seq = entry.get("seq")
        if seq != expected_seq:
            faults.append(f"observation {expected_seq} is missing or out of order: found {seq}")
        elif entry.get("prevHash") != previous:
            faults.append(f"observation {seq} does not follow the one before it")
        if digest(entry) != entry.get("hash"):
            faults.append(f"observation {seq} was changed: its hash does not match its content")
        expected_seq = (seq if isinstance(seq, int) else expected_seq) + 1
        previous = str(entry.get("hash"))
    if head is not None and (head.get("seq"), head.get("hash")) != (expected_seq - 1, previous):
        faults.append(f"the run says its newest observation is {head.get('seq')}; the trail does not end there")
    return Verdict(faults)
