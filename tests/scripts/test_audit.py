"""The audit of a run as the API shows it: what holds, and that whatever is touched is found and named."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.book.audit import digest
from agent.book.models import GENESIS
from scripts.audit.export import evidence_of
from scripts.audit.judge import MOST_FAULTS, judge
from scripts.audit.money import Spent
from tests.scripts.evidence import STORIES, Shown, judged, shown
from tests.scripts.samples import RUN_ID, status_json

Entry = dict[str, Any]
Place = tuple[Any, Any]

unhurried = settings(deadline=None)
"""The first example of a story waits for its run to be lived."""

FAILED_OVER = "completed after a failure"
stories = st.sampled_from([*STORIES])
paid = st.sampled_from([FAILED_OVER, "written off", "not clear yet"])


@pytest.mark.parametrize("story", STORIES)
def test_a_run_that_was_not_touched_holds(story: str) -> None:
    """Paid, written off, never ordered, still open: no rule finds fault with what really happens."""
    seen = shown(story)

    assert judged(seen).faults == ()
    assert judged(seen).observations == seen.run["audit"]["seq"]


def test_the_json_of_a_verdict_names_the_run() -> None:
    """For scripts."""
    assert judged(shown("just started")).as_json() == {
        "runId": "000000000000000000000001",
        "verified": True,
        "observations": 1,
        "payments": 0,
        "jobs": 0,
        "faults": [],
    }


def leaves(value: Any) -> list[Place]:
    """Each plain value inside, as the object or list that holds it and its place there."""
    inside = list(value.items() if isinstance(value, dict) else enumerate(value))
    deeper = [leaf for _, each in inside if isinstance(each, dict | list) for leaf in leaves(each)]
    return [(value, place) for place, each in inside if not isinstance(each, dict | list)] + deeper


def flipped(value: Any, bit: int, at: int) -> Any:
    """The value with one bit of one byte turned round, or the nearest thing to that."""
    if isinstance(value, bool) or value is None:
        return not value
    if isinstance(value, int):
        return value ^ (1 << bit)
    if isinstance(value, float):
        return value + 2.0**-bit
    at = at % max(len(value), 1)
    return f"{value[:at]}{chr(ord(value[at : at + 1] or 'a') ^ (1 << bit))}{value[at + 1 :]}"


def names(faults: tuple[str, ...], number: int) -> bool:
    """Whether one of the findings is about this observation."""
    for first, last in re.findall(r"observations (\d+) to (\d+) are missing", "\n".join(faults)):
        if int(first) <= number <= int(last):
            return True
    return any(re.search(rf"observation {number}\b", fault) for fault in faults)


@unhurried
@given(stories, st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 6), st.integers(0, 200))
def test_a_flipped_bit_is_found_and_the_observation_named(
    story: str, index: int, leaf: int, bit: int, at: int
) -> None:
    """In content, data, type, timestamp, run, number or hashes, at any depth."""
    seen = shown(story)
    number = index % len(seen.trail) + 1
    places = leaves(seen.trail[number - 1])
    holder, place = places[leaf % len(places)]
    holder[place] = flipped(holder[place], bit, at)

    assert names(judged(seen).faults, number)


@pytest.mark.parametrize("field", ["seq", "prevHash", "hash"])
@pytest.mark.parametrize("number", [1, 4, 28])
def test_a_changed_link_is_named_by_its_field(field: str, number: int) -> None:
    """The neighbours still tell what it was, so the finding is this one and no other of the chain's."""
    seen = shown(FAILED_OVER)
    entry = seen.trail[number - 1]
    entry[field] = flipped(entry[field], 1, 20)

    (finding,) = (fault for fault in judged(seen).faults if fault.startswith(f"observation {number}:"))
    assert f"its {field} was changed" in finding


