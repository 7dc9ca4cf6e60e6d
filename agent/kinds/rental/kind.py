"""The kind of run that rents GPUs: a planner chooses vendors, their jobs are watched until one is done."""

from __future__ import annotations

from dataclasses import dataclass

from agent.engine.leased import LeasedRun
from agent.engine.services import Services
from agent.engine.step import Step
from agent.kinds.rental.decide import decide
from agent.kinds.rental.planner import Planner
from agent.kinds.rental.polling import poll_jobs
from agent.process.deadline import Deadline

__all__ = ["Rental"]


@dataclass(frozen=True, slots=True)
class Rental:
    """`agent.engine.services.Kind` for rentals."""

    planner: Planner

    async def look(self, desk: LeasedRun, services: Services, deadline: Deadline) -> None:
        """Look at each live job once."""
        await poll_jobs(desk, services, deadline)

    async def step(self, desk: LeasedRun, services: Services, deadline: Deadline) -> Step:
        """Plan, and carry the plan out."""
        return await decide(desk, services, self.planner, deadline)
