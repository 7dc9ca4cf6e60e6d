"""A stored run under the audit that its owner can make over the API: every rule, every field that is exported."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import TypeAdapter

from agent.audit import public_observation
from agent.models import Job, Observation, Payment, Run
from api._shapes import JobOut, PaymentOut, RunOut
from scripts.audit.export import evidence_of
from scripts.audit.judge import judge
from scripts.audit.money import Spent

__all__ = ["audit_faults"]

_SHOWN = TypeAdapter(dict[str, RunOut | list[JobOut] | list[PaymentOut]])


def audit_faults(
    run: Run, jobs: Sequence[Job], payments: Sequence[Payment], trail: Sequence[Observation]
) -> tuple[str, ...]:
    """What the audit finds; nothing, whatever a run went through."""
    answer = _SHOWN.dump_json(
        {
            "run": RunOut.of(run),
            "jobs": [JobOut.of(each) for each in jobs],
            "payments": [PaymentOut.of(each) for each in payments],
        },
        by_alias=True,
    )
    return judge(evidence_of(answer.decode()), map(public_observation, trail), Spent()).faults