@unhurried
@given(stories, st.integers(0, 10**6), st.booleans())
def test_a_number_changed_in_the_store_leaves_a_hole_that_is_named(story: str, index: int, taken: bool) -> None:
    """The store sorts by number and has one of each: the entry is gone from its place, or has ousted another."""
    seen = shown(story)
    number = index % len(seen.trail) + 1
    seen.trail[number - 1]["seq"] = 1 + number % len(seen.trail) if taken else len(seen.trail) + 7
    seen.answer["observations"] = [*{each["seq"]: each for each in sorted(seen.trail, key=_seq)}.values()]
    if len(seen.trail) == 1 and taken:
        return

    assert names(judged(seen).faults, number)


def _seq(entry: Entry) -> int:
    return int(entry["seq"])


@unhurried
@given(stories, st.integers(0, 10**6))
def test_a_dropped_observation_is_named(story: str, index: int) -> None:
    """First, last or in the middle."""
    seen = shown(story)
    number = index % len(seen.trail) + 1
    del seen.trail[number - 1]

    assert f"observation {number} is missing" in judged(seen).faults


@unhurried
@given(stories, st.integers(0, 10**6))
def test_a_cut_tail_is_named(story: str, index: int) -> None:
    """From the first entry that is gone to the last."""
    seen = shown(story)
    length = len(seen.trail)
    kept = index % length
    del seen.trail[kept:]

    assert all(names(judged(seen).faults, number) for number in range(kept + 1, length + 1))


@unhurried
@given(st.integers(0, 27), st.integers(0, 27))
def test_two_swapped_observations_are_named(one: int, other: int) -> None:
    """Neighbours or not."""
    seen = shown(FAILED_OVER)
    seen.trail[one], seen.trail[other] = seen.trail[other], seen.trail[one]
    faults = judged(seen).faults

    assert (faults == ()) == (one == other)
    assert one == other or names(faults, min(one, other) + 1)


@unhurried
@given(stories, st.integers(0, 10**6))
def test_a_repeated_observation_is_named(story: str, index: int) -> None:
    """Wherever it stands a second time, all of it genuine."""
    seen = shown(story)
    number = index % len(seen.trail) + 1
    seen.trail.append(dict(seen.trail[number - 1]))

    assert f"observation {number} is there twice" in judged(seen).faults


def forged(number: int, previous: str, run_id: str) -> Entry:
    """An entry that is sound in itself."""
    entry: Entry = {"runId": run_id, "seq": number, "type": "error", "content": "forged", "data": {}}
    entry |= {"timestamp": "2026-11-21T08:00:00.000Z", "prevHash": previous}
    return entry | {"hash": digest(entry)}


@unhurried
@given(stories, st.integers(0, 10**6))
def test_a_forged_observation_is_named(story: str, index: int) -> None:
    """Number, link and hash are right; there is only one too many."""
    seen = shown(story)
    at = index % (len(seen.trail) + 1)
    previous = seen.trail[at - 1]["hash"] if at else GENESIS
    seen.trail.insert(at, forged(at + 1, previous, seen.run["_id"]))

    assert names(judged(seen).faults, at + 1)


def rewritten(seen: Shown, index: int) -> None:
    """Change an entry and compute every hash after it anew."""
    seen.trail[index]["content"] += " (so they say)"
    for number in range(index, len(seen.trail)):
        entry = seen.trail[number]
        entry["prevHash"] = seen.trail[number - 1]["hash"] if number else GENESIS
        entry["hash"] = digest(entry)


@unhurried
@given(stories, st.integers(0, 10**6))
def test_a_chain_written_anew_ends_elsewhere_than_the_run_says(story: str, index: int) -> None:
    """Sound in itself from the first entry to the last, which is the one that is named."""
    seen = shown(story)
    rewritten(seen, index % len(seen.trail))

    (fault,) = judged(seen).faults
    assert fault.startswith(f"observation {len(seen.trail)} is not the one that the run names as its newest")


def test_who_can_write_the_run_as_well_is_found_by_an_earlier_export_alone() -> None:
    """What docs/audit.md admits: a chain and its head, both written anew, are a sound trail."""
    seen, before = shown(FAILED_OVER), shown(FAILED_OVER).trail
    rewritten(seen, 20)
    seen.run["audit"]["hash"] = seen.trail[-1]["hash"]

    assert judged(seen).faults == ()
    assert [entry["hash"] for entry in seen.trail[:20]] == [entry["hash"] for entry in before[:20]]
    assert seen.trail[20]["hash"] != before[20]["hash"]


