"""The canonical lives of a run, and how each of them must end, whoever dies on the way."""

from __future__ import annotations

from dataclasses import dataclass, field

from agent.kinds.rental.planner import Plan
from agent.kinds.rental.planner.context import PlanContext

__all__ = ["SCENARIOS", "DeadPlanner", "End", "Scenario"]


@dataclass(frozen=True, slots=True)
class End:
    """How a run ends: its status, the code of its failure, micro-dollars spent, settlements at the vendors."""

    status: str
    code: str | None
    spent: int
    settlements: int


@dataclass(frozen=True, slots=True)
class Scenario:
    """What the vendors do (`faults`), what the user wants, and the end of it.

    `chain_read`: a node tells what became of an authorization. `cancelled`: the user cancels while the first
    payment is under way. `twice`: its first purchase is like no other's, so that it is worth dying in it twice.
    `long`: so many effects that it is left to the nights.
    """

    name: str
    end: End
    faults: str = ""
    budget: int = 5_000_000
    constraints: dict[str, object] = field(default_factory=dict)
    pinned: bool = True
    dead_planner: bool = False
    cancelled: bool = False
    chain_read: bool = False
    twice: bool = False
    long: bool = False


class DeadPlanner:
    """A planner that breaks at every question."""

    async def plan(self, context: PlanContext, timeout: float) -> Plan:  # noqa: ASYNC109 (the Planner's face)
        """Never an answer."""
        raise RuntimeError("the planner is dead")


_FIRST, _SECOND = 1_400_000, 1_800_000
_BOTH = _FIRST + _SECOND
_ONE = End("completed", None, _FIRST, 1)

SCENARIOS = (
    Scenario("happy path", _ONE, twice=True),
    Scenario("vendor fails", End("completed", None, _BOTH, 2), "gpu_vendor_1:fail_at_epoch=2"),
    Scenario("job stalls", End("completed", None, _BOTH, 2), "gpu_vendor_1:stall_at_epoch=1"),
    Scenario("overcharge", End("completed", None, _SECOND, 1), "gpu_vendor_1:price_above_quote=10", twice=True),
    Scenario(
        "price within tolerance",
        End("completed", None, 1_540_000, 1),
        "gpu_vendor_1:price_above_quote=10",
        constraints={"price_tolerance": "0.2"},
    ),
    Scenario("payment rejected", End("completed", None, _BOTH, 1), "gpu_vendor_1:reject_payment", twice=True),
    Scenario("rejected but cashed", End("completed", None, _BOTH, 2), "gpu_vendor_1:reject_but_cash", twice=True),
    Scenario("answer to payment lost", _ONE, "gpu_vendor_1:drop_after_payment*1", twice=True),
    Scenario("payment lost", _ONE, "gpu_vendor_1:drop_before_payment*1", twice=True),
    Scenario(
        "every answer to payment lost",
        End("completed", None, _BOTH, 2),
        "gpu_vendor_1:drop_after_payment",
        long=True,
    ),
    Scenario("no receipt", _ONE, "gpu_vendor_1:no_receipt", twice=True),
    Scenario("cancel during payment", End("cancelled", "cancelled", _FIRST, 1), cancelled=True, twice=True),
    Scenario(
        "cancel with the payment unclear",
        End("cancelled", "cancelled", _FIRST, 1),
        "gpu_vendor_1:drop_after_payment*2",
        cancelled=True,
    ),
    Scenario("budget just enough", _ONE, budget=_FIRST, constraints={"price_tolerance": "0.2"}),
    Scenario("one micro-dollar short", End("failed", "planner_abort", 0, 0), budget=_FIRST - 1),
    Scenario("planner dead", End("failed", "internal_error", 0, 0), dead_planner=True),
    Scenario(
        "both vendors fail",
        End("failed", "planner_abort", 2 * _FIRST + _SECOND, 3),
        "fail_at_epoch=2",
    ),
    Scenario("unpinned payee", _ONE, pinned=False, twice=True),
    Scenario("duplicate job", _ONE, "duplicate_job,drop_after_payment*1", twice=True),
    Scenario("wrong payee", End("completed", None, _SECOND, 1), "gpu_vendor_1:wrong_payee"),
    Scenario("chain read: happy path", _ONE, chain_read=True),
    Scenario(
        "chain read: payment rejected",
        End("completed", None, _SECOND, 1),
        "gpu_vendor_1:reject_payment",
        chain_read=True,
        twice=True,
    ),
    Scenario(
        "chain read: rejected but cashed",
        End("completed", None, _BOTH, 2),
        "gpu_vendor_1:reject_but_cash",
        chain_read=True,
    ),
    Scenario(
        "chain read: forged receipt", End("completed", None, 0, 0), "gpu_vendor_1:forged_receipt", chain_read=True
    ),
    Scenario("wrong network", End("completed", None, _SECOND, 1), "gpu_vendor_1:wrong_network"),
)
