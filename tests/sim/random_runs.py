"""Random schedules: a seed is a world, a failure is a seed and the shortest prefix that shows it."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

import stamina

from tests.sim.choices import Choices
from tests.sim.quick import quick_copies
from tests.sim.scenario import draw
from tests.sim.world import World

__all__ = ["Failure", "Schedule", "hunt", "play", "shortest"]


_STAGES: Final = {"after": "answer to ", "adrift": "late: ", "fault": "at the vendor, "}
"""How the trace names what is no crossing from a process."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """One schedule as it went. `reason` is what was wrong, None where nothing was. `decisions` were left to
    chance; at the places `departures` it did not take the harmless first option."""

    seed: int
    reason: str | None
    trace: tuple[str, ...]
    audit: str
    decisions: int
    departures: tuple[int, ...]
    counts: Counter[str] = field(repr=False)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the trace: the same for the same schedule."""
        return hashlib.sha256("\n".join(self.trace).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Failure:
    """A counter-example. `prefix`: so many decisions are enough, with everything going well after them; `trace` is
    what happens then, and `reason` what is wrong at its end."""

    seed: int
    prefix: int
    reason: str
    trace: tuple[str, ...] = field(repr=False)

    def __str__(self) -> str:
        head = f"seed {self.seed}, shortest failing prefix {self.prefix} decisions: {self.reason}"
        return "\n".join([*self.trace, head])


def play(seed: int, prefix: int | None = None) -> Schedule:
    """Live through the schedule of a seed, or only through its first `prefix` decisions and calmly from there."""
    choices = Choices(seed, prefix)
    world = World(draw(seed), choices)
    reason = None
    counts: Counter[str] = Counter()
    with _quiet():
        try:
            met = world.live()
        except Exception as exc:  # a rule that is broken; what nobody expected is a finding too
            reason = f"{type(exc).__name__}: {exc}"
        else:
            counts = met.counts + Counter({f"run {status}": number for status, number in met.statuses.items()})
    counts += world.scheduler.tally.fates
    counts["steps"] = world.scheduler.tally.steps
    trace = tuple(
        f"{ms / 1000:10.3f} {who:>4} {_STAGES.get(stage, '')}{name}: {fate}"
        for ms, who, stage, name, fate in world.scheduler.trace
    )
    return Schedule(seed, reason, trace, world.audit(), choices.count, tuple(choices.departures), counts)


def hunt(seeds: Iterable[int]) -> Failure | None:
    """The first failure among these seeds, cut down to its shortest prefix; None: they all held."""
    for seed in seeds:
        found = play(seed)
        if found.reason is not None:
            return shortest(found)
    return None


def shortest(found: Schedule) -> Failure:
    """The fewest first decisions of a failing schedule that make it fail.

    Only places at which chance departed from the harmless option can make a difference, so only they are tried,
    from the first on.
    """
    for prefix in (0, *found.departures):
        shorter = play(found.seed, prefix)
        if shorter.reason is not None:
            return Failure(found.seed, prefix, shorter.reason, shorter.trace)
    raise AssertionError(f"seed {found.seed} fails no second time: the simulator is not deterministic")


@contextmanager
def _quiet() -> Iterator[None]:
    """Retries do not wait, and nothing is logged: what matters is in the trace."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with stamina.set_testing(True, attempts=3), quick_copies():
            yield
    finally:
        logging.disable(before)
