"""Reliability is learned: each outcome moves a vendor's score, and the newest evidence is kept.

The score is a mean with a prior: the one that the vendor was registered with counts as `_PRIOR_JOBS` jobs, so a
first failure does not condemn a vendor and a long record outweighs what was believed of it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from vendors.models import Evidence, Record, Vendor

__all__ = ["MAX_EVIDENCE", "learn", "score"]

MAX_EVIDENCE: Final = 50
"""Outcomes kept per vendor. The counts go back further."""

_PRIOR_JOBS: Final = 10


def score(prior: float, completed: int, failed: int) -> float:
    """The expected share of jobs that complete, to 4 decimals."""
    return round((prior * _PRIOR_JOBS + completed) / (_PRIOR_JOBS + completed + failed), 4)


def learn(vendor: Vendor, evidence: Evidence) -> Vendor:
    """`vendor` after one more outcome; unchanged where the job is in its evidence already.

    An outcome may be told twice (after a crash), and is counted once as long as fewer than `MAX_EVIDENCE` others
    came in between.
    """
    known = vendor.record
    if any(seen.job_id == evidence.job_id for seen in known.evidence):
        return vendor
    record = Record(
        completed=known.completed + (evidence.outcome == "completed"),
        failed=known.failed + (evidence.outcome == "failed"),
        evidence=(*known.evidence, evidence)[-MAX_EVIDENCE:],
    )
    return replace(
        vendor,
        record=record,
        reliability_score=score(vendor.reliability_prior, record.completed, record.failed),
    )
