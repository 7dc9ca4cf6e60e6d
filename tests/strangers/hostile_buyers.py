"""hostile-facilitator 0.2.2 against our buyers: ten ways for a facilitator to lose the answer of a settlement.

The tool counts how many payments were presented for one purchase, and whether the buyer asked what became of it.
Its own question, `GET /reconcile`, is no part of x402: `purser pay` sends the same payment again instead, and a
run asks its chain, whose node hands that question on.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Final

from net.strict_json import JsonObject
from tests.strangers.environments import HOSTILE, ask, results_in
from tests.strangers.table import Result

__all__ = ["by_pay", "by_runs"]

_SECONDS: Final = 330.0
"""Ten purchases, three at a time: ten seconds each on an idle machine, and CI's is not idle."""
_PURCHASE_SECONDS: Final = 80.0
_CLIENT_SECONDS: Final = 1.0
"""How long the seller waits for its facilitator; the tool answers later than that."""

_ANSWER_IS_LOST: Final = (
    "accept_then_timeout",
    "5xx_after_settle",
    "double_402",
    "slow_answer",
    "declared_safe",
    "clean",
)
_LOOK_IS_LOST: Final = (
    "reconcile_unavailable",
    "reconcile_soft_404",
    "reconcile_oversized",
    "reconcile_truncated",
)


def by_pay(suite: str) -> list[Result]:
    """`purser pay`, the same command again until it succeeds: each purchase ends paid."""
    return _battery(suite, "tests.strangers.bought_by_pay", dict.fromkeys(_ANSWER_IS_LOST + _LOOK_IS_LOST, "paid"))


def by_runs(suite: str) -> list[Result]:
    """A run: it completes; where its chain cannot be asked it goes on, with the money reserved."""
    ends = dict.fromkeys(_ANSWER_IS_LOST, "completed") | dict.fromkeys(_LOOK_IS_LOST, "running, $1.4 reserved")
    return _battery(suite, "tests.strangers.bought_by_run", ends)


def _battery(suite: str, module: str, ends: Mapping[str, str]) -> list[Result]:
    command = [sys.executable, "-m", module]
    told: JsonObject = {
        "command": command,
        "client_seconds": _CLIENT_SECONDS,
        "seconds": _PURCHASE_SECONDS,
        "ends": ends,
    }
    return results_in(suite, ask(HOSTILE, "hostile_battery.py", told, seconds=_SECONDS))
