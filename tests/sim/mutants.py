"""Deliberate faults in the protocol, to see whether the simulator would see them.

Each is a small patch of the real code. Where two checks guard the same thing both are taken out, for the fault is
what neither would stop. Not among them, because nothing can come of them: a commit that asks for the revision
alone, or for the lease's owner alone (a claim changes both).
"""

from __future__ import annotations

from typing import Final

from tests.sim import mutants_booking, mutants_keys, mutants_limits, mutants_signing, mutants_storing
from tests.sim.mutants_hunt import REGISTER, Mutant

__all__ = ["MUTANTS", "Mutant"]

_MODULES: Final = (mutants_signing, mutants_booking, mutants_limits, mutants_keys, mutants_storing)
"""Importing them fills the register."""

MUTANTS: Final[tuple[Mutant, ...]] = tuple(REGISTER)
