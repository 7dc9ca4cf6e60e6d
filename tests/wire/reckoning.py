"""When all is over: what we say happened, held against the vendors' journal and against what clients were told."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import httpx
from pydantic import JsonValue

from gpu_vendor_mock.settings import LOCAL_SECRET
from scripts.audit.export import evidence_of
from scripts.audit.judge import judge
from scripts.audit.money import Spent
from scripts.audit.vendor_journal import Journal, against_vendors
from scripts.client.api import Client
from scripts.client.shapes import Records, read_exactly
from tests.wire.fleet import TOKEN
from tests.wire.traffic import Answered, Traffic

__all__ = ["Reckoning", "reckon"]


@dataclass(frozen=True, slots=True)
class Reckoning:
    """How much was checked and found right."""

    ended: Counter[str]
    settlements: int
    sent_again: int
    observations: int
    answers: int


def reckon(traffic: Traffic, api: str, vendors: str) -> Reckoning:
    """Check everything that must hold once every run has ended. `api` and `vendors` are addresses."""
    assert traffic.strange == [], "answers that no client can do anything with"
    for key, made in traffic.started.items():
        assert len(made) == 1, f"{key} was started more than once: {made}"
    with Client(api, TOKEN) as client:
        run_ids = sorted(run_id for run_id, _ in client.every_run())
        assert run_ids == sorted(run_id for made in traffic.started.values() for run_id in made)
        records, observations, spent = [], 0, Spent()
        for run_id in run_ids:
            reply = client.snapshot(run_id)
            found = reply.value
            trail = list(client.trail(run_id, found.run.audit.seq))
            assert judge(evidence_of(reply.text), trail, spent).faults == ()
            told = [each for each in traffic.answered if each.run_id == run_id]
            _nothing_answered_is_lost(found, trail, told, traffic.waiting)
            records.append(found)
            observations += len(trail)
    settlements, presented = _money(records, traffic.waiting, vendors)
    return Reckoning(
        ended=Counter(each.run.status for each in records),
        settlements=settlements,
        sent_again=presented - settlements,
        observations=observations,
        answers=len(traffic.answered),
    )


def _nothing_answered_is_lost(
    records: Records, trail: list[dict[str, JsonValue]], told: list[Answered], waiting: set[str]
) -> None:
    """Each state that a client was shown is part of the run's history; an end that it was shown is the end."""
    run = records.run
    hashes = {entry["seq"]: entry["hash"] for entry in trail}
    for each in told:
        assert hashes.get(each.seq) == each.hash, f"run {run.id}: what was answered about {each.seq} is gone"
        assert each.tick <= run.tick
        assert each.ended in (None, run.status)
        if each.cancelled:  # only a tick that was under way by then may still end it otherwise
            assert run.status == "cancelled" or run.tick == each.tick or run.id in waiting


def _money(records: list[Records], waiting: set[str], vendors: str) -> tuple[int, int]:
    """Settlements and payments are the same, one for one, and nothing was signed or done twice.

    Only a payment of a run that was cancelled may be unclear, since it is not sent again: until it has expired it
    is out, then it counts as spent, and the vendor has it or not. Returns how many settlements there were, and how
    often a payment was sent.
    """
    open_still = [each.run for each in records if each.run.reservations or each.run.budget_reserved]
    assert {each.id for each in open_still} == {each.run.id for each in records if each.run.status == "running"}
    assert {each.id for each in open_still} <= waiting
    payments = [payment for each in records for payment in each.payments]
    unclear = {
        payment.id
        for each in records
        for payment in each.payments
        if (each.run.status, payment.status) in (("running", "pending"), ("cancelled", "unresolved"))
    }
    assert {each.status for each in payments if each.id not in unclear} <= {"completed"}

    text = httpx.get(
        f"{vendors}/journal", headers={"authorization": f"Bearer {LOCAL_SECRET}"}, trust_env=False
    ).text
    journal: dict[str, list[dict[str, Any]]] = httpx.Response(200, text=text).json()
    settled = {
        (each["key"], each["transaction"], each["nonce"], each["amount"]) for each in journal["settlements"]
    }
    ours = {
        (each.id, each.transaction, each.nonce, each.amount) for each in payments if each.status == "completed"
    }
    assert ours <= settled
    assert {each[0] for each in settled - ours} <= unclear
    nonces = {each.nonce for each in payments if each.id in unclear}
    known = [each for each in read_exactly(Journal, text).settlements if each.nonce not in nonces]
    assert against_vendors([each for each in payments if each.id not in unclear], known) == ()
    for what in ("key", "nonce", "transaction"):
        assert len({each[what] for each in journal["settlements"]}) == len(journal["settlements"])
    signed = {(each["key"], each["sha256"]) for each in journal["payments"]}
    assert len(signed) == len({key for key, _ in signed}), "a purchase was signed twice"
    done = Counter(each["key"] for each in journal["jobs"])
    assert set(done.values()) == {1}, "a purchase was done twice"
    assert set(done) == {each["key"] for each in journal["settlements"]}
    assert journal["refusals"] == []
    return len(settled), len(journal["payments"])
