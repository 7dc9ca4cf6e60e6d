"""What the trail says of money and jobs, held against the run, its jobs and its payments. Pure; it streams.

Of every observation only what a rule needs is kept: the events of money and jobs, never the log lines.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from agent.book.money import InvalidAmount, parse_usd, usd_text
from scripts.client.shapes import BookedJob, BookedRun, Payment, Reservation

if TYPE_CHECKING:
    from pydantic import JsonValue

__all__ = ["TrailCheck"]

Data = Mapping[str, "JsonValue"]

_NEED_A_PAYMENT: Final = ("authorized", "settled", "held", "unresolved", "lapsed")
_CLOSING: Final = ("settled", "unresolved", "lapsed", "released", "not_asked")
_MONEY: Final = ("reserved", *_NEED_A_PAYMENT, "released", "not_asked")
_WITHOUT_A_JOB: Final = frozenset({"payee_changed", "payee_first_seen"})
_JOB: Final = ("job_submitted", "job_completed", "job_failed")
_ENDS: Final = ("run_completed", "run_failed", "run_cancelled")


@dataclass(frozen=True, slots=True)
class _Event:
    """An observation that a rule looks at."""

    seq: JsonValue
    name: str
    data: Data

    def __str__(self) -> str:
        return f"observation {self.seq} ({self.name})"


@dataclass(slots=True)
class _Story:
    """The events of one job, by name."""

    events: dict[str, list[_Event]] = field(default_factory=dict)

    def of(self, *names: str) -> list[_Event]:
        return [event for name in names for event in self.events.get(name, [])]


class TrailCheck:
    """The trail of one run, looked at entry by entry, then judged with the run's records."""

    def __init__(self) -> None:
        """Nothing seen yet."""
        self._stories: dict[str, _Story] = {}
        self._run_events: list[_Event] = []
        self._faults: list[str] = []
        self._last: JsonValue = None

    def look(self, entry: Data) -> None:
        """Take the next observation."""
        kind, data = entry.get("type"), entry.get("data")
        self._last = entry.get("seq")
        data = data if isinstance(data, dict) else {}
        if kind == "payment_event":
            self._money_event(_Event(self._last, str(data.get("event")), data))
        elif kind in _JOB:
            self._keep(_Event(self._last, str(kind), data))
        elif kind in ("run_started", *_ENDS):
            self._run_events.append(_Event(self._last, str(kind), data))

    def faults(self, run: BookedRun, jobs: Sequence[BookedJob], payments: Sequence[Payment]) -> Iterator[str]:
        """What trail and records disagree on, each naming the observation, the payment or the field."""
        yield from self._faults
        yield from self._run(run)
        known, paid = {job.id: job for job in jobs}, {payment.job_id: payment for payment in payments}
        for payment in payments:
            yield from _payment(payment, self._stories.get(payment.job_id, _Story()))
        for job in jobs:
            yield from _job(job, self._stories.get(job.id, _Story()))
        for job_id, story in self._stories.items():
            yield from _story(job_id, story, known.get(job_id), paid.get(job_id), run.reservations.get(job_id))
        for job_id in run.reservations:
            if not self._stories.get(job_id, _Story()).of("reserved"):
                yield f"the reservation for job {job_id} is nowhere in the trail"
        yield from self._sums(run)

    def _money_event(self, event: _Event) -> None:
        if event.name in _MONEY:
            self._keep(event)
        elif event.name not in _WITHOUT_A_JOB:
            self._faults.append(f"{event}: there is no such payment_event")

    def _keep(self, event: _Event) -> None:
        story = self._stories.setdefault(str(event.data.get("jobId")), _Story())
        story.events.setdefault(event.name, []).append(event)

    def _run(self, run: BookedRun) -> Iterator[str]:
        started = [event for event in self._run_events if event.name == "run_started"]
        if len(started) != 1 or started[0].seq != 1:
            yield f"the trail has {len(started)} run_started; it begins with one"
        for event in started:
            yield from _same(event, "budgetTotalUsd", usd_text(run.budget_total), "the run's budgetTotal")
            yield from _same(event, "goal", run.goal, "the run's goal")
        ends = [event for event in self._run_events if event.name != "run_started"]
        if run.status != "running" and len(ends) != 1:
            yield f"the run's status is {run.status}, and the trail tells of {len(ends)} ends"
        for event in ends:
            if event.name != f"run_{run.status}":
                yield f"{event}: the run's status is {run.status}"
            elif event.seq != self._last:
                yield f"{event}: the trail goes on after the run's end"
            yield from _same(event, "budgetTotalUsd", usd_text(run.budget_total), "the run's budgetTotal")
            yield from _same(event, "budgetRemainingUsd", usd_text(run.budget_remaining), "its budgetRemaining")
            yield from _same(event, "budgetSpentUsd", usd_text(run.budget_spent), "its budgetSpent")

    def _sums(self, run: BookedRun) -> Iterator[str]:
        """The run's books made anew from the trail alone."""
        stories = self._stories.values()
        still_open = [story for story in stories if not story.of(*_CLOSING)]
        spent = sum(_micro(event) for story in stories for event in story.of("settled", "unresolved"))
        reserved = sum(_micro(event) for story in still_open for event in story.of("reserved"))
        for field_, said, booked in (
            ("budgetSpent", spent, run.budget_spent),
            ("budgetReserved", reserved, run.budget_reserved),
        ):
            if said != booked:
                yield f"the run's {field_} is {usd_text(booked)} USD, the trail adds up to {usd_text(said)} USD"


