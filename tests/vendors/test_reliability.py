"""What a vendor did moves its score; one outcome counts once."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.vendors.samples import a_vendor, evidence
from vendors.reliability import MAX_EVIDENCE, learn, score


@pytest.mark.parametrize(
    ("prior", "completed", "failed", "expected"),
    [
        (0.9, 0, 0, 0.9),
        (0.9, 0, 1, 0.8182),
        (0.95, 1, 0, 0.9545),
        (0.9, 90, 0, 0.99),
        (0.9, 0, 90, 0.09),
        (0, 0, 5, 0.0),
        (1, 5, 0, 1.0),
    ],
)
def test_the_prior_counts_as_ten_jobs(prior: float, completed: int, failed: int, expected: float) -> None:
    """One failure does not condemn, a long record outweighs what was believed."""
    assert score(prior, completed, failed) == expected


@settings(deadline=None)
@given(st.floats(0, 1), st.integers(0, 10_000), st.integers(0, 10_000))
def test_a_score_is_a_share_and_moves_the_right_way(prior: float, completed: int, failed: int) -> None:
    """Always 0..1; never lower for a job completed, never higher for one failed."""
    now = score(prior, completed, failed)
    assert 0 <= now <= 1
    assert score(prior, completed + 1, failed) >= now >= score(prior, completed, failed + 1)


def test_an_outcome_moves_the_score_and_is_kept() -> None:
    """Counts, evidence and score move together, from the prior and not from the last score."""
    failed = learn(a_vendor(reliability_score=0.5), evidence(1, "failed"))
    assert (failed.record.completed, failed.record.failed) == (0, 1)
    assert failed.record.evidence == (evidence(1, "failed"),)
    assert failed.reliability_score == 0.8182
    both = learn(failed, evidence(2, "completed"))
    assert (both.record.completed, both.record.failed) == (1, 1)
    assert both.record.evidence == (evidence(1, "failed"), evidence(2, "completed"))
    assert both.reliability_score == 0.8333
    assert both.reliability_prior == 0.9


def test_an_outcome_told_twice_counts_once() -> None:
    """A crash may repeat what was said; even told otherwise, the first word on a job stands."""
    once = learn(a_vendor(), evidence(1, "completed"))
    assert learn(once, evidence(1, "completed")) == once
    assert learn(once, evidence(1, "failed")) == once


def test_evidence_is_bounded_and_counts_are_not() -> None:
    """The newest outcomes are kept, the counts go on."""
    vendor = a_vendor()
    for number in range(MAX_EVIDENCE + 10):
        vendor = learn(vendor, evidence(number, "completed"))
    assert vendor.record.completed == MAX_EVIDENCE + 10
    assert [seen.job_id for seen in vendor.record.evidence] == [f"job{n}" for n in range(10, MAX_EVIDENCE + 10)]
