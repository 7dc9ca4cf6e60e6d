"""Following a run to its end, with a server that is played."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from scripts.client.api import Reply
from scripts.client.errors import Busy, ClientError, NotFound, Refused, TooMany, Unreachable
from scripts.client.shapes import Status, Ticked
from scripts.watch import LOOK_SECONDS, PATIENCE, follow
from tests.scripts.samples import RUN_ID, observation_json, run, run_json, status

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)

Played = Status | ClientError
Pulse = ClientError | None


class Stage:
    """Answers as told, notes what was asked, and lets no time pass: sleeping moves the clock."""

    def __init__(self, *answers: Played, ticks: tuple[Pulse, ...] = ()) -> None:
        self.answers = list(answers)
        self.ticks = list(ticks)
        self.ticked = 0
        self.asked: list[int | None] = []
        self.slept: list[float] = []
        self.shown: list[Status] = []

    def now(self) -> datetime:
        return NOW + timedelta(seconds=sum(self.slept))

    def status(self, run_id: str, *, limit: int, after: int | None) -> Reply[Status]:
        self.asked.append(after)
        answer = self.answers.pop(0)
        if isinstance(answer, ClientError):
            raise answer
        return Reply(answer, json.dumps("as sent"))

    def tick(self, run_id: str) -> Reply[Ticked]:
        self.ticked += 1
        failure = self.ticks.pop(0) if self.ticks else None
        if failure is not None:
            raise failure
        return Reply(Ticked(message="ticked", action=None, run=run()), "")

    def follow(self, patience: int = PATIENCE) -> Reply[Status]:
        return follow(self, RUN_ID, self.shown.append, patience=patience, sleep=self.slept.append)


def due_in(seconds: float, *seqs: int, total: int | None = None) -> Status:
    """A running run whose next tick is due then."""
    when = (NOW + timedelta(seconds=seconds)).isoformat()
    return status(*(observation_json(seq, "job_log") for seq in seqs), run=run_json(nextTickAt=when), total=total)


def ended(*seqs: int, total: int | None = None) -> Status:
    """A run that is over."""
    over = run_json(status="completed", nextTickAt=None)
    return status(*(observation_json(seq, "job_log") for seq in seqs), run=over, total=total)


def test_a_run_that_has_ended_is_shown_and_not_ticked() -> None:
    """Watching the past changes nothing."""
    stage = Stage(ended(1))

    assert stage.follow().text == '"as sent"'
    assert (stage.ticked, stage.slept, len(stage.shown)) == (0, [], 1)


def test_a_tick_that_is_due_is_done_at_once() -> None:
    """Nothing is waited for when there is something to do."""
    stage = Stage(due_in(0, 1), due_in(-5, 2), ended(3))
    stage.follow()

    assert (stage.ticked, stage.slept) == (2, [])


def test_a_tick_that_is_not_due_is_waited_for_in_short_looks() -> None:
    """Others may tick meanwhile, so the run is looked at again and again until it is due."""
    stage = Stage(due_in(3, 1), due_in(3), due_in(3), ended(2))
    stage.follow()

    assert stage.slept == [LOOK_SECONDS, 1.0]
    assert stage.ticked == 1


def test_only_what_is_new_is_asked_for() -> None:
    """A long trail is not fetched again and again."""
    stage = Stage(due_in(0, 1, 2), due_in(0), ended(3))
    stage.follow()

    assert stage.asked == [0, 2, 2]


def test_all_pages_are_shown_before_anything_else_happens() -> None:
    """A trail that does not fit one answer is shown whole, and the end does not cut it short."""
    stage = Stage(ended(1, 2, total=3), ended(3, total=3))
    stage.follow()

    assert stage.asked == [0, 2]
    assert [entry.seq for told in stage.shown for entry in told.observations] == [1, 2, 3]


def test_a_busy_run_is_looked_at_again() -> None:
    """Another tick is at it: no error, and no longer a wait than a look."""
    busy = Busy(409, "run_busy", "busy", retry_after=40)
    stage = Stage(due_in(0, 1), ended(2), ticks=(busy,))
    stage.follow()

    assert stage.slept == [LOOK_SECONDS]


def test_over_the_rate_of_its_key_it_waits_for_the_next_minute() -> None:
    """As long as the server says: nobody asks in between."""
    stage = Stage(due_in(0, 1), TooMany(429, "rate_limited", "made", retry_after=37), ended(2))
    stage.follow()

    assert stage.slept == [37]


AWAY: list[Callable[[], ClientError]] = [
    lambda: Unreachable("away"),
    lambda: Refused(503, "store_unavailable", "away"),
    lambda: Refused(500, "internal_error", "a fault"),
]


@pytest.mark.parametrize("failure", AWAY)
def test_a_short_absence_is_borne_with_longer_and_longer_pauses(failure: Callable[[], ClientError]) -> None:
    """A server that restarts, or a database that fails over, does not end the watching."""
    stage = Stage(due_in(0, 1), failure(), failure(), due_in(0), failure(), ended(2))
    stage.follow()

    assert stage.slept == [1.0, 2.0, 1.0]


def test_a_long_absence_ends_the_watching() -> None:
    """Patience is limited."""
    stage = Stage(due_in(0, 1), *(Unreachable("away") for _ in range(PATIENCE + 1)))

    with pytest.raises(Unreachable):
        stage.follow()
    assert stage.slept == [1.0, 2.0, 4.0, 8.0, 16.0]


def test_ticks_that_keep_failing_end_the_watching() -> None:
    """A status that comes in between does not renew the patience with ticks."""
    fault = Refused(500, "internal_error", "a fault")
    stage = Stage(due_in(0, 1), due_in(0), due_in(0), ticks=(fault, fault, fault))

    with pytest.raises(Refused):
        stage.follow(patience=2)
    assert stage.ticked == 3


def test_a_server_that_never_answered_is_not_waited_for() -> None:
    """A wrong address is an error at once."""
    stage = Stage(Unreachable("away"))

    with pytest.raises(Unreachable):
        stage.follow()
    assert stage.slept == []


@pytest.mark.parametrize(
    "failure",
    [
        NotFound(404, "run_not_found", "no such run"),
        Refused(401, "unauthorized", "token?"),
        Refused(500, "run_unreadable", "another version wrote it"),
    ],
)
def test_a_refusal_ends_the_watching(failure: ClientError) -> None:
    """What asking again will not change is not asked again."""
    stage = Stage(due_in(0, 1), failure)

    with pytest.raises(type(failure)):
        stage.follow()
    assert stage.slept == []
