"""Who takes the next step, and what becomes of it.

Each crossing from a process to the world (store, vendor, planner, wallet, chain) is parked before its effect;
between two crossings a process touches nothing but its own memory. When nobody can go on by himself, one of the
parked is picked, and its fate: it goes on; it waits, before the effect or with the answer under way, while others
go on; the effect fails, or happens and its answer is lost; the process dies before it or after. What had left a
process that failed or died may also arrive later than that (it is `adrift`): a packet in the network, or a write
in the server's queue.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Literal, TypeVar

import httpx

from agent.book.errors import StoreUnavailable
from tests.agent.killing import Killed
from tests.sim.choices import Choices
from tests.sim.loop import VirtualClock
from x402.errors import ChainUnavailable, SigningFailed

__all__ = ["Fate", "Kind", "PlannerDown", "Process", "Scheduler", "Stuck", "Temper"]

T = TypeVar("T")

_WAITS: Final = (0.05, 1.0, 6.0, 20.0, 31.0, 50.0, 130.0, 420.0, 1_000.0)
"""Seconds: within a time-out, beyond it, beyond a lease, beyond an authorization."""

_WRITES: Final = ("insert", "insert_new", "update", "replace", "delete")


class PlannerDown(RuntimeError):
    """The service that plans is away and its client did not expect it."""


class Stuck(AssertionError):
    """Everybody waits and nothing is coming."""


class Kind(StrEnum):
    """Where a crossing goes to."""

    READ = "read"
    WRITE = "write"
    WIRE = "wire"
    PLANNER = "planner"
    WALLET = "wallet"
    CHAIN = "chain"


class Fate(StrEnum):
    """What becomes of a crossing. Not each of them can befall each kind."""

    GO = "goes on"
    WAIT = "waits"
    WAIT_AFTER = "waits for the answer"
    FAIL = "fails"
    FAIL_LATE = "fails and arrives late"
    LOSE = "loses its answer"
    TEAR = "gets half an answer"
    TWICE = "arrives twice"
    DIE = "dies"
    DIE_LATE = "dies and arrives late"
    DIE_AFTER = "dies before the answer"


_ALWAYS: Final = (Fate.WAIT, Fate.WAIT_AFTER, Fate.FAIL, Fate.DIE, Fate.DIE_AFTER)
_POSSIBLE: Final = {
    Kind.READ: _ALWAYS,
    Kind.WRITE: (*_ALWAYS, Fate.FAIL_LATE, Fate.LOSE, Fate.DIE_LATE),
    Kind.WIRE: (*_ALWAYS, Fate.FAIL_LATE, Fate.LOSE, Fate.TEAR, Fate.TWICE, Fate.DIE_LATE),
    Kind.PLANNER: (*_ALWAYS, Fate.LOSE),
    Kind.WALLET: (*_ALWAYS, Fate.LOSE),
    Kind.CHAIN: _ALWAYS,
}
_RISK: Final = {
    Kind.READ: 1.0,
    Kind.WRITE: 1.5,
    Kind.WIRE: 6.0,
    Kind.PLANNER: 5.0,
    Kind.WALLET: 5.0,
    Kind.CHAIN: 5.0,
}
"""Trouble is dealt out by the harm that it can do: there are ten reads and writes to each request."""

_RISKY: Final = {"update runs": 3.0, "POST /submit-job": 8.0, "POST /submit-job paid": 15.0}
"""Where everything is decided, and where money leaves."""

_WORST: Final = 0.6
"""Chance of trouble that no crossing exceeds."""


@dataclass(frozen=True, slots=True)
class Temper:
    """How rough the world is: the chance that a step does not just go on, what may befall it then, and how likely
    the process that took the last step takes the next one too. `pace`: milliseconds that a step takes."""

    trouble: float
    fates: frozenset[Fate]
    stickiness: float
    pace: int


class Process:
    """One process: a name that no other ever had, until it is dead."""

    def __init__(self, name: str, skew_ms: int = 0) -> None:
        """`skew_ms`: by how much its clock is wrong."""
        self.name = name
        self.skew_ms = skew_ms
        self.dead = False


@dataclass(eq=False, slots=True)
class _Parked:
    process: Process
    name: str
    kind: Kind
    stage: Literal["before", "after", "adrift"]
    deliver: Callable[[], None] | None
    """Lets the effect happen although nobody waits for it."""
    not_before: int = 0
    future: asyncio.Future[Fate] | None = None
    """Whoever waits; nobody does where it is adrift."""


@dataclass
class Tally:
    """What was met, for the table."""

    fates: Counter[str] = field(default_factory=Counter)
    steps: int = 0


class Scheduler:
    """Parks crossings and decides about them. `looked` is called after each step; it raises what it finds."""

    def __init__(
        self, clock: VirtualClock, choices: Choices, temper: Temper, steps: int, looked: Callable[[], None]
    ) -> None:
        """After `steps` steps nothing is left to chance any more."""
        self._clock = clock
        self._choices = choices
        self._temper = temper
        self._steps = steps
        self._looked = looked
        self._parked: list[_Parked] = []
        self._last: Process | None = None
        self._adrift: set[asyncio.Future[Any]] = set()
        self.trace: list[tuple[int, str, str, str, str]] = []
        self.tally = Tally()

    @property
    def empty(self) -> bool:
        """Nobody is parked and nothing is adrift."""
        return not self._parked and not self._adrift

    async def cross(self, process: Process, name: str, kind: Kind, effect: Callable[[], Awaitable[T]]) -> T:
        """Let `effect` happen, or not, as is decided.

        Raises:
            Killed: the process is dead.
            StoreUnavailable, httpx.TransportError, PlannerDown, SigningFailed, ChainUnavailable: it failed, or its
            answer was lost.
        """

        def deliver() -> None:
            late = asyncio.ensure_future(effect())
            self._adrift.add(late)
            late.add_done_callback(self._arrived)

        fate = await self._park(_Parked(process, name, kind, "before", deliver))
        if fate in (Fate.FAIL, Fate.FAIL_LATE):
            raise _refused(kind)
        happening = asyncio.ensure_future(effect()) if kind is Kind.WIRE else effect()
        if isinstance(happening, asyncio.Future):
            # the vendor goes on with what it has begun, whoever waits for it
            self._adrift.add(happening)
            happening.add_done_callback(self._arrived)
            happening = asyncio.shield(happening)
        error: Exception | None = None
        result: T | None = None
        try:
            result = await happening
        except Exception as exc:
            error = exc
        if fate is Fate.WAIT_AFTER:
            await self._park(_Parked(process, name, kind, "after", None, self._later()))
        elif fate is Fate.DIE_AFTER:
            self.kill(process)
            raise Killed
        elif fate is Fate.LOSE:
            raise _lost(kind)
        if error is not None:
            raise error
        if fate is Fate.TEAR and isinstance(result, httpx.Response):
            result.stream = _Torn()
        return result  # type: ignore[return-value]  # the effect's own, None included

    def note(self, who: str, what: str, happens: str) -> None:
        """Put something into the trace that is no step of a process."""
        self.trace.append((self._clock.ms, who, "fault", what, happens))

    def step(self, timeout: float | None) -> None:
        """Nobody goes on by himself: release somebody, or let time pass until somebody can."""
        self._looked()
        now = self._clock.ms
        ready = [each for each in self._parked if each.not_before <= now]
        if not ready:
            times = [each.not_before for each in self._parked]
            if timeout is not None:
                times.append(now + max(1, math.ceil(timeout * 1_000)))
            if not times:
                raise Stuck("everybody waits and nothing is coming")
            self._clock.ms = min(times)
            return
        self.tally.steps += 1
        if self.tally.steps == self._steps:
            self._choices.stop()
        self._clock.ms += self._temper.pace
        parked = self._next(ready)
        fate = self._fate(parked)
        self.trace.append((now, parked.process.name, parked.stage, parked.name, fate))
        if parked.stage != "after":
            self.tally.fates[f"{parked.kind}{' adrift' if parked.stage == 'adrift' else ''}: {fate}"] += 1
        self._last = parked.process
        self._befall(parked, fate)

    def _next(self, ready: list[_Parked]) -> _Parked:
        if len(ready) == 1:
            return ready[0]
        stay = self._temper.stickiness * len(ready) / (1 - self._temper.stickiness)
        weights = [1.0 + (stay if each.process is self._last else 0.0) for each in ready]
        return self._choices.pick(ready, weights)

    def _fate(self, parked: _Parked) -> Fate:
        if parked.stage == "after":  # it has waited; its effect has happened
            return Fate.GO
        possible = (Fate.WAIT,) if parked.stage == "adrift" else _POSSIBLE[parked.kind]
        possible = tuple(each for each in possible if each in self._temper.fates)
        risk = _RISKY.get(parked.name, _RISK[parked.kind])
        if not possible or not self._choices.happens(min(_WORST, self._temper.trouble * risk)):
            return Fate.GO
        return self._choices.pick(possible)

    def _befall(self, parked: _Parked, fate: Fate) -> None:
        if fate is Fate.WAIT:
            parked.not_before = self._later()
            return
        if fate in (Fate.FAIL_LATE, Fate.DIE_LATE, Fate.TWICE):
            deliver = parked.deliver
            ghost = _Parked(parked.process, parked.name, parked.kind, "adrift", deliver, self._later())
            self._parked.append(ghost)
        if fate in (Fate.DIE, Fate.DIE_LATE):
            self.kill(parked.process)
            return
        self._parked.remove(parked)
        if parked.future is not None:
            parked.future.set_result(fate)
        elif parked.deliver is not None:
            parked.deliver()

    def _later(self) -> int:
        return self._clock.ms + int(self._choices.pick(_WAITS) * 1_000)

    def kill(self, process: Process) -> None:
        """End the process: whatever it waits for, it never hears of."""
        process.dead = True
        for parked in tuple(self._parked):
            if parked.process is process and parked.future is not None:
                self._parked.remove(parked)
                if not parked.future.done():
                    parked.future.set_exception(Killed())

    async def _park(self, parked: _Parked) -> Fate:
        if parked.process.dead:
            raise Killed
        future: asyncio.Future[Fate] = asyncio.get_running_loop().create_future()
        parked.future = future
        self._parked.append(parked)
        try:
            return await future
        except asyncio.CancelledError:
            if parked not in self._parked:
                pass
            elif parked.stage == "before" and parked.kind is Kind.WIRE:
                parked.stage, parked.future = "adrift", None  # a time-out takes nothing back from the network
            else:
                self._parked.remove(parked)
            raise

    def _arrived(self, late: asyncio.Future[Any]) -> None:
        self._adrift.discard(late)
        if not late.cancelled():
            late.exception()  # nobody is there to hear it


_ERRORS: Final[dict[Kind, Callable[[str], Exception]]] = {
    Kind.READ: StoreUnavailable,
    Kind.WRITE: StoreUnavailable,
    Kind.PLANNER: PlannerDown,
    Kind.WALLET: SigningFailed,
    Kind.CHAIN: ChainUnavailable,
}
"""What a process is told where something is away, but for the wire, which has its own words for each case."""


class _Torn(httpx.AsyncByteStream):
    """A body of which nothing comes after its headers."""

    async def __aiter__(self):  # type: ignore[no-untyped-def]
        raise httpx.ReadError("the connection broke within the answer")
        yield b""


_ELSEWHERE: Final = {"plan": Kind.PLANNER, "sign": Kind.WALLET, "chain": Kind.CHAIN}


def kind_of(name: str) -> Kind:
    """Where a watched effect of this name goes to."""
    verb = name.partition(" ")[0]
    if verb in _ELSEWHERE:
        return _ELSEWHERE[verb]
    return Kind.WRITE if verb in _WRITES else Kind.READ


def _refused(kind: Kind) -> Exception:
    return httpx.ConnectError("no connection") if kind is Kind.WIRE else _ERRORS[kind]("no connection")


def _lost(kind: Kind) -> Exception:
    return httpx.ReadTimeout("no answer") if kind is Kind.WIRE else _ERRORS[kind]("no answer in time")
