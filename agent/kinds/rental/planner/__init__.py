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
from typing import Final, Literal, Protocol

from agent.kinds.rental.planner.context import Abort, PlanContext, StartJob, Wait

__all__ = ["MAX_REPLY", "Asked", "Plan", "Planner"]


MAX_REPLY: Final = 2_048
"""Bytes of a model's reply that the trail keeps."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One question to a model.

    `prompt_hash` is the SHA-256 of what it was sent, in hex; `reply` is what it said, cut at `MAX_REPLY` bytes
    (None: no completion came). `problems` say why that was of no use, and `waited` is how many seconds passed
    before the next question because the service asked for it.
    """

    prompt_hash: str
    reply: str | None
    problems: tuple[str, ...]
    waited: float = 0.0


@dataclass(frozen=True, slots=True)
class Plan:
    """An action, and where it came from: what the audit trail keeps of a decision.

    `planner` is who decided. Where a model was asked and the stub decided, `fallback` says why, and `model`,
    tokens and cost are those of the asking. Tokens are what the model's answers reported, None if none of them
    did; `cost_usd_micro` is None where tokens or prices are not known. `latency_ms` covers retries and waits.
    `asked` are the questions to a model, in order.
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
    asked: tuple[Asked, ...] = ()


class Planner(Protocol):
    """Proposes the next action of a run."""

    async def plan(self, context: PlanContext, timeout: float) -> Plan:  # noqa: ASYNC109 (it plans for its retries)
        """An action that passes `check`, within about `timeout` seconds."""
        ...
