"""The audit of a run from outside: its trail fetched over the API, every hash computed again here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.audit import verify
from scripts.shapes import Chain

if TYPE_CHECKING:
    from pydantic import JsonValue

__all__ = ["Audited", "audit"]


@dataclass(frozen=True, slots=True)
class Audited:
    """How many observations were checked, and what is wrong with them, one sentence each."""

    checked: int
    faults: tuple[str, ...]

    def as_json(self, run_id: str) -> dict[str, JsonValue]:
        """For `--json`."""
        return {
            "runId": run_id,
            "verified": not self.faults,
            "observations": self.checked,
            "faults": list(self.faults),
        }


def audit(chain: Chain) -> Audited:
    """Check numbering, chain, hashes and the end that the run names."""
    head: dict[str, JsonValue] = {"seq": chain.run.audit.seq, "hash": chain.run.audit.hash}
    foreign = {str(entry.get("runId")) for entry in chain.observations} - {chain.run.id}
    try:
        faults = tuple(verify(chain.observations, head))
    except ValueError:
        faults = ("an observation holds what JSON cannot: its hash cannot be computed",)
    return Audited(
        len(chain.observations),
        (*faults, *(f"an observation belongs to another run: {other}" for other in sorted(foreign))),
    )