@unhurried
@given(stories, st.sampled_from(["seq", "hash"]), st.integers(0, 6))
def test_a_changed_head_is_found(story: str, field: str, bit: int) -> None:
    """The run's own record of where its trail ends."""
    seen = shown(story)
    head = seen.run["audit"]
    head[field] = flipped(head[field], bit, 3)

    assert names(judged(seen).faults, min(len(seen.trail), seen.run["audit"]["seq"] or 1)) or field == "seq"
    assert judged(seen).faults


def test_another_runs_trail_is_not_this_runs() -> None:
    """A whole and sound chain of some other run proves nothing about this one."""
    seen = shown(FAILED_OVER)
    seen.run["_id"] = "f" * 24

    assert f"observation 1 belongs to another run: {'0' * 23}1" in judged(seen).faults


def test_an_entry_that_cannot_be_hashed_is_named() -> None:
    """Half a surrogate pair travels through JSON and has no UTF-8."""
    seen = shown(FAILED_OVER)
    seen.trail[4]["content"] = "\ud800"

    assert "observation 5 holds what JSON cannot: its hash cannot be computed" in judged(seen).faults


PAYMENT_FIELDS: dict[str, Any] = {
    "runId": "f" * 24,
    "jobId": "f" * 24,
    "vendorId": "somebody",
    "amount": 0.5,
    "currency": "DAI",
    "network": "eip155:1",
    "asset": "0x00",
    "payer": "0x00",
    "payTo": "0x00",
    "nonce": "0x00",
    "x402TxId": "0x00",
    "validBefore": "2030-01-01T00:00:00.000Z",
}


@unhurried
@given(paid, st.integers(0, 1), st.sampled_from([*PAYMENT_FIELDS]))
def test_a_changed_payment_is_named(story: str, index: int, field: str) -> None:
    """Whatever the trail says of it, or the run, or its job."""
    seen = shown(story)
    payments = seen.answer["payments"]
    payment = payments[index % len(payments)]
    payment[field] = PAYMENT_FIELDS[field]

    assert any(f"payment {payment['_id']}" in fault and field in _meant(fault) for fault in judged(seen).faults)


def _meant(fault: str) -> str:
    """The trail has its own words for two fields."""
    return fault.replace("amountUsd", "amount").replace("transaction", "x402TxId")


@unhurried
@given(paid, st.integers(0, 1), st.sampled_from(["pending", "completed", "unresolved", "failed"]))
def test_a_changed_status_of_a_payment_is_named(story: str, index: int, said: str) -> None:
    """Written off or settled or open: it makes a difference of money."""
    seen = shown(story)
    payments = seen.answer["payments"]
    payment = payments[index % len(payments)]
    unchanged = payment["status"] == said
    payment["status"] = said

    found = [fault for fault in judged(seen).faults if f"payment {payment['_id']}: status is {said}" in fault]
    assert bool(found) is not unchanged


@pytest.mark.parametrize("story", [FAILED_OVER, "written off", "not clear yet"])
def test_a_payment_that_is_gone_is_named_by_its_events(story: str) -> None:
    """No payment_event without a payment."""
    seen = shown(story)
    lost = seen.answer["payments"].pop(0)
    events = [entry for entry in seen.trail if entry["data"].get("event") == "authorized"]

    expected = f"observation {events[0]['seq']} (authorized): there is no payment for job {lost['jobId']}"
    assert expected in judged(seen).faults


@pytest.mark.parametrize("field", ["budgetTotal", "budgetRemaining", "budgetReserved", "budgetSpent"])
@pytest.mark.parametrize("story", STORIES)
def test_a_changed_budget_is_named(story: str, field: str) -> None:
    """A figure alone breaks a sum; total and remaining raised together break what the trail began with."""
    seen = shown(story)
    seen.run[field] += 0.25

    assert judged(seen).faults

    seen.run["budgetRemaining" if field == "budgetTotal" else "budgetTotal"] += 0.25
    assert any(field in fault or "budgetTotal" in fault for fault in judged(seen).faults)


