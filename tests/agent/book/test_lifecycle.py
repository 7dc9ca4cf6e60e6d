"""Status changes are the tables', and nothing else."""

from __future__ import annotations

from itertools import product
from typing import Any, get_args

import pytest

from agent.book.lifecycle import (
    JOB,
    LIVE_JOB,
    PAYMENT,
    RUN,
    IllegalMove,
    JobStatus,
    PaymentStatus,
    RunStatus,
    diagram,
    move,
)

TABLES: list[tuple[Any, Any]] = [(RUN, RunStatus), (JOB, JobStatus), (PAYMENT, PaymentStatus)]


@pytest.mark.parametrize(("table", "statuses"), TABLES)
def test_every_pair_is_a_step_of_the_table_or_refused(table: Any, statuses: Any) -> None:
    """No status can be left by an event that its table does not name."""
    events = {event for _, event in table}
    for status, event in product(get_args(statuses), events):
        if (status, event) in table:
            assert move(table, status, event) in get_args(statuses)
        else:
            with pytest.raises(IllegalMove):
                move(table, status, event)


def test_a_run_that_ended_stays_as_it_is() -> None:
    """Completed, failed and cancelled have no way out."""
    assert not [source for source, _ in RUN if source != "running"]


def test_a_live_job_is_one_that_a_vendor_has() -> None:
    """Pending ones were never taken, the others are over."""
    assert {"submitted", "running"} == LIVE_JOB


def test_the_diagram_shows_every_step() -> None:
    """What the docs show is made from the table."""
    drawn = diagram(JOB)

    assert drawn.startswith("stateDiagram-v2\n    [*] --> pending")
    assert all(f"{source} --> {target}: {event}" in drawn for (source, event), target in JOB.items())
    assert "completed --> [*]" in drawn
