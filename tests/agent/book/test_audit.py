"""The trail is chained: whoever edits, drops or reorders an entry is found out."""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.book.audit import iso, observe, public_observation, verify
from agent.book.models import GENESIS, Json, Run
from tests.agent.builders import NOW, a_run

Entry = dict[str, Json]


def trail(length: int = 4) -> tuple[Run, list[Entry]]:
    run = a_run()
    for number in range(length):
        run = observe(
            run, NOW + timedelta(seconds=number), "job_log", f"line {number}", {"n": number, "loss": 0.5}
        )
    return run, [public_observation(entry) for entry in run.outbox.observations]


def head(run: Run) -> Entry:
    return {"seq": run.audit.seq, "hash": run.audit.hash}


def test_a_trail_as_written_verifies() -> None:
    """Numbered from 1, each chained to the one before, the head pointing at the last."""
    run, entries = trail()

    assert [entry["seq"] for entry in entries] == [1, 2, 3, 4]
    assert entries[0]["prevHash"] == GENESIS
    assert not verify(entries, head(run))


def test_a_stranger_can_recompute_the_hash() -> None:
    """SHA-256 of the canonical JSON without `hash`: nothing of ours is needed."""
    _, entries = trail(1)
    body = {key: value for key, value in json.loads(json.dumps(entries[0])).items() if key != "hash"}
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    assert entries[0]["hash"] == hashlib.sha256(text.encode()).hexdigest()


@given(st.integers(0, 3), st.sampled_from(["content", "type", "timestamp", "data", "runId", "prevHash", "hash"]))
def test_an_edited_entry_is_found(index: int, field: str) -> None:
    """Whatever is changed, and wherever."""
    run, entries = trail()
    entries[index] = {**entries[index], field: {"n": 99} if field == "data" else "forged"}

    assert verify(entries, head(run))


@pytest.mark.parametrize("index", range(4))
def test_a_dropped_entry_is_found(index: int) -> None:
    """In the middle by its number, at the end by the run's own head."""
    run, entries = trail()
    del entries[index]

    assert verify(entries, head(run))


def test_two_swapped_entries_are_found() -> None:
    """Order is part of what is chained."""
    run, entries = trail()
    entries[1], entries[2] = entries[2], entries[1]

    assert verify(entries, head(run))


def test_a_forger_who_recomputes_the_rest_is_found_by_the_head() -> None:
    """A chain that is whole in itself but not this run's."""
    run, _ = trail()
    other, forged = trail(3)

    assert not verify(forged, head(other))
    assert verify(forged, head(run))


def test_an_empty_trail_needs_an_empty_head() -> None:
    """Dropping everything is found as well."""
    run, _ = trail()

    assert not verify([])
    assert verify([], head(run))


def test_prose_is_cut_to_a_limit() -> None:
    """A vendor's megabyte does not become ours."""
    run = observe(a_run(), NOW, "error", "x" * 10_000)

    assert len(run.outbox.observations[0].content) == 2_000


def test_times_are_utc_with_milliseconds() -> None:
    """What is hashed is what BSON keeps."""
    assert iso(NOW + timedelta(milliseconds=7)) == "2026-11-21T08:00:00.007Z"
