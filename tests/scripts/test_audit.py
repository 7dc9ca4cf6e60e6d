"""The audit of a trail as the API sends it."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from pydantic import JsonValue

from agent.audit import digest
from agent.models import GENESIS
from scripts.audit import audit
from scripts.shapes import Chain
from tests.scripts.samples import RUN_ID, observation_json, run_json

Entries = list[dict[str, JsonValue]]


def sealed(length: int) -> Entries:
    """A trail that holds."""
    entries: Entries = []
    previous: JsonValue = GENESIS
    for seq in range(1, length + 1):
        entry = observation_json(seq, "quote", f"entry {seq}", price=1.4, whole=1.0) | {"prevHash": previous}
        previous = entry["hash"] = digest(entry)
        entries.append(entry)
    return entries


def chain(entries: Entries, seq: int, last: JsonValue) -> Chain:
    """The trail of a run that names this end, after a journey as JSON."""
    text = json.dumps(
        {
            "run": run_json(audit={"seq": seq, "hash": last}),
            "observations": entries,
            "page": {"firstSeq": 1, "lastSeq": seq, "total": seq},
        }
    )
    return Chain.model_validate(json.loads(text))


def test_a_trail_that_was_not_touched_verifies() -> None:
    """Numbers survive JSON, so the hashes can be computed from an answer alone."""
    entries = sealed(4)
    result = audit(chain(entries, 4, entries[-1]["hash"]))

    assert (result.checked, result.faults) == (4, ())


def edited(entries: Entries) -> None:
    entries[1]["content"] = "entry 2, paid to somebody else"


def dropped(entries: Entries) -> None:
    del entries[1]


def reordered(entries: Entries) -> None:
    entries[1], entries[2] = entries[2], entries[1]


def cut(entries: Entries) -> None:
    del entries[-1]


def of_another_run(entries: Entries) -> None:
    for entry in entries:
        entry["runId"] = "f" * 24


def not_hashable(entries: Entries) -> None:
    entries[1]["content"] = "\ud800"


@pytest.mark.parametrize("tamper", [edited, dropped, reordered, cut, of_another_run, not_hashable])
def test_a_trail_that_was_touched_does_not_verify(tamper: Callable[[Entries], None]) -> None:
    """Edited, dropped, reordered, cut, swapped for another run's, or made such that hashing breaks."""
    entries = sealed(4)
    last = entries[-1]["hash"]
    tamper(entries)

    assert audit(chain(entries, 4, last)).faults != ()


def test_another_runs_trail_is_not_this_runs() -> None:
    """A whole and sound chain of some other run proves nothing about this one."""
    entries: Entries = []
    previous: JsonValue = GENESIS
    for seq in (1, 2):
        entry = observation_json(seq, "quote") | {"runId": "f" * 24, "prevHash": previous}
        previous = entry["hash"] = digest(entry)
        entries.append(entry)

    assert audit(chain(entries, 2, previous)).faults == (f"an observation belongs to another run: {'f' * 24}",)


def test_the_json_of_a_verdict_names_the_run() -> None:
    """For scripts."""
    entries = sealed(1)

    assert audit(chain(entries, 1, entries[0]["hash"])).as_json(RUN_ID) == {
        "runId": RUN_ID,
        "verified": True,
        "observations": 1,
        "faults": [],
    }
