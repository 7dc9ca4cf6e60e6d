"""What to do next: a planner proposes an action, the core checks it and carries it out.

    context    what a planner is given, the actions there are, and the check that each of them passes
    stub       the deterministic planner
    prompt     the question to a model: fixed instructions, and everything else as quoted data
    answer     what a model sent back, read strictly
    fireworks  the planner that asks a model, and the stub where no usable answer comes

Importing the package loads no SDK and no HTTP client.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from agent.planner.context import Abort, PlanContext, StartJob, Wait

__all__ = ["Plan", "Planner"]


@dataclass(frozen=True, slots=True)
class Plan:
    """An action, and where it came from: what the audit trail keeps of a decision.

    `planner` is who decided. Where a model was asked and the stub decided, `fallback` says why, and `model`,
    tokens and cost are those of the asking. Tokens are what the model's answers reported, None if none of them
    did; `cost_usd_micro` is None where tokens or prices are not known. `latency_ms` covers retries and waits.
    """

    action: StartJob | Wait | Abort
    planner: Literal["stub", "fireworks"]
    model: str | None
    prompt_version: str | None
    input_tokens: int | None
    output_tokens: int | None
    latency_ms: int
    cost_usd_micro: int | None
    fallback: str | None


class Planner(Protocol):
    """Proposes the next action of a run."""

    async def plan(self, context: PlanContext, timeout: float) -> Plan:  # noqa: ASYNC109 (it plans for its retries)
        """An action that passes `check`, within about `timeout` seconds."""
        ...
