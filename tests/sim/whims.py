"""A planner that is the stub most of the time, and otherwise anything that a model could come up with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from agent.kinds.rental.planner import Plan
from agent.kinds.rental.planner.context import Abort, PlanContext, StartJob, Wait
from agent.kinds.rental.planner.stub import decide
from tests.sim.choices import Choices
from tests.sim.scheduler import PlannerDown

__all__ = ["WhimsicalPlanner"]

_WHY: Final = "a whim"


def _start(vendor_id: str, hours: float) -> StartJob:
    """Not validated: what a planner with a fault of its own may hand over."""
    return StartJob.model_construct(action="start_job", vendorId=vendor_id, maxHours=hours, reason=_WHY)


_WHIMS: Final[tuple[Callable[[], StartJob | Wait | Abort], ...]] = (
    lambda: Wait(seconds=30, reason=_WHY),
    lambda: Wait(seconds=600, reason=_WHY),
    lambda: _start("gpu_vendor_1", 0.01),
    lambda: _start("gpu_vendor_2", 0.3),
    lambda: _start("gpu_vendor_1", 0.0),
    lambda: _start("gpu_vendor_1", -1.0),
    lambda: _start("gpu_vendor_2", 720.0),
    lambda: _start("gpu_vendor_1", 1e12),
    lambda: _start("gpu_vendor_1", float("nan")),
    lambda: _start("gpu_vendor_2", float("inf")),
    lambda: _start("nobody", 0.1),
    lambda: Abort(reason=_WHY),
)


class WhimsicalPlanner:
    """The stub, with whims."""

    def __init__(self, choices: Choices, whims: float) -> None:
        """`whims`: how likely one is."""
        self._choices = choices
        self._whims = whims

    async def plan(self, context: PlanContext, timeout: float) -> Plan:  # noqa: ASYNC109 (the Planner's face)
        """The next action, or `PlannerDown`."""
        action = decide(context)
        if self._whims and self._choices.happens(self._whims):
            whim = self._choices.pick((None, *_WHIMS))
            if whim is None:
                raise PlannerDown("the planner broke")
            action = whim()
        return Plan(action, "stub", None, None, None, None, 0, None, None)