def changed(part: str, **fields: Any) -> Callable[[Shown], None]:
    """The first payment or job, or the run, with these fields."""

    def change(seen: Shown) -> None:
        target = seen.answer[part] if part == "run" else seen.answer[part][0]
        target.update(fields)

    return change


def without_jobs(seen: Shown) -> None:
    seen.answer["jobs"].clear()


def without_reservations(seen: Shown) -> None:
    seen.run["reservations"].clear()


def with_another_reservation(seen: Shown) -> None:
    seen.run["reservations"]["e" * 24] = {"vendorId": "v", "amount": 0, "authorized": True}


def with_another_amount_reserved(seen: Shown) -> None:
    for each in seen.run["reservations"].values():
        each["amount"] = 0.1


def with_nothing_authorized(seen: Shown) -> None:
    for each in seen.run["reservations"].values():
        each["authorized"] = False


def with_a_reservation_for_another(seen: Shown) -> None:
    for each in seen.run["reservations"].values():
        each["vendorId"] = "v"


def with_a_reservation_kept(seen: Shown) -> None:
    job = seen.answer["jobs"][0]
    seen.run["reservations"][job["_id"]] = {"vendorId": job["vendorId"], "amount": 1.4, "authorized": True}


RECORDS: list[tuple[str, Callable[[Shown], None], str]] = [
    (FAILED_OVER, changed("jobs", vendorId="v"), "vendorId is 'gpu_vendor_1', that of job"),
    (FAILED_OVER, changed("jobs", vendorId="v"), "vendorId is gpu_vendor_1, its job's is v"),
    (FAILED_OVER, changed("jobs", status="completed"), ": status is completed"),
    (FAILED_OVER, changed("jobs", status="running"), ": status is running, and the run has ended"),
    (FAILED_OVER, changed("jobs", actualCost=1), "amount is 1.4 USD, its job's actualCost is 1 USD"),
    (FAILED_OVER, changed("jobs", actualCost=None), "actualCost is not known yet, and the run does not hold"),
    (FAILED_OVER, changed("jobs", vendorJobId="j"), "(job_submitted): vendorJobId is 'job_"),
    (FAILED_OVER, changed("jobs", vendorJobId=None), "vendorJobId is None, and the trail has 1 job_submitted"),
    (FAILED_OVER, changed("jobs", runId="f" * 24), f": runId is {'f' * 24}"),
    (FAILED_OVER, changed("payments", _id="f" * 24), "and a payment has the id of its job"),
    (FAILED_OVER, changed("run", goal="Mine coins"), "goal is 'Fine-tune tiny-llm', the run's goal is 'Mine"),
    (FAILED_OVER, changed("run", nextTickAt="2026-11-21T08:00:00.000Z"), "its nextTickAt is 2026"),
    (FAILED_OVER, changed("run", completedAt=None), "its completedAt is None"),
    (FAILED_OVER, changed("run", status="failed"), "(run_completed): the run's status is failed"),
    (FAILED_OVER, without_jobs, "does not exist"),
    (FAILED_OVER, with_a_reservation_kept, "the run has ended and still holds a reservation for job"),
    (FAILED_OVER, with_a_reservation_kept, "and its reservation is still there"),
    (FAILED_OVER, with_a_reservation_kept, "(settled): the run still holds a reservation for job"),
    ("overcharged, nothing signed", changed("jobs", actualCost=1.4), "and there is no payment"),
    ("not clear yet", without_reservations, "it is pending, and no reservation holds its money"),
    ("not clear yet", without_reservations, "(reserved): the run holds no reservation for job"),
    ("not clear yet", with_another_reservation, f"the reservation for job {'e' * 24}: there is no such job"),
    ("not clear yet", with_another_reservation, f"the reservation for job {'e' * 24} is nowhere in the trail"),
    ("not clear yet", with_another_reservation, "an authorization is out, and there is no pending payment"),
    ("not clear yet", with_another_amount_reserved, "amount is 1.4 USD, only 0.1 USD were reserved"),
    ("not clear yet", with_another_amount_reserved, "amountUsd is '1.4', that of the run's reservation is '0.1'"),
    ("not clear yet", with_nothing_authorized, "it is pending, and its reservation has no authorization"),
    ("not clear yet", with_a_reservation_for_another, "vendorId is v, the job's is gpu_vendor_1"),
    ("just started", changed("run", budgetTotal=6, budgetRemaining=6), "budgetTotalUsd is '5', the run's"),
    ("just started", changed("run", status="cancelled"), "and the trail tells of 0 ends"),
]


