"""A run told once, as it happens."""

from __future__ import annotations

import io

from pydantic import JsonValue
from rich.console import Console

from scripts.client.shapes import Status
from scripts.view.entries import Entry
from scripts.view.epochs import Epoch
from scripts.view.runs import Bar
from scripts.view.screen import Screen
from scripts.view.story import Story
from tests.scripts.samples import JOB_ID, job_json, observation_json, status


def log(seq: int, line: str) -> dict[str, JsonValue]:
    """A line of the vendor's log."""
    return observation_json(seq, "job_log", line, jobId=JOB_ID)


def plan(seq: int, vendor_id: JsonValue) -> dict[str, JsonValue]:
    """A plan to start a job there."""
    action: JsonValue = {"action": "start_job", "vendorId": vendor_id, "maxHours": 1}
    return observation_json(seq, "agent_reasoning", "because", action=action)


def labels(story: Story, told: Status) -> list[str]:
    """What the entries are called; a bar is `bar`."""
    return [piece.label if isinstance(piece, Entry) else "bar" for piece in story.tell(told)]


def test_everything_is_told_once() -> None:
    """An answer that holds what was told before adds nothing."""
    story = Story()
    first, second = observation_json(1, "run_started"), observation_json(2, "quote")

    assert labels(story, status(first)) == ["run"]
    assert labels(story, status(first, second)) == ["quote"]
    assert labels(story, status(first, second)) == []


def test_an_epoch_in_the_log_becomes_a_bar() -> None:
    """Epoch and loss are shown as progress, other lines as lines."""
    pieces = list(Story().tell(status(log(1, "epoch 1/4 loss=2.5"), log(2, "warming up"), jobs=(job_json(),))))

    assert pieces[0] == Bar("gpu_vendor_1", 25, Epoch(1, 4, "2.5"), "running")
    assert isinstance(pieces[1], Entry)


def test_an_epoch_of_a_job_that_is_not_known_stays_a_line() -> None:
    """Nothing is drawn for a job that the answer does not hold."""
    assert labels(Story(), status(log(1, "epoch 1/4 loss=2.5"))) == ["log"]


def test_a_jobs_end_is_told_after_where_it_stood() -> None:
    """The last bar, then the failure."""
    story = Story()
    failed = job_json(status="failed", progress=30)
    told = status(log(1, "epoch 1/4 loss=2.5"), observation_json(2, "job_failed", jobId=JOB_ID), jobs=(failed,))
    pieces = list(story.tell(told))

    assert pieces[1] == Bar("gpu_vendor_1", 30, Epoch(1, 4, "2.5"), "failed")
    assert isinstance(pieces[2], Entry)
    assert story.bars(told) == []


def test_a_job_that_no_vendor_took_has_no_bar() -> None:
    """A purchase that failed made no progress."""
    failed = job_json(status="failed", vendorJobId=None)

    assert labels(Story(), status(observation_json(1, "job_failed", jobId=JOB_ID), jobs=(failed,))) == ["failure"]


def test_a_plan_that_turns_to_another_vendor_is_a_switch() -> None:
    """The switch is said by itself; staying with a vendor is none, nor is the first choice."""
    story = Story()

    assert labels(story, status(plan(1, "gpu_vendor_1"))) == ["plan"]
    assert labels(story, status(plan(2, "gpu_vendor_1"))) == ["plan"]
    assert labels(story, status(plan(3, "gpu_vendor_2"))) == ["plan", "switch"]
    assert labels(story, status(plan(4, None))) == ["plan"]


def test_live_jobs_have_bars() -> None:
    """What a vendor works on is shown as it stands, with the last epoch known."""
    story = Story()
    told = status(log(1, "epoch 1/4 loss=2.5"), jobs=(job_json(progress=30), job_json(status="pending")))
    list(story.tell(told))

    assert story.bars(told) == [Bar("gpu_vendor_1", 30, Epoch(1, 4, "2.5"), "running")]


RUNNING = status(log(1, "epoch 1/4 loss=2.5"), log(2, "hello"), jobs=(job_json(progress=30),))
ENDED = status(
    observation_json(3, "job_failed", "ECC error", jobId=JOB_ID), jobs=(job_json(progress=30, status="failed"),)
)


def screened(terminal: bool) -> str:
    """What a screen writes for the two answers above."""
    stream = io.StringIO()
    with Screen(Console(file=stream, width=120, force_terminal=terminal, color_system=None)) as screen:
        screen.show(RUNNING)
        screen.show(ENDED)
    return stream.getvalue()


def test_without_a_terminal_everything_is_a_plain_line() -> None:
    """A log of CI has no escape sequences, and every epoch in it."""
    lines = screened(terminal=False).splitlines()

    assert "\x1b" not in "".join(lines)
    assert [line.split("  ")[-1] for line in lines] == ["loss 2.5", "hello", "failed", "ECC error"]


def test_a_terminal_gets_one_moving_bar_and_its_last_state() -> None:
    """Progress is drawn over and over below the lines; the job's end leaves the bar as a line."""
    text = screened(terminal=True)

    assert "\x1b[" in text
    assert text.count("failed") == 1
    assert text.index("hello") < text.index("failed") < text.index("ECC error")
    assert "\x1b[?25h" in text  # the cursor is back