def _payment(payment: Payment, story: _Story) -> Iterator[str]:
    """The events that a payment must have, with the same figures, and those that it must not."""
    name, amount = f"payment {payment.id}", usd_text(payment.amount)
    terms: dict[str, dict[str, JsonValue]] = {
        "authorized": {
            "payer": payment.payer,
            "payTo": payment.pay_to,
            "network": payment.network,
            "asset": payment.asset,
            "currency": payment.currency,
            "nonce": payment.nonce,
            "validBefore": int(payment.valid_before.timestamp()),
        },
        "settled": {"network": payment.network, "transaction": payment.transaction},
        "unresolved": {"nonce": payment.nonce},
        "lapsed": {"nonce": payment.nonce},
    }
    wanted = {
        "authorized": 1,
        "settled": payment.status == "completed",
        "unresolved": payment.status == "unresolved",
        "lapsed": payment.status == "failed",
    }
    for event_name, fields in terms.items():
        events = story.of(event_name)
        if len(events) != wanted[event_name]:
            yield f"{name}: status is {payment.status}, and the trail has {len(events)} '{event_name}' for it"
        for event in events:
            for key, value in {"amountUsd": amount, "vendorId": payment.vendor_id, **fields}.items():
                yield from _same(event, key, value, f"that of {name}")


def _job(job: BookedJob, story: _Story) -> Iterator[str]:
    name = f"job {job.id}"
    wanted = {
        "job_submitted": job.vendor_job_id is not None,
        "job_completed": job.status == "completed",
        "job_failed": job.status == "failed",
    }
    for event_name, count in wanted.items():
        events = story.of(event_name)
        if len(events) != count:
            said = f"status is {job.status}, vendorJobId is {job.vendor_job_id}"
            yield f"{name}: {said}, and the trail has {len(events)} {event_name} for it"
    for event in story.of("job_submitted"):
        yield from _same(event, "vendorJobId", job.vendor_job_id, f"that of {name}")


def _story(
    job_id: str, story: _Story, job: BookedJob | None, payment: Payment | None, reservation: Reservation | None
) -> Iterator[str]:
    """What a job's events say of each other, and whether what they speak of exists."""
    for event in story.of(*_MONEY, *_JOB):
        if job is None:
            yield f"{event}: job {job_id} does not exist"
        else:
            yield from _same(event, "vendorId", job.vendor_id, f"that of job {job_id}")
    if payment is None:
        for event in story.of(*_NEED_A_PAYMENT):
            yield f"{event}: there is no payment for job {job_id}"
    reserved, closing = story.of("reserved"), story.of(*_CLOSING)
    for event in story.of(*_MONEY):
        if len(reserved) != 1:
            yield f"{event}: the trail has {len(reserved)} 'reserved' for job {job_id}, one goes before all else"
        elif _micro(event) > _micro(reserved[0]):
            yield f"{event}: amountUsd is above what {reserved[0]} set aside"
    for event in closing[1:]:
        yield f"{event}: the money was no longer reserved after {closing[0]}"
    if reservation is not None and closing:
        yield f"{closing[0]}: the run still holds a reservation for job {job_id}"
    elif reservation is not None:
        for event in reserved:
            yield from _same(event, "amountUsd", usd_text(reservation.amount), "that of the run's reservation")
    elif reserved and not closing:
        yield f"{reserved[0]}: the run holds no reservation for job {job_id}, and nothing closed it"


def _same(event: _Event, key: str, value: JsonValue, whose: str) -> Iterator[str]:
    said = event.data.get(key)
    if said != value:
        yield f"{event}: {key} is {said!r}, {whose} is {value!r}"


def _micro(event: _Event) -> int:
    """The event's amount in micro-dollars; none where it cannot be read, which other rules then find."""
    said = event.data.get("amountUsd")
    try:
        return parse_usd(said, zero=True) if isinstance(said, str) else 0
    except InvalidAmount:
        return 0
