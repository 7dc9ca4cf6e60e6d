"""A deliberate fault in the protocol, and the hunt for it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

import pytest

from agent.book.errors import LeaseLost, RunUnreadable
from agent.book.models import Run
from agent.book.models import SignedAuthorization as Signed
from tests.agent.killing import Reaper
from tests.sim.crash import Never, crashes, life_of, stragglers
from tests.sim.crash_scenarios import SCENARIOS
from tests.sim.oracle import Wrong
from tests.sim.quick import quick_copies
from tests.sim.random_runs import play
from tests.sim.scheduler import Stuck

__all__ = ["REGISTER", "Mutant", "Patch", "everywhere", "mutant", "signed_of"]

Patch = pytest.MonkeyPatch
Fault: TypeAlias = Callable[[Patch], None]


@dataclass(frozen=True, slots=True)
class Mutant:
    """A fault by name. It is looked for in the lives of the scenario `crash`, killed at each effect; in those of
    `late`, where what a dead process had sent arrives late; or in `seeds` schedules. They begin with seed `first`,
    which is not 0 where few of them bear witness."""

    name: str
    switch_on: Fault
    crash: str = ""
    late: str = ""
    seeds: int = 0
    first: int = 0

    def hunt(self) -> str | None:
        """What was found, and where; None: the fault has survived, or there is none."""
        if self.seeds:
            return _in_schedules(range(self.first, self.first + self.seeds))
        with quick_copies():
            return asyncio.run(_in_lives(self.crash or self.late, late=bool(self.late)))


_RULES: Final = (f"{Wrong.__name__}:", f"{Stuck.__name__}:")
"""How a schedule says that a rule was broken, and not the simulator."""

REGISTER: Final[list[Mutant]] = []
"""Every fault there is, as `mutant` enters them."""


def mutant(
    crash: str = "", *, late: str = "", seeds: int = 0, first: int = 0
) -> Callable[[Callable[[Patch], None]], Callable[[Patch], None]]:
    """Enter the fault into the register, under the first line of what is said of it."""

    def enter(switch_on: Fault) -> Fault:
        name = (switch_on.__doc__ or "").partition("\n")[0].rstrip(".").lower()
        REGISTER.append(Mutant(name, switch_on, crash, late, seeds, first))
        return switch_on

    return enter


def everywhere(patch: Patch, original: object, name: str, other: object) -> None:
    """Replace it in each module of the core that has taken it over by name."""
    for module in [each for key, each in sys.modules.items() if key.startswith("agent")]:
        if getattr(module, name, None) is original:
            patch.setattr(module, name, other)


def signed_of(run: Run, job_id: str) -> Signed:
    """The authorization that the job's reservation holds."""
    signed = run.reservations[job_id].authorization
    assert signed is not None
    return signed


async def _in_lives(name: str, *, late: bool) -> str | None:
    scenario = next(each for each in SCENARIOS if each.name == name)
    try:
        end = await (await life_of(scenario, Reaper())).live()
        if end != scenario.end:
            return f"{name}: {end}"
        ways = [stragglers(scenario)] if late else [crashes(scenario, after=after) for after in (False, True)]
        for lives in ways:
            async for lived in lives:
                if not lived.as_it_must(scenario.end):
                    return f"{name}, {[each.where for each in lived.wounds]}: {lived.end}"
    except (Wrong, Never, LeaseLost, RunUnreadable) as found:  # of the latter two no life knows any by itself
        return f"{name}: {type(found).__name__}: {found}"
    return None


def _in_schedules(seeds: range) -> str | None:
    for seed in seeds:
        reason = play(seed).reason
        if reason is None:
            continue
        if not reason.startswith(_RULES):
            raise AssertionError(f"seed {seed} broke the simulator, and no rule: {reason}")
        return f"seed {seed}: {reason}"
    return None
