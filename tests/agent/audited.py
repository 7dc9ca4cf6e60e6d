"""A stored run under all audits that others can make of it: over the API, of an export, with the docs' program."""

from __future__ import annotations

import io
from collections.abc import Sequence

from pydantic import TypeAdapter

from agent.book.audit import public_observation
from agent.book.models import Job, Observation, Payment, Run
from api._shapes import JobOut, PaymentOut, RunOut
from scripts.audit.export import Plain, evidence_of, export_lines
from scripts.audit.judge import judge, judge_export
from scripts.audit.money import Spent
from scripts.client.shapes import read_plainly
from tests.docs.audit_page import wrong

__all__ = ["audit_faults"]

_SHOWN = TypeAdapter(dict[str, RunOut | list[JobOut] | list[PaymentOut]])


def audit_faults(
    run: Run, jobs: Sequence[Job], payments: Sequence[Payment], trail: Sequence[Observation]
) -> tuple[str, ...]:
    """What they find; nothing, whatever a run went through."""
    shown: dict[str, RunOut | list[JobOut] | list[PaymentOut]] = {
        "run": RunOut.of(run),
        "jobs": [JobOut.of(each) for each in jobs],
        "payments": [PaymentOut.of(each) for each in payments],
    }
    answer = _SHOWN.dump_json(shown, by_alias=True).decode()
    entries = [public_observation(each) for each in trail]
    if faults := judge(evidence_of(answer), entries, Spent()).faults:
        return faults
    lines = [*export_lines(read_plainly(Plain, answer), entries)]
    file = io.BytesIO("".join(f"{line}\n" for line in lines).encode())
    found = wrong(lines)
    return judge_export(file, "an export").faults + (() if found is None else (f"docs/audit.md: {found}",))
