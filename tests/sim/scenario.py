"""What a seed stands for before anything happens: vendors, their faults, budgets, settings, how rough it gets."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from functools import cache
from typing import Final
from unittest import mock

from agent.book.limits import KeyLimits
from agent.book.models import Constraints
from agent.book.money import at_rate
from agent.process.settings import Settings
from gpu_vendor_mock.catalog import DEFAULT_CATALOG, Persona
from gpu_vendor_mock.faults import Endpoint, FaultName
from tests.agent.stage import START
from tests.sim.scheduler import Fate, Temper

__all__ = ["FAULTS", "KEY_ID", "Buyer", "Scenario", "draw"]

KEY_ID: Final = "simulatedkey"
"""The API key that several buyers may share."""

_ARGUMENTS: Final = {
    FaultName.FAIL_AT_EPOCH: ("1", "2"),
    FaultName.STALL_AT_EPOCH: ("1",),
    FaultName.SLOW: ("300", "9000", "45000"),
    FaultName.PRICE_ABOVE_QUOTE: ("5", "10", "100"),
    FaultName.RAISE_ON_SECOND: ("5", "50"),
    FaultName.HTTP_500: tuple(Endpoint),
    FaultName.MALFORMED_JSON: tuple(Endpoint),
}

FAULTS: Final = tuple(
    tuple(f"{name}={argument}" for argument in _ARGUMENTS[name]) if name in _ARGUMENTS else (str(name),)
    for name in FaultName
)
"""Every fault that a vendor can show, each in the ways in which it can be written in a header."""

_TROUBLES: Final = tuple(fate for fate in Fate if fate is not Fate.GO)


@dataclass(frozen=True, slots=True)
class Buyer:
    """A user with a goal: budget in micro-dollars, whether he may change his mind, and whether he has the key."""

    budget: int
    constraints: Constraints
    fickle: bool
    keyed: bool = False


@dataclass(frozen=True, slots=True)
class Scenario:
    """A seed, drawn. `period`: seconds between two rounds of a cron; `whims`: chance that a planner's word is not
    the stub's; `wire_faults`: chance of a fault in a request's header; `skew`: most that a clock is wrong;
    `chain_late`: by how many seconds the chain is read late, None where it cannot be read; `key`: what the buyers
    with the key may spend together, and `revoked_after` the seconds until it is revoked, if ever."""

    tickers: int
    buyers: tuple[Buyer, ...]
    vendors: tuple[Persona, ...]
    pinned: bool
    chain_late: float | None
    faults: str
    wire_faults: float
    whims: float
    epochs: int
    epoch_seconds: float
    settings: Settings
    period: float
    skew: timedelta
    temper: Temper
    steps: int
    key: KeyLimits | None = None
    revoked_after: float | None = None

    @property
    def calm(self) -> bool:
        """Nothing at all can go wrong: then everything must go well."""
        faultless = not self.faults and not self.wire_faults and not self.whims
        return faultless and not self.temper.trouble and not any(buyer.fickle for buyer in self.buyers)


def draw(seed: int) -> Scenario:
    """The scenario of a seed, always the same. In one of four, limits bind all its runs together, and in another
    (or the same) the limits of a key bind those that were started with it."""
    scenario = _drawn(seed)
    if scenario.calm:
        return scenario
    for name, bind in (("limits", _limited), ("key", _keyed)):
        chance = random.Random(f"{seed}/{name}")
        if chance.random() >= 0.75:
            scenario = bind(scenario, chance)
    return scenario


def _in_company(scenario: Scenario, chance: random.Random) -> Scenario:
    """Two buyers at least. They do not wait for the next day."""
    until = START + timedelta(hours=chance.choice((2, 3, 6)))
    wanted = (*scenario.buyers, *(_buyer(chance, calm=False) for _ in range(2 - len(scenario.buyers))))
    buyers = tuple(
        replace(each, constraints=each.constraints.model_copy(update={"deadline": until})) for each in wanted
    )
    return replace(scenario, buyers=buyers)


def _prices(scenario: Scenario) -> list[int]:
    """What each buyer would pay at each vendor."""
    return [
        at_rate(vendor.base_price_per_hour, buyer.constraints.max_hours or 0.1)
        for vendor in scenario.vendors
        for buyer in scenario.buyers
    ]


def _keyed(scenario: Scenario, chance: random.Random) -> Scenario:
    """Most buyers share a key, with limits that some of what they want is above; or somebody revokes it."""
    scenario = _in_company(scenario, chance)
    prices = _prices(scenario)
    return replace(
        scenario,
        buyers=tuple(replace(each, keyed=chance.random() < 0.85) for each in scenario.buyers),
        key=KeyLimits(KEY_ID, _limit(chance, prices), _limit(chance, prices)),
        revoked_after=chance.choice((None, None, None, 0.5, 5.0, 60.0, 400.0)),
    )


def _limited(scenario: Scenario, chance: random.Random) -> Scenario:
    """Limits that some of what its buyers want is above."""
    scenario = _in_company(scenario, chance)
    prices = _prices(scenario)
    limits = {
        "max_per_day": _limit(chance, prices),
        "max_per_vendor_per_day": _limit(chance, prices),
        "max_per_wallet": _limit(chance, prices),
        "max_per_payment": chance.choice((None, None, None, max(prices), max(prices) - 1)),
    }
    return replace(scenario, settings=scenario.settings.model_copy(update=limits))


def _limit(chance: random.Random, prices: Sequence[int]) -> int | None:
    """None, or just enough for one or two of these purchases, or just not enough."""
    enough = sum(chance.choices(prices, k=chance.choice((1, 2, 2, 3))))
    return chance.choice((None, enough, enough, enough - 1))


def _drawn(seed: int) -> Scenario:
    chance = random.Random(f"{seed}/scenario")
    calm = chance.random() < 0.02
    vendors = DEFAULT_CATALOG if chance.random() < 0.85 else (_free(DEFAULT_CATALOG[0]), DEFAULT_CATALOG[1])
    fates = [fate for fate in _TROUBLES if chance.random() < 0.6] or list(_TROUBLES)
    return Scenario(
        tickers=chance.choice((2, 2, 3, 3, 4, 5)),
        buyers=tuple(_buyer(chance, calm=calm) for _ in range(chance.choice((1, 1, 1, 2)))),
        vendors=vendors,
        pinned=chance.random() < 0.7,
        chain_late=chance.choice((None, None, 0.0, 3.0, 45.0)),
        faults="" if calm else _faults(chance),
        wire_faults=0.0 if calm else chance.choice((0.0, 0.0, 0.05, 0.25)),
        whims=0.0 if calm else chance.choice((0.0, 0.0, 0.0, 0.1, 0.5)),
        epochs=chance.randint(1, 2),
        epoch_seconds=chance.choice((2.0, 10.0, 40.0)),
        settings=_settings(chance.choice((10, 25)), chance.choice((5, 15, 60)), chance.choice((60, 300))),
        period=chance.choice((60.0, 150.0, 400.0)),
        skew=timedelta(seconds=chance.choice((0, 0, 2, 10))),
        temper=Temper(
            trouble=0.0 if calm else chance.choice((0.02, 0.05, 0.1, 0.2)),
            fates=frozenset(fates),
            stickiness=chance.choice((0.0, 0.3, 0.7, 0.9)),
            pace=chance.choice((1, 10, 150)),
        ),
        steps=chance.choice((60, 120, 200)),
    )


def _buyer(chance: random.Random, *, calm: bool) -> Buyer:
    hours = chance.choice((0.1, 0.25, 0.5))
    first, second = (at_rate(each.base_price_per_hour, hours) for each in DEFAULT_CATALOG)
    exact = (first, second, first + second, 2 * first + second)
    budgets = (5_000_000, 5_000_000, *exact, *(each - 1 for each in exact))
    constraints = Constraints(
        max_hours=hours,
        price_tolerance=chance.choice((Decimal(0), Decimal(0), Decimal("0.05"), Decimal("0.2"))),
        max_price_per_hour=chance.choice((None, None, None, 1_400_000, 1_900_000)),
        deadline=None if calm or chance.random() < 0.9 else START + timedelta(minutes=chance.choice((35, 45))),
    )
    budget = 5_000_000 if calm else chance.choice(budgets)
    return Buyer(budget, constraints, fickle=not calm and chance.random() < 0.25)


def _faults(chance: random.Random) -> str:
    """Up to three faults of whole vendors, most of them for the first few times only."""
    found = []
    for _ in range(chance.choice((0, 0, 1, 1, 2, 3))):
        vendor = chance.choice(("", *(f"{persona.vendor_id}:" for persona in DEFAULT_CATALOG)))
        count = chance.choice(("*1", "*1", "*2", "*3", ""))
        found.append(f"{vendor}{chance.choice(chance.choice(FAULTS))}{count}")
    return ",".join(found)


def _free(persona: Persona) -> Persona:
    return Persona(
        persona.vendor_id,
        persona.name,
        persona.base_price_per_hour,
        persona.reliability_score,
        persona.supported_gpu_types,
        None,
    )


@cache
def _settings(deadline: int, poll: int, stall: int) -> Settings:
    with mock.patch.dict(os.environ, clear=True):  # what this machine is set to is nobody's business here
        return Settings(
            tick_deadline_seconds=deadline, poll_seconds=poll, stall_seconds=stall, patience_seconds=600
        )
