"""The tests are tested: each deliberate fault in the protocol is found, and without one nothing is."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import pytest
import stamina

from tests.sim.mutants import MUTANTS, Mutant

FEWEST = 20
CALM = 100
"""Schedules that hold before any fault is switched on; `test_random` plays more."""


@pytest.fixture(autouse=True)
def _in_haste() -> Iterator[None]:
    """Retries do not wait, and thousands of deaths are not logged."""
    logging.disable(logging.CRITICAL)
    with stamina.set_testing(True, attempts=3):
        yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_fault_in_the_protocol_is_found(
    mutant: Mutant, monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, object], None]
) -> None:
    """Within a bounded number of schedules, or of deaths."""
    mutant.switch_on(monkeypatch)

    found = mutant.hunt()

    assert found is not None, "it has survived: the simulator is too weak for it"
    record_property("found", found)


def test_without_a_fault_the_same_schedules_find_nothing() -> None:
    """So what is found above is the fault. That deaths and stragglers find nothing then, `test_crash` shows."""
    assert Mutant("none", lambda _: None, seeds=CALM).hunt() is None


def test_there_are_many_faults_of_every_kind() -> None:
    """Each under a name of its own."""
    names = {mutant.name for mutant in MUTANTS}

    assert len(names) == len(MUTANTS) >= FEWEST
    assert all(names)
