"""Random schedules of several processes: no money is lost, every run ends, and the simulator is not blind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from unittest import mock

import mongomock
import pytest
from bson import ObjectId

from agent.book import booking, ledger
from agent.book.models import Job, Run, SignedAuthorization
from gpu_vendor_mock.faults import FaultName
from tests.sim import random_runs
from tests.sim.choices import Choices
from tests.sim.quick import quick_copies
from tests.sim.random_runs import hunt, play, shortest
from tests.sim.scheduler import Fate
from x402.wire import Receipt

AT_LEAST, AT_MOST = 200, 1_000
"""Schedules that are played here: so many, and more only until each fault was seen. `make sim` plays thousands."""


@pytest.fixture(scope="module")
def met() -> Counter[str]:
    """What the first schedules met, all of which must hold."""
    counts: Counter[str] = Counter()
    for seed in range(AT_MOST):
        if seed >= AT_LEAST and all(counts[f"vendor fault {fault}"] for fault in FaultName):
            break
        schedule = play(seed)
        assert schedule.reason is None, f"make sim SEEDS=1 FROM={seed}: {schedule.reason}"
        counts += schedule.counts
    return counts


def test_no_schedule_loses_money_and_every_run_ends(met: Counter[str]) -> None:
    """All three ways to end are among them, and money moved."""
    assert min(met["run completed"], met["run failed"], met["run cancelled"], met["settlements"]) > 10


@pytest.mark.parametrize("fate", Fate)
def test_every_fate_befalls_somebody(met: Counter[str], fate: Fate) -> None:
    assert sum(number for key, number in met.items() if key.endswith(f": {fate}")) > 0


@pytest.mark.parametrize("where", ["read", "write", "wire", "planner"])
def test_processes_die_before_and_after_every_kind_of_effect(met: Counter[str], where: str) -> None:
    assert met[f"{where}: {Fate.DIE}"] > 0
    assert met[f"{where}: {Fate.DIE_AFTER}"] > 0


def test_stale_workers_and_late_arrivals_are_met(met: Counter[str]) -> None:
    """A worker that slept through its lease, a request that comes after its sender gave up."""
    assert met["stale workers"] > 10
    assert met["wire adrift: goes on"] > 10
    assert met["write adrift: goes on"] > 10


@pytest.mark.parametrize("fault", FaultName)
def test_every_fault_of_a_vendor_happens(met: Counter[str], fault: FaultName) -> None:
    assert met[f"vendor fault {fault}"] > 0


@pytest.mark.parametrize("seed", [3, 77, 1234])
def test_the_same_seed_gives_the_same_schedule(seed: int) -> None:
    first, second = play(seed), play(seed)

    assert first.trace == second.trace
    assert (first.audit, first.counts) == (second.audit, second.counts)


def test_a_schedule_depends_on_nothing_of_its_process() -> None:
    """Another process, with another order of everything that is hashed, sees the same traces and audit hashes."""
    seeds = range(40, 60)
    script = (
        "import json; from tests.sim.random_runs import play; "
        f"print(json.dumps([[p.fingerprint, p.audit] for p in map(play, {seeds!r})]))"
    )
    told = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONHASHSEED": "4711"},
        capture_output=True,
        check=True,
        timeout=60,
    )

    here = [[schedule.fingerprint, schedule.audit] for schedule in map(play, seeds)]
    assert json.loads(told.stdout) == here


def _freed_at_once(
    run: Run, job: Job, signed: SignedAuthorization, receipt: Receipt | None, why: str, now: datetime
) -> Run:
    """A deliberate fault: the vendor's no frees the money, although it holds an authorization that it can cash."""
    if transaction := booking.proof(receipt, signed):
        return booking._settle(run, job, signed, transaction, now)
    return ledger._close(run, str(job.id), spent=0)


def test_a_fault_of_ours_is_found_with_its_shortest_prefix() -> None:
    """No shorter prefix fails, and the one that is named does, again and again."""
    with mock.patch.object(booking, "_settled_or_held", _freed_at_once):
        failure = hunt(range(300))
        assert failure is not None
        assert all(play(failure.seed, shorter).reason is None for shorter in range(failure.prefix))
        again = play(failure.seed, failure.prefix)

    assert (again.reason, again.trace) == (failure.reason, failure.trace)
    assert failure.reason.startswith("Wrong: ")
    assert str(failure).endswith(failure.reason)
    assert play(failure.seed).reason is None


def test_what_cannot_be_repeated_is_said_to_be_so() -> None:
    """A schedule that fails once and holds when it is played again is a fault of the simulator."""
    held = play(1)
    with pytest.raises(AssertionError, match="not deterministic"):
        shortest(
            random_runs.Schedule(1, "Wrong: once", held.trace, "", held.decisions, held.departures[:3], Counter())
        )


def test_silenced_chance_takes_the_harmless_option() -> None:
    free, bound = Choices(5), Choices(5, 20)
    first = [free.pick("abcdef") for _ in range(40)]
    second = [bound.pick("abcdef") for _ in range(40)]

    assert second == [*first[:20], *"a" * 20]
    assert bound.silent
    assert not free.silent
    assert free.departures[: len(bound.departures)] == bound.departures


def test_the_embedded_store_is_the_same_with_quick_copies() -> None:
    """What is read is what a slow one would have given, and shares nothing with what is kept."""
    slowly = _stored_and_read()
    with quick_copies():
        quickly = _stored_and_read()

    assert repr(quickly) == repr(slowly)


def _stored_and_read() -> list[object]:
    moment = datetime(2026, 11, 21, 9, 0, 0, 123_456, tzinfo=timezone(timedelta(hours=2)))
    document: dict[str, Any] = {
        "_id": ObjectId("0" * 24),
        "at": moment,
        "bare": datetime(2026, 1, 1, tzinfo=UTC).replace(tzinfo=None),
        "deep": {"list": [1, {"two": [2.5, None, True]}, (moment, "x")], "empty": {}},
    }
    there: Any = mongomock.MongoClient(tz_aware=True)["db"]["c"]
    there.insert_one(document)
    document["deep"]["list"].append("later")
    first = there.find_one({"at": {"$lte": moment}})
    first["deep"]["empty"]["changed"] = 1
    there.update_one({"_id": first["_id"]}, {"$set": {"deep.list": [moment]}, "$inc": {"n": 2}})
    there.replace_one({"_id": "new", "rev": {"$lt": 1}}, {"_id": "new", "rev": 1}, upsert=True)
    return [first, *there.find({}, sort=[("n", -1)])]