@pytest.mark.parametrize(("story", "tamper", "finding"), RECORDS)
def test_each_rule_of_the_records_finds_what_breaks_it(
    story: str, tamper: Callable[[Shown], None], finding: str
) -> None:
    """One break, and the sentence that names it."""
    seen = shown(story)
    tamper(seen)

    assert any(finding in fault for fault in judged(seen).faults), judged(seen).faults


def resealed(seen: Shown) -> None:
    """Make chain and head sound again, so that the rules about the trail's words are alone."""
    for number, entry in enumerate(seen.trail, start=1):
        entry["seq"] = number
        entry["prevHash"] = seen.trail[number - 2]["hash"] if number > 1 else GENESIS
        entry["hash"] = digest(entry)
    seen.run["audit"] = {"seq": len(seen.trail), "hash": seen.trail[-1]["hash"]}


def events(seen: Shown, name: str) -> list[Entry]:
    """The observations of this event or type."""
    return [entry for entry in seen.trail if name in (entry["type"], entry["data"].get("event"))]


def untold(name: str) -> Callable[[Shown], None]:
    def change(seen: Shown) -> None:
        seen.trail.remove(events(seen, name)[0])

    return change


def told_twice(name: str) -> Callable[[Shown], None]:
    def change(seen: Shown) -> None:
        first = events(seen, name)[0]
        seen.trail.insert(seen.trail.index(first), dict(first))

    return change


def told_otherwise(name: str, **data: Any) -> Callable[[Shown], None]:
    def change(seen: Shown) -> None:
        events(seen, name)[0]["data"].update(data)

    return change


def moved_to_the_front(name: str) -> Callable[[Shown], None]:
    def change(seen: Shown) -> None:
        first = events(seen, name)[0]
        seen.trail.remove(first)
        seen.trail.insert(1, first)

    return change


WORDS: list[tuple[str, Callable[[Shown], None], str]] = [
    (FAILED_OVER, untold("run_started"), "the trail has 0 run_started"),
    (FAILED_OVER, untold("reserved"), "the trail has 0 'reserved' for job"),
    (FAILED_OVER, untold("authorized"), "status is completed, and the trail has 0 'authorized' for it"),
    (FAILED_OVER, untold("settled"), "status is completed, and the trail has 0 'settled' for it"),
    (FAILED_OVER, untold("settled"), "the run's budgetSpent is 3.2 USD, the trail adds up to 1.8 USD"),
    (FAILED_OVER, untold("job_failed"), "and the trail has 0 job_failed for it"),
    (FAILED_OVER, untold("job_completed"), "and the trail has 0 job_completed for it"),
    (FAILED_OVER, untold("run_completed"), "the run's status is completed, and the trail tells of 0 ends"),
    (FAILED_OVER, moved_to_the_front("run_completed"), "the trail goes on after the run's end"),
    (FAILED_OVER, told_twice("reserved"), "the trail has 2 'reserved' for job"),
    (FAILED_OVER, told_twice("settled"), "the money was no longer reserved after observation"),
    (FAILED_OVER, told_otherwise("authorized", amountUsd="2"), "(authorized): amountUsd is above what"),
    (FAILED_OVER, told_otherwise("settled", amountUsd="1"), "(settled): amountUsd is '1', that of payment"),
    (
        FAILED_OVER,
        told_otherwise("settled", amountUsd="a lot"),
        "(settled): amountUsd is 'a lot', that of payment",
    ),
    (FAILED_OVER, told_otherwise("settled", amountUsd=1.4), "(settled): amountUsd is 1.4, that of payment"),
    (FAILED_OVER, told_otherwise("settled", transaction="0x"), "(settled): transaction is '0x', that of payment"),
    (FAILED_OVER, told_otherwise("settled", event="gift"), "(gift): there is no such payment_event"),
    (FAILED_OVER, told_otherwise("settled", jobId="f" * 24), f"(settled): there is no payment for job {'f' * 24}"),
    (FAILED_OVER, told_otherwise("reserved", vendorId="v"), "(reserved): vendorId is 'v', that of job"),
    (FAILED_OVER, told_otherwise("run_completed", budgetSpentUsd="0"), "budgetSpentUsd is '0', its budgetSpent"),
    ("written off", untold("unresolved"), "status is unresolved, and the trail has 0 'unresolved' for it"),
    ("written off", told_otherwise("held", jobId="f" * 24), f"(held): there is no payment for job {'f' * 24}"),
    ("overcharged, nothing signed", untold("released"), "and nothing closed it"),
    ("not clear yet", untold("reserved"), "is nowhere in the trail"),
    ("not clear yet", untold("reserved"), "the run's budgetReserved is 1.4 USD, the trail adds up to 0 USD"),
]


@pytest.mark.parametrize(("story", "tamper", "finding"), WORDS)
def test_each_rule_of_the_trails_words_finds_what_breaks_it(
    story: str, tamper: Callable[[Shown], None], finding: str
) -> None:
    """A trail that is sound as a chain and says something else than the records."""
    seen = shown(story)
    tamper(seen)
    resealed(seen)

    assert any(finding in fault for fault in judged(seen).faults), judged(seen).faults


def test_data_of_any_shape_is_judged_and_breaks_nothing() -> None:
    """A forger writes what he likes."""
    shapes: list[Any] = [
        None,
        [],
        "text",
        {"event": ["settled"], "jobId": {}},
        {"event": "settled", "jobId": None},
    ]
    for data in shapes:
        seen = shown(FAILED_OVER)
        events(seen, "settled")[0]["data"] = data

        assert judged(seen).faults


@pytest.mark.parametrize(("field", "key"), [("nonce", "nonce"), ("x402TxId", "transaction")])
def test_a_nonce_or_transaction_that_serves_two_payments_is_named(field: str, key: str) -> None:
    """In one run and over all: both payments are named."""
    one = shown(FAILED_OVER)
    first, second = one.answer["payments"]
    second[field] = first[field].upper().replace("0X", "0x")
    said = f"is that of payment {first['_id']} of run {first['runId']} as well"

    assert any(
        fault.startswith(f"payment {second['_id']} of run {second['runId']}: {field}") and said in fault
        for fault in judged(one).faults
    )

    spent, other = Spent(), shown(FAILED_OVER)
    other.run["_id"] = "f" * 24
    for payment in other.answer["payments"]:
        payment |= {"runId": "f" * 24}
    assert judged(shown(FAILED_OVER), spent).faults == ()
    shared = [fault for fault in judged(other, spent).faults if field in fault and "as well" in fault]
    assert len(shared) == 2


def test_a_trail_that_is_wrong_all_over_is_told_in_a_bounded_way() -> None:
    """The first hundred findings, and how many more."""
    told = evidence_of(json.dumps(status_json()))
    faults = judge(told, ({"seq": 1} for _ in range(3 * MOST_FAULTS)), Spent()).faults

    assert len(faults) == MOST_FAULTS + 1
    assert faults[-1].startswith("and ")


def test_a_long_trail_is_read_once_and_not_kept() -> None:
    """Twenty thousand observations, ten megabytes, are judged in the memory of a few."""
    import tracemalloc

    def trail() -> Any:
        previous = GENESIS
        for seq in range(1, 20_001):
            entry: Entry = {"runId": RUN_ID, "seq": seq, "type": "job_log", "content": "x" * 500}
            entry |= {"data": {}, "timestamp": "", "prevHash": previous}
            previous = entry["hash"] = digest(entry)
            yield entry

    told = evidence_of(json.dumps(status_json()))
    tracemalloc.start()
    judge(told, trail(), Spent())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 1_000_000
